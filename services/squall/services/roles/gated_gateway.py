"""The gateway of a pattern whose hub decides: while nobody leads, it lets nothing but reductions through.

    registers ─► does a hub lead? ── yes ─► sent
                      │ no
                      ▼
                 reduces, and none of its symbols waits ─► sent
                 all else ─► waits for a hub

A register that was decided to reduce does so after those before it. Where one of the same symbol is kept
back, it is not known to reduce any more what the venue holds, so it waits behind that one.
"""

from __future__ import annotations

import asyncio

from squall.bus.messages import TaskResult
from squall.bus.tasks import task_group
from squall.services.node.service import Service
from squall.services.roles import gateway
from squall.services.roles.announced import Announced
from squall.services.roles.gateway import POINTS
from squall.services.rules.exposure import symbols_of

__all__ = ["POINTS", "Reductions", "serve"]


class Reductions:
    """Tells reductions from what has to wait; asked of all that waits, in its order."""

    def __init__(self) -> None:
        self._kept: set[str] = set()

    def __call__(self, result: TaskResult) -> bool:
        """Whether a register may be sent while nobody leads."""
        if result.status != "ok":
            return True
        symbols = symbols_of(result.effects)
        if result.reduces and not symbols & self._kept:
            return True
        self._kept |= symbols
        return False


async def serve(service: Service) -> None:
    """Forward until asked to stop."""
    wake = asyncio.Event()
    announced = Announced(service, service.spec.lease_s, "reduce-only", wake.set)

    def sieve() -> gateway.Admit:
        return Reductions() if announced.degraded else gateway.everything

    async with task_group() as tasks:
        await announced.listen(tasks, slots=None)
        await gateway.carry(service, sieve, wake)
