"""Traps: nodes that halt themselves at a named point of their work, and whoever waits for one there.

set ──► each node is told, also after a restart ──► one stands still ──► caught
                                                     another, later ──► sent on its way
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec

from squall.bus.border import printable
from squall.bus.tasks import Tasks, task_group
from squall.services.launch import Unit
from squall.services.node.service import Halt, Order
from squall.services.run.swarm import Swarm

log = logging.getLogger("squall")

LOOK_S = 0.05

HALT_S = 0.5
"""How long a node that stands still at no trap is listened to, before it is sent on."""

SETTLE_S = 0.5
"""How long a node may take to hear that a trap was taken away."""


@dataclass(eq=False)
class _Trap:
    point: str
    nth: int
    nodes: Sequence[str]
    caught: asyncio.Future[str]
    told: set[str] = field(default_factory=set)


class Traps:
    """The traps of one swarm. Made by `running`."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._open: list[_Trap] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, swarm: Swarm) -> AsyncIterator[Traps]:
        """Traps that can be set inside the block."""
        traps = cls(swarm)
        async with task_group() as tasks:
            tasks.daemon(traps._listen(tasks))
            try:
                yield traps
            finally:
                await asyncio.sleep(
                    SETTLE_S
                )  # who halts at a trap that was just taken away is sent on its way

    async def catch(self, point: str, nth: int, nodes: Sequence[str], *, timeout_s: float) -> str:
        """Wait until one of the nodes stands still at a point; its name. It stands there until it is thawed.

        Raises:
            TimeoutError: None came there.
        """
        trap = _Trap(point, nth, nodes, asyncio.get_running_loop().create_future())
        self._open.append(trap)
        try:
            async with asyncio.timeout(timeout_s):
                return await trap.caught
        except (TimeoutError, asyncio.CancelledError):
            if trap.caught.done() and not trap.caught.cancelled():  # in the same turn: nobody will thaw it
                await self._send_on(trap.caught.result())
            raise
        finally:
            self._open.remove(trap)
            await self._take_away(trap)

    async def _send_on(self, node: str) -> None:
        unit = self._swarm.units.get(node)
        if unit is not None:
            await self._swarm.launcher.thaw(unit)

    async def _listen(self, tasks: Tasks) -> None:
        heard: dict[str, asyncio.Task[None]] = {}
        while True:
            for node, unit in list(self._swarm.units.items()):
                if unit.id not in heard:
                    heard[unit.id] = tasks.daemon(self._hear(node, unit))
                for trap in self._open:
                    if node in trap.nodes and unit.id not in trap.told:
                        trap.told.add(unit.id)
                        halt = Halt(point=trap.point, nth=trap.nth)
                        await self._swarm.launcher.tell(unit, Order(halt=halt))
            await asyncio.sleep(LOOK_S)

    async def _take_away(self, trap: _Trap) -> None:
        """Tell those who were told of a trap, and were not caught, to pass.

        Who stands there already and was not heard goes on: its channel may be full of somebody else's words.
        """
        caught = trap.caught.result() if trap.caught.done() and not trap.caught.cancelled() else ""
        for node, unit in list(self._swarm.units.items()):
            if unit.id in trap.told:
                await self._swarm.launcher.tell(unit, Order(halt=Halt(point=trap.point, nth=0)))
                if node != caught:
                    await self._swarm.launcher.thaw(unit)

    async def _hear(self, node: str, unit: Unit) -> None:
        """Whenever the node stands still, hand it to whoever set the trap, or send it on.

        What it says is a hint: whoever runs in its process can write to its descriptors, before its own word.
        That it stands still is the operating system's word. So a node that stands, and has said what fits no
        trap, is listened to for a moment more before it is sent on.
        """
        stands = False
        reading = asyncio.ensure_future(self._next(node, unit))
        try:
            while True:
                said, _ = await asyncio.wait({reading}, timeout=HALT_S if stands else None)
                if not said:
                    stands = False
                    await self._swarm.launcher.thaw(unit)
                    continue
                point = reading.result()
                if point is None and self._swarm.units.get(node) is not unit:
                    return
                reading = asyncio.ensure_future(self._next(node, unit))
                if point is None or not await self._swarm.launcher.stands_still(unit):
                    await asyncio.sleep(LOOK_S)  # so that a flood of lies holds nobody else
                    continue
                here = [t for t in self._open if node in t.nodes and not t.caught.done()]
                wanted = next((trap for trap in here if trap.point == point), None)
                stands = wanted is None and bool(here)
                if wanted is not None:
                    wanted.caught.set_result(node)
                elif not here:
                    await self._swarm.launcher.thaw(unit)
        finally:
            reading.cancel()

    async def _next(self, node: str, unit: Unit) -> str | None:
        """What a node says next of where it halts; None if that is nothing, or it has ended."""
        try:
            return await self._swarm.launcher.halted(unit)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            log.warning("%s says what is no halt: %s", node, printable(str(error)))
            return None
