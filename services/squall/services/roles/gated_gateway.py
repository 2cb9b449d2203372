"""The gateway of a pattern whose hub decides: while nobody leads, it lets nothing but reductions through.

    registers ─► does a hub lead? ── yes ─► sent
                      │ no
                      ▼
                 reduces, and none of its symbols waits ─► sent
                 all else ─► waits for a hub

A register that was decided to reduce does so after those before it. Where one of the same symbol is kept
back, it is not known to reduce any more what the venue holds, so it waits behind that one. One before it may
also have been lost with a link; so after a new link nothing is sent until that would have come again. What
was sent before, and had no answer, is not repeated as it was: it goes through the same gate.
"""

from __future__ import annotations

import asyncio
import time

from squall.bus.messages import TaskResult
from squall.bus.tasks import task_group
from squall.services.node.service import Service
from squall.services.roles import gateway
from squall.services.roles.announced import Announced
from squall.services.roles.gateway import POINTS
from squall.services.rules.exposure import symbols_of

__all__ = ["POINTS", "Reductions", "serve"]

ACK_WAITS = 2
"""After a new link: by then the broker has delivered again what it had delivered through the last one. Higher
means more certainty on a slow machine, and a longer wait."""


class Reductions:
    """Tells reductions from what has to wait; asked of all that waits, in its order.

    Args:
        complete: Whether nothing before any of it can be missing.
    """

    def __init__(self, *, complete: bool = True) -> None:
        self._complete = complete
        self._kept: set[str] = set()

    def __call__(self, result: TaskResult) -> bool:
        """Whether a register may be sent while nobody leads."""
        if result.status != "ok":
            return True
        if not self._complete:
            return False
        symbols = symbols_of(result.effects)
        if result.reduces and not symbols & self._kept:
            return True
        self._kept |= symbols
        return False


async def serve(service: Service) -> None:
    """Forward until asked to stop."""
    wake = asyncio.Event()
    announced = Announced(service, service.spec.lease_s, "reduce-only", wake.set)
    settle_s = ACK_WAITS * service.spec.ack_wait_s
    complete_s = time.monotonic() + settle_s

    def on_link() -> None:
        nonlocal complete_s
        complete_s = time.monotonic() + settle_s
        asyncio.get_running_loop().call_later(settle_s, wake.set)

    def sieve() -> gateway.Admit:
        if not announced.degraded:
            return gateway.everything
        return Reductions(complete=time.monotonic() >= complete_s)

    on_link()
    service.connection.on_link(on_link)

    async with task_group() as tasks:
        await announced.listen(tasks, slots=None)
        await gateway.carry(service, sieve, wake, lambda: announced.degraded)
