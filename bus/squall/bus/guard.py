"""Children that never outlive their parent, not even one that is SIGKILLed.

    this process ──pipe──► guard process          the pipe closes with this process, however it ends
         │                      │
         └──► children ◄────────┘ SIGKILL

A child's end is the end of all that it started. Its process group is killed at that moment, and then what
left the group, which the guard process finds by a mark in its environment. What leaves the group *and* drops
its environment, or hides it from other processes of its user, is not found.

A parent-death signal would be shorter, but it fires when the *thread* that
started the child ends, and Linux alone has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import secrets
import signal
import sys
from asyncio.subprocess import DEVNULL, Process, SubprocessStreamProtocol
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from squall.bus import guard_process
from squall.bus.errors import BusError
from squall.bus.guard_process import MARK

ANSWER_BYTES_MAX = 64 * 1024
"""How much of a child's output waits to be read, at most twice."""

FAREWELL_S = 5.0
"""How long what was SIGKILLed may take to go; only a process stuck in the kernel takes any time."""


class _Protocol(SubprocessStreamProtocol):
    """Notices the end of a child itself, whoever still holds its pipes (python/cpython #119710)."""

    def __init__(self) -> None:
        super().__init__(limit=ANSWER_BYTES_MAX, loop=asyncio.get_running_loop())
        self.exited = asyncio.Event()
        self._group: int | None = None

    def leads(self, group: int) -> None:
        """Be told which process this is; not every loop knows before it has begun."""
        self._group = group
        if self.exited.is_set():
            self._end_group()

    def process_exited(self) -> None:
        # As early as can be: with the child gone, its number may become another's once its group is empty.
        self._end_group()
        self.exited.set()
        super().process_exited()

    def _end_group(self) -> None:
        if self._group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)


class _Child(Process):
    """A child whose end is its own."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: _Protocol) -> None:
        super().__init__(transport, protocol, asyncio.get_running_loop())
        self._pipes = transport
        self._exited = protocol.exited

    async def wait(self) -> int:
        await self._exited.wait()
        status = self.returncode
        assert status is not None
        return status

    def close(self) -> None:
        """Let go of its pipes, which something else may hold open."""
        self._pipes.close()


class Guard:
    """Starts children inside an ``async with``, which leaves none of them behind.

    Each child leads a session of its own, so a Ctrl-C in the terminal reaches this process alone, and
    killing a child also kills what it started.
    """

    def __init__(self) -> None:
        self._pipe = -1
        self._process: Process | None = None
        self._children: dict[int, _Child] = {}
        self._mark = secrets.token_hex(8)
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        reading, self._pipe = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                guard_process.__file__,
                self._mark,
                stdin=reading,
                stdout=DEVNULL,
                stderr=DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(reading)
        return self

    async def spawn(
        self,
        *argv: str | Path,
        stdin: int | IO[bytes] | None = DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start a child; its ``wait`` waits for itself, not for its pipes. Then say `release`.

        Args:
            argv: The program and its arguments.
            stdin, stdout, stderr, env, cwd, pass_fds: As for `subprocess.Popen`; no input by default.

        Raises:
            OSError: It cannot be started.
            BusError: The guard process is gone.
        """
        if self._process is None or self._process.returncode is not None:
            raise BusError("the guard process is gone, so a child could outlive this process; start anew")
        number = next(self._numbers)
        marked = dict(os.environ if env is None else env)
        marked[MARK] = ":".join(filter(None, (os.environ.get(MARK), f"{self._mark}.{number}")))
        transport, protocol = await asyncio.get_running_loop().subprocess_exec(
            _Protocol,
            *argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=marked,
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            # Told in the child, before it becomes the program: at no time is there one that the guard
            # does not know. It does nothing that a fork beside other threads could break.
            preexec_fn=functools.partial(_register, self._pipe, number),
        )
        child = _Child(transport, protocol)
        protocol.leads(child.pid)
        self._children[child.pid] = child
        return child

    def release(self, pid: int) -> None:
        """Forget a child that has ended and was waited for; what it left behind is killed."""
        child = self._children.pop(pid, None)
        if child is not None:
            child.close()
            self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it was killed; `spawn` says so
            os.write(self._pipe, line.encode())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            async with asyncio.timeout(FAREWELL_S):
                for process in self._children.values():
                    send_signal(process, signal.SIGKILL)
                for process in self._children.values():
                    await process.wait()
        finally:
            for process in self._children.values():
                process.close()
            os.close(self._pipe)  # the guard process kills whatever is left, and ends
            self._pipe = -1
        if self._process is not None:
            await self._process.wait()


def _register(pipe: int, number: int) -> None:
    os.write(pipe, b"+%d %d\n" % (os.getpid(), number))


async def seen(pid: int, *, stopped: bool, timeout_s: float = 2.0) -> bool:
    """Whether a process is seen to stand still, or not to, within so long, by the kernel's word."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while _is_stopped(pid) is not stopped:
                await asyncio.sleep(0.002)
            return True
    return False


def _is_stopped(pid: int) -> bool | None:
    """None if it is gone."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None
    return status.rsplit(")", 1)[1].split()[0] == "T"


async def end(process: Process, *, grace_s: float) -> None:
    """Ask a child of a guard to end, also one that is paused; kill it if it takes longer."""
    if process.returncode is None:
        send_signal(process, signal.SIGTERM)
        send_signal(process, signal.SIGCONT)  # one that is paused would not hear of it
        try:
            async with asyncio.timeout(grace_s):
                await process.wait()
        except TimeoutError:
            send_signal(process, signal.SIGKILL)
            await process.wait()


def send_signal(process: Process, number: signal.Signals) -> None:
    """Send a signal to a child of a guard, and to what that started.

    Not by the methods of `Process`: before they send, they look whether the child has ended, and where it
    has they take its exit status away from the loop, which then reports 255 (python/cpython #87744, until
    3.13).
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
