"""Nodes as processes of this machine, children of the command and gone with it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import msgspec

from squall.bus.guard import Guard, seen, send_signal
from squall.services.errors import LaunchError, SpecError
from squall.services.launch import Unit
from squall.services.service import Halted, NodeStart, Order, Ready

READY_S = 60.0


class ProcessUnit:
    """A node's process."""

    def __init__(self, process: Process, ready: Ready) -> None:
        self.process = process
        self.id = str(process.pid)
        self.ready = ready

    async def ended(self) -> int:
        return await self.process.wait()


class ProcessLauncher:
    """Starts nodes with the interpreter that runs this.

    Args:
        guard: Ends them if this process dies.
        logs: Directory of their logs, one file a node.
    """

    target = "processes"

    def __init__(self, guard: Guard, logs: Path) -> None:
        self._guard = guard
        self._logs = logs

    async def start(self, start: NodeStart) -> ProcessUnit:
        with (self._logs / f"{start.node}.log").open("ab") as log:
            process = await self._guard.spawn(
                sys.executable,
                "-m",
                "squall.services.node",
                start.role,
                start.node,
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(start) + b"\n")
            async with asyncio.timeout(READY_S):
                answer = await process.stdout.readline()
        except (TimeoutError, OSError) as error:
            await self._reap(process, kill=True)
            raise LaunchError(f"{start.node} did not answer within {READY_S:g} s") from error
        except BaseException:
            send_signal(process, signal.SIGKILL)
            raise
        if not answer:
            status = await self._reap(process, kill=False)
            raise LaunchError(
                f"{start.node} ended with status {status} before it was ready",
                f"see {self._logs / (start.node + '.log')}",
            )
        ready = msgspec.json.decode(answer, type=Ready)
        if ready.error:
            await self._reap(process, kill=False)
            if ready.code == SpecError.code:
                raise SpecError(ready.error, ready.remedy)
            raise LaunchError(f"{start.node} did not start: {ready.error}", ready.remedy)
        return ProcessUnit(process, ready)

    async def _reap(self, process: Process, *, kill: bool) -> int:
        if kill:
            send_signal(process, signal.SIGKILL)
        status = await process.wait()
        self._guard.release(process.pid)
        return status

    async def tell(self, unit: Unit, order: Order) -> None:
        stdin = _process(unit).stdin
        if stdin is not None and _process(unit).returncode is None:
            with contextlib.suppress(OSError):
                stdin.write(msgspec.json.encode(order) + b"\n")

    async def halted(self, unit: Unit) -> str | None:
        process = _process(unit)
        assert process.stdout is not None
        answer = await process.stdout.readline()
        if not answer:
            return None
        await seen(process.pid, stopped=True)
        return msgspec.json.decode(answer, type=Halted).point

    async def freeze(self, unit: Unit) -> bool:
        return await self._signal_and_see(unit, signal.SIGSTOP, stopped=True)

    async def thaw(self, unit: Unit) -> bool:
        return await self._signal_and_see(unit, signal.SIGCONT, stopped=False)

    async def _signal_and_see(self, unit: Unit, number: signal.Signals, *, stopped: bool) -> bool:
        process = _process(unit)
        if process.returncode is not None:
            return False
        send_signal(process, number)
        return await seen(process.pid, stopped=stopped)

    async def kill(self, unit: Unit) -> None:
        send_signal(_process(unit), signal.SIGKILL)

    async def stop(self, unit: Unit, *, grace_s: float) -> None:
        process = _process(unit)
        await self.tell(unit, Order(stop=True))
        try:
            async with asyncio.timeout(grace_s):
                await process.wait()
        except TimeoutError:
            send_signal(process, signal.SIGKILL)
            await process.wait()

    def forget(self, unit: Unit) -> None:
        self._guard.release(_process(unit).pid)


def _process(unit: Unit) -> Process:
    assert isinstance(unit, ProcessUnit)
    return unit.process
