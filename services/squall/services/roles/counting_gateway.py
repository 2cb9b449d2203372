"""The gateway of a pattern whose peers vote: it carries out what the log has approved, and nothing else.

registers ─► has the log approved exactly these effects? ── yes ─────► sent
                          │ not read so far ─► waits     └── no ─────► refused, with its reason
log ─────► its own count ─┘

An honest register is written once the decision is in the log. So it waits for no more than what was in the
log when it had come: if that has no decision, its writer made it up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from squall.bus import log as bus_log
from squall.bus.errors import RequestError
from squall.bus.messages import TaskResult
from squall.bus.tasks import task_group
from squall.bus.vote_messages import Propose
from squall.services.node.service import Service
from squall.services.patterns.mesh import MeshSpec
from squall.services.roles import gateway
from squall.services.roles.counted_log import CountedLog
from squall.services.roles.gateway import POINTS
from squall.services.rules.voting import Fold
from squall.services.run.spec import spec_as

__all__ = ["POINTS", "Waits", "refused", "serve", "why_not"]

log = logging.getLogger("squall")

LOOK_S = 0.5
"""How often it is asked how long the log is, while a register waits for it."""

NOT_DECIDED = "the log had not decided its task when it was written"


def why_not(fold: Fold, result: TaskResult) -> str | None:
    """Why the effects of a register may not be carried out, or empty; None while it is not known."""
    if result.status != "ok" or not result.effects:
        return ""
    at = fold.tasks.get(result.task)
    final = at.final if at is not None else None
    if final is None:
        return None
    said = final.content
    if final.outcome != "approve" or not isinstance(said, Propose) or said.dead:
        return f"the peers did not approve it: {final.outcome}"
    return "" if said.effects == result.effects else "the peers approved something else"


def refused(fold: Fold, result: TaskResult) -> str:
    """Why the effects of a register that waits no more may not be carried out; empty if they may."""
    why = why_not(fold, result)
    return NOT_DECIDED if why is None else why


class Waits:
    """For how long a register waits that is not known to be approved: until the log is read so far.

    Attributes:
        some: Set while one waits of which it is not known how far that is.
    """

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self._until: dict[str, int] = {}
        self.some = asyncio.Event()

    def are_over(self, result: TaskResult) -> bool:
        """Whether a register waits no more."""
        if why_not(self._fold, result) is None:
            until = self._until.setdefault(result.task, 0)
            if not until or self._fold.sequence < until:
                if not until:
                    self.some.set()
                return False
        self._until.pop(result.task, None)
        return True

    def boundless(self) -> list[str]:
        """The tasks whose registers wait, and it is not known how far the log is to be read."""
        return [task for task, until in self._until.items() if not until]

    def read_to(self, newest: int, tasks: list[str]) -> None:
        """The log was so long once these had come."""
        self._until.update(dict.fromkeys(self._until.keys() & {*tasks}, max(1, newest)))
        if not self.boundless():
            self.some.clear()


async def serve(service: Service) -> None:
    """Forward until asked to stop."""
    deadline_s = spec_as(service.spec, MeshSpec).deadline_s
    counted = CountedLog(service, deadline_s=deadline_s, tells=False)
    wake, waits = asyncio.Event(), Waits(counted.fold)

    async def read() -> None:
        reader = bus_log.read(service.connection, counted.subjects.stream, counted.subjects.everything)
        async with contextlib.aclosing(reader) as records:
            async for stored in records:
                counted.take(stored)
                wake.set()

    async def look() -> None:
        while True:
            await waits.some.wait()
            await asyncio.sleep(LOOK_S)
            waiting = waits.boundless()
            try:
                state = await bus_log.state(service.connection, counted.subjects.stream)
            except RequestError as error:
                log.info("it is not known how long the log is: %s", error)
                continue
            waits.read_to(int(state["last_seq"]), waiting)
            wake.set()

    def sieve() -> gateway.Admit:
        singles = gateway.singles_first()
        return lambda sequence, result: waits.are_over(result) and singles(sequence, result)

    async with task_group() as tasks:
        tasks.daemon(read())
        tasks.daemon(look())
        await gateway.carry(service, sieve, wake, refuses=lambda result: refused(counted.fold, result))
