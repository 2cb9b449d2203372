"""What no simulated world has: sockets, threads, programs, signals and other processes' time.

    asked by name ────────► a function in place of the real one ──┐
    asked below the names ► Python's audit of what it does ───────┴─► OutsideError, and kept

A process of the world that asks for one is told so in a sentence. Where that is a handler's doing it is an
exception of the handler, and told as that, with its line. One that swallows it is told as well, by what was
kept.
"""

from __future__ import annotations

import _posixsubprocess
import _socket
import _thread
import asyncio
import multiprocessing.process
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from squall.chaos.simulation.loop import WORLD, OutsideError, VirtualLoop, current

SOCKET = "opens a socket"
THREAD = "starts a thread"
WAITS = "waits for another thread"
PROGRAM = "starts a program"
SIGNAL = "uses signals"
SLEEPS = "sleeps for real"
LOOP = "runs an event loop of its own"
POLLS = "waits for a file or a socket"
USAGE = "reads what the process has used"
FOLDER = "changes the current folder"

OF_THE_LOOP: Mapping[str, str] = {
    "create_connection": SOCKET,
    "create_datagram_endpoint": SOCKET,
    "create_server": SOCKET,
    "create_unix_connection": SOCKET,
    "create_unix_server": SOCKET,
    "getaddrinfo": SOCKET,
    "getnameinfo": SOCKET,
    "sock_connect": SOCKET,
    "sock_accept": SOCKET,
    "sock_recv": SOCKET,
    "sock_sendall": SOCKET,
    "add_reader": POLLS,
    "add_writer": POLLS,
    "connect_read_pipe": POLLS,
    "connect_write_pipe": POLLS,
    "subprocess_exec": PROGRAM,
    "subprocess_shell": PROGRAM,
    "add_signal_handler": SIGNAL,
}
"""What may be asked of a loop that this one has not, and what that does."""

AUDITED: Mapping[str, str] = {
    "socket.__new__": SOCKET,
    "socket.getaddrinfo": SOCKET,
    "socket.gethostbyname": SOCKET,
    "socket.gethostbyaddr": SOCKET,
    "socket.getnameinfo": SOCKET,
    "_thread.start_new_thread": THREAD,
    "_thread.start_joinable_thread": THREAD,
    "os.exec": PROGRAM,
    "os.fork": PROGRAM,
    "os.forkpty": PROGRAM,
    "os.posix_spawn": PROGRAM,
    "os.spawn": PROGRAM,
    "os.system": PROGRAM,
    "os.kill": SIGNAL,
    "os.killpg": SIGNAL,
    "signal.pthread_kill": SIGNAL,
    "os.chdir": FOLDER,
    "os.fchdir": FOLDER,
    "time.sleep": SLEEPS,  # by who had it before this world began
}
"""What Python tells its audit hooks of, and what that does."""

Refused = tuple[Any, str, Callable[..., object]]

_asked: list[str] | None = None
"""What was asked for of the outside in the world that runs; None if none does."""

_is_audited = False


def refusals() -> Sequence[Refused]:
    """What is put in place of what, for as long as a world runs: an owner, a name, and the function."""
    waits = threading.Condition.wait

    def wait(condition: threading.Condition, timeout: float | None = None) -> bool:
        if current() is WORLD or (timeout is not None and timeout <= 0):  # whoever only looks does not wait
            return waits(condition, timeout)
        refuse(WAITS)

    refused = tuple(
        (owner, name, _refusing(getattr(owner, name), does))
        for owner, name, does in (
            (socket.socket, "__init__", SOCKET),
            (_socket, "socketpair", SOCKET),
            (threading.Thread, "start", THREAD),
            (_thread, "start_new_thread", THREAD),
            (subprocess.Popen, "__init__", PROGRAM),
            (multiprocessing.process.BaseProcess, "start", PROGRAM),
            (_posixsubprocess, "fork_exec", PROGRAM),
            (signal, "signal", SIGNAL),
            (signal, "alarm", SIGNAL),
            (signal, "setitimer", SIGNAL),
            (signal, "pause", SIGNAL),
            (signal, "sigwait", SIGNAL),
            (signal, "raise_signal", SIGNAL),
            (select, "select", POLLS),
            (select, "poll", POLLS),
            (resource, "getrusage", USAGE),
            (asyncio, "run", LOOP),
            (asyncio, "new_event_loop", LOOP),
            (asyncio.Runner, "__init__", LOOP),
        )
    )
    return (*refused, (threading.Condition, "wait", wait))


@contextmanager
def watched() -> Iterator[list[str]]:
    """What simulated processes ask of the outside inside the block, in words; a sentence each."""
    global _asked, _is_audited
    if not _is_audited:
        sys.addaudithook(_audit)  # for good: Python has no way to take one back
        _is_audited = True
    before, _asked = _asked, []
    try:
        yield _asked
    finally:
        _asked = before


def _audit(event: str, args: tuple[object, ...]) -> None:
    does = AUDITED.get(event)
    if does is not None and _asked is not None and current() is not WORLD:
        refuse(does)


def refuse(does: str) -> NoReturn:
    """Tell the present process that the world has none of that."""
    error = OutsideError(does)
    if _asked is not None:
        _asked.append(str(error))
    raise error


def _refusing(real: Callable[..., object], does: str) -> Callable[..., object]:
    def refused(*args: Any, **kwargs: Any) -> object:
        if current() is WORLD:
            return real(*args, **kwargs)
        refuse(does)

    return refused


# Here, and not for as long as a world runs: there is no other use of this loop, and a class that is changed
# again and again is one of which the interpreter remembers nothing.
for _name, _does in OF_THE_LOOP.items():
    setattr(VirtualLoop, _name, _refusing(getattr(VirtualLoop, _name), _does))
