"""Children that never outlive their parent, not even one that is SIGKILLed.

    this process ──pipe──► guard process          the pipe closes with this process, however it ends
         │                      │
         └──► children ◄────────┘ SIGKILL

A parent-death signal would be shorter, but it fires when the *thread* that
started the child ends, and Linux alone has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from squall.bus import guard_process
from squall.bus.errors import BusError

FAREWELL_S = 5.0
"""How long what was SIGKILLed may take to go; only a process stuck in the kernel takes any time."""


class Guard:
    """Starts children inside an ``async with``, which leaves none of them behind.

    Each child leads a session of its own, so a Ctrl-C in the terminal reaches this process alone, and
    killing a child also kills what it started.
    """

    def __init__(self) -> None:
        self._pipe = -1
        self._process: Process | None = None
        self._children: dict[int, Process] = {}

    async def __aenter__(self) -> Self:
        reading, self._pipe = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                guard_process.__file__,
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
        """Start a child. Once it has been waited for, say `release`.

        Args:
            argv: The program and its arguments.
            stdin, stdout, stderr, env, cwd, pass_fds: As for `subprocess.Popen`; no input by default.

        Raises:
            OSError: It cannot be started.
            BusError: The guard process is gone.
        """
        if self._process is None or self._process.returncode is not None:
            raise BusError("the guard process is gone, so a child could outlive this process; start anew")
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            # Told in the child, before it becomes the program: at no time is there one that the guard
            # does not know. It does nothing that a fork beside other threads could break.
            preexec_fn=functools.partial(_register, self._pipe),
        )
        self._children[process.pid] = process
        return process

    def release(self, pid: int) -> None:
        """Forget a child that has ended and was waited for."""
        if self._children.pop(pid, None) is not None:
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
            os.close(self._pipe)  # the guard process kills whatever is left, and ends
            self._pipe = -1
        if self._process is not None:
            await self._process.wait()


def _register(pipe: int) -> None:
    os.write(pipe, b"+%d\n" % os.getpid())


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
