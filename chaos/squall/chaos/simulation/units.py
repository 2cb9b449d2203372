"""Nodes as simulated processes: started, told, stopped, killed, as a launcher does it with real ones.

NodeStart ─► Unit: a Process, and in it the node's own code ─► ready, halted, ended
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from squall.bus.errors import SquallError
from squall.chaos.simulation.handlers import anew
from squall.chaos.simulation.loop import Process, VirtualLoop
from squall.chaos.simulation.venues import Venues
from squall.services.errors import LaunchError, SpecError
from squall.services.launch import Cable, Mint, Unit, nothing_minted
from squall.services.node.history import History
from squall.services.node.points import Points
from squall.services.node.service import Alone, Answer, Halted, NodeStart, Order, Ready
from squall.services.node.serving import Serving, serving
from squall.services.node.surroundings import Surroundings
from squall.services.patterns import pattern_of
from squall.services.patterns.pattern import AGENT, VENUE

log = logging.getLogger("squall")

KILLED = -9
"""Exit status of a process that was killed."""

DEFECT = 1
"""Exit status of one that ended by a defect."""

READY_S = 60.0

HALTS_MAX = 4


class SimulatedUnit:
    """One start of a simulated node; see `squall.services.launch.Unit`."""

    def __init__(self, start: NodeStart, process: Process, number: int, loop: VirtualLoop) -> None:
        self.start = start
        self.process = process
        self.context = process.context()
        self.id = str(number)
        self.ready = Ready()
        self.killed_for = ""
        self.history: History | None = None
        self.served: asyncio.Future[Ready] = loop.create_future()
        self.halts: asyncio.Queue[str] = asyncio.Queue(HALTS_MAX)
        self.obey: Callable[[Order], None] | None = None
        self.status: asyncio.Future[int] = loop.create_future()

    async def ended(self) -> int:
        return await asyncio.shield(self.status)

    def answer(self, answer: Answer) -> None:
        """What the node says."""
        if isinstance(answer, Ready) and not self.served.done():
            self.served.set_result(answer)
        elif isinstance(answer, Halted) and not self.halts.full():
            self.halts.put_nowait(answer.point)

    def end(self, status: int) -> None:
        """It has ended, however: nothing of it runs or writes any more."""
        self.process.is_dead = True
        if self.history is not None:
            self.history.close()
        for leave in self.process.leaves:
            leave()
        self.process.leaves.clear()
        if not self.status.done():
            self.status.set_result(status)


class SimulatedLauncher:
    """Starts nodes as simulated processes; see `squall.services.launch.Launcher`.

    Args:
        around: What a process has around it.
        true_time_s: The time, in seconds since the epoch, whatever a node's clock says.
        closed: Told of each process that has ended, to close what it had open.

    Attributes:
        defects: How nodes ended by errors that they should have met, in words and in order.
    """

    target = "simulation"
    cable: Cable | None = None

    def __init__(
        self,
        loop: VirtualLoop,
        around: Callable[[Process], Surroundings],
        venues: Venues,
        true_time_s: Callable[[], float],
        closed: Callable[[Process], None],
    ) -> None:
        self._loop = loop
        self._around = around
        self._venues = venues
        self._true_time_s = true_time_s
        self._closed = closed
        self._numbers = 0
        self._units: dict[Process, SimulatedUnit] = {}
        self.defects: list[str] = []

    def host(self, node: str) -> str:
        return ""

    async def start(self, start: NodeStart, mint: Mint = nothing_minted) -> Unit:
        self._numbers += 1
        start = replace(start, credentials=mint() or start.credentials)
        unit = SimulatedUnit(start, Process(start.node), self._numbers, self._loop)
        self._units[unit.process] = unit
        self._loop.call_soon(self._begin, unit, context=unit.context)
        try:
            async with asyncio.timeout(READY_S):
                either: set[asyncio.Future[Any]] = {unit.served, unit.status}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            self._end(unit, KILLED)
            raise LaunchError(f"{start.node} was not ready within {READY_S:g} s") from error
        if not unit.served.done():
            raise LaunchError(f"{start.node} ended with status {unit.status.result()} before it served")
        ready = unit.served.result()
        if ready.error:
            await unit.ended()
            kind = SpecError if ready.code == SpecError.exit_code else LaunchError
            raise kind(ready.error, ready.remedy)
        unit.ready = ready
        return unit

    def _begin(self, unit: SimulatedUnit) -> None:
        self._loop.create_task(self._live(unit))

    async def _live(self, unit: SimulatedUnit) -> None:
        """The process, from its beginning to its end."""
        status = DEFECT
        try:
            await (self._alone(unit) if unit.start.role == VENUE else self._serve(unit))
            status = 0
        except SquallError as error:
            unit.answer(Ready(error=str(error), remedy=error.remedy, kind=error.kind, code=error.exit_code))
        except Exception:
            self.defects.append(f"{unit.start.node} ended by a defect\n{traceback.format_exc()}".rstrip())
        self._end(unit, status)

    async def _serve(self, unit: SimulatedUnit) -> None:
        start, around = unit.start, self._around(unit.process)
        pattern = pattern_of(start.spec)
        handling = pattern.handling(start.spec, start.node)
        handler = anew(handling, start.origin) if start.role == AGENT else None
        path = Path(start.history)
        unit.history = History(path, start.node, start.incarnation, now_s=self._true_time_s)
        async with serving(
            start, pattern, unit.history, answer=unit.answer, handler=handler, around=around
        ) as node:
            self._obeys(unit, node)
            await node.ended()

    def _obeys(self, unit: SimulatedUnit, node: Serving) -> None:
        unit.obey = node.obey

    async def _alone(self, unit: SimulatedUnit) -> None:
        """The venue: it has no way to the broker."""
        points = Points(
            lambda point: unit.answer(Halted(point=point)),
            stand_still=self._around(unit.process).stand_still,
        )
        alone = Alone(start=unit.start, at=points, ready=lambda url: unit.answer(Ready(url=url)))

        unit.obey = alone.obey
        await self._venues.serve(alone, unit.process)

    def _end(self, unit: SimulatedUnit, status: int) -> None:
        unit.end(status)
        self._closed(unit.process)

    # A hold on it.

    async def tell(self, unit: Unit, order: Order) -> None:
        simulated = _unit(unit)
        if simulated.obey is not None and not simulated.process.is_dead:
            self._loop.call_soon(simulated.obey, order, context=simulated.context)

    async def halted(self, unit: Unit) -> str | None:
        simulated = _unit(unit)
        said = asyncio.ensure_future(simulated.halts.get())
        ended = asyncio.ensure_future(simulated.ended())
        try:
            await asyncio.wait({said, ended}, return_when=asyncio.FIRST_COMPLETED)
            return said.result() if said.done() else None
        finally:
            said.cancel()
            ended.cancel()

    async def freeze(self, unit: Unit) -> bool:
        _unit(unit).process.stands_still = True
        return await self.stands_still(unit)

    async def thaw(self, unit: Unit) -> bool:
        process = _unit(unit).process
        if process.stands_still:
            self._loop.go_on(process)
        return await self.goes_on(unit)

    async def stands_still(self, unit: Unit) -> bool:
        process = _unit(unit).process
        return process.stands_still and not process.is_dead

    async def goes_on(self, unit: Unit) -> bool:
        process = _unit(unit).process
        return not process.stands_still and not process.is_dead

    def memory_kib(self, unit: Unit) -> int | None:
        return None  # all share one process of the machine

    async def kill(self, unit: Unit) -> None:
        simulated = _unit(unit)
        if not simulated.process.is_dead:
            self._end(simulated, KILLED)

    async def stop(self, unit: Unit, *, grace_s: float) -> None:
        simulated = _unit(unit)
        await self.thaw(unit)
        await self.tell(unit, Order(stop=True, grace_s=grace_s))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await simulated.ended()
        await self.kill(unit)

    def forget(self, unit: Unit) -> None:
        """It has ended."""

    def killed_itself(self, process: Process, status: int) -> None:
        """Something in a process has ended it."""
        unit = self._units.get(process)
        if unit is not None:
            self._end(unit, status)


def _unit(unit: Unit) -> SimulatedUnit:
    assert isinstance(unit, SimulatedUnit)
    return unit
