"""Nodes as processes of this machine, children of the command and gone with it."""

from __future__ import annotations

import contextlib
import resource
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from squall.bus.guard import Guard, seen, send_signal
from squall.services.launch import Cable, Launcher, Unit
from squall.services.launch.piped import PipedLauncher, PipedUnit, piped
from squall.services.node.service import NodeStart
from squall.services.run.directory import RunDirectory

LOOPBACK = "127.0.0.1"

STILL_S = 0.5
"""How long a node that says it halts may take to stand still; it does in milliseconds."""


class ProcessUnit(PipedUnit):
    """A node's process."""

    async def strike(self, number: signal.Signals) -> None:
        send_signal(self.process, number)

    async def stands(self, *, stopped: bool) -> bool:
        return await seen(self.process.pid, stopped=stopped)


class ProcessLauncher(PipedLauncher):
    """Starts nodes with the interpreter that runs this."""

    target = "processes"
    cable: Cable | None = None

    def host(self, node: str) -> str:
        return LOOPBACK

    async def spawn(self, start: NodeStart, log_file: BinaryIO, silence_s: float | None) -> PipedUnit:
        process = await self._guard.spawn(
            sys.executable,
            "-P",  # a file of the current folder must not stand in for a module
            "-m",
            "squall.services.node.process",
            start.role,
            start.node,
            stdin=PIPE,
            stdout=PIPE,
            stderr=log_file,
        )
        return ProcessUnit(start.node, process, silence_s)

    async def freeze(self, unit: Unit) -> bool:
        return await self._signal_and_see(unit, signal.SIGSTOP, stopped=True)

    async def thaw(self, unit: Unit) -> bool:
        return await self._signal_and_see(unit, signal.SIGCONT, stopped=False)

    async def stands_still(self, unit: Unit) -> bool:
        return await seen(piped(unit).process.pid, stopped=True, timeout_s=STILL_S)

    async def goes_on(self, unit: Unit) -> bool:
        return await piped(unit).stands(stopped=False)

    async def _signal_and_see(self, unit: Unit, number: signal.Signals, *, stopped: bool) -> bool:
        node = piped(unit)
        if node.process.returncode is not None:
            return False
        node.held = stopped
        await node.strike(number)
        return await node.stands(stopped=stopped)

    def memory_kib(self, unit: Unit) -> int | None:
        return resident_kib(piped(unit).process.pid)


def resident_kib(pid: int) -> int | None:
    """What a process of this machine holds of its memory; None if that cannot be told."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * resource.getpagesize() // 1024


@contextlib.asynccontextmanager
async def processes(guard: Guard, run: RunDirectory) -> AsyncIterator[Launcher]:
    """What starts the nodes of a run as processes, which end with the guard."""
    yield ProcessLauncher(guard, run.logs)
