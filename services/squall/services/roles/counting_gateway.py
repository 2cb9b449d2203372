"""The gateway of a pattern whose peers vote: it carries out what the log has approved, and nothing else.

registers ─► has the log approved exactly these effects? ── yes ─────► sent
                          │ not read so far ─► waits     └── no ─────► refused, with its reason
log ─────► its own count ─┘
"""

from __future__ import annotations

import asyncio
import contextlib

from squall.bus import log as bus_log
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

__all__ = ["POINTS", "serve", "why_not"]


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


async def serve(service: Service) -> None:
    """Forward until asked to stop."""
    deadline_s = spec_as(service.spec, MeshSpec).deadline_s
    counted = CountedLog(service, deadline_s=deadline_s, tells=False)
    wake = asyncio.Event()

    async def read() -> None:
        reader = bus_log.read(service.connection, counted.subjects.stream, counted.subjects.everything)
        async with contextlib.aclosing(reader) as records:
            async for stored in records:
                counted.take(stored)
                wake.set()

    def sieve() -> gateway.Admit:
        singles = gateway.singles_first()
        return lambda result: why_not(counted.fold, result) is not None and singles(result)

    async with task_group() as tasks:
        tasks.daemon(read())
        await gateway.carry(service, sieve, wake, refuses=lambda result: why_not(counted.fold, result) or "")
