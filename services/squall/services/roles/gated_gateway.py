"""The gateway of a pattern whose hub decides: while nobody leads, it lets nothing but reductions through.

    registers ─► does a hub lead? ── yes ─► sent
                      │ no
                      ▼
                 reduces, and none of its symbols waits ─► sent
                 all else ─► waits for a hub

A register that was decided to reduce does so after those before it. Where one of the same symbol is kept
back, it is not known to reduce any more what the venue holds, so it waits behind that one. One before it may
also have been lost with a link; so after a new link nothing is sent until that would have come again. What
comes again may have been overtaken, while a hub led, by what stands behind it: then it waits too. And what
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


class Gate:
    """What has gone through the gate so far.

    Attributes:
        newest: The place of the newest register that did; what stands before it and comes now was overtaken.
    """

    def __init__(self) -> None:
        self.newest = 0

    def opened(self, sequence: int, result: TaskResult) -> bool:
        """Nothing is kept back."""
        self.newest = max(self.newest, sequence)
        return True


class Reductions:
    """Tells reductions from what has to wait; asked of all that waits, in its order.

    Args:
        complete: Whether nothing before any of it can be missing.
    """

    def __init__(self, gate: Gate, *, complete: bool = True) -> None:
        self._gate = gate
        self._complete = complete
        self._kept: set[str] = set()

    def __call__(self, sequence: int, result: TaskResult) -> bool:
        """Whether a register may be sent while nobody leads."""
        if result.status != "ok":
            return True
        if not self._complete:
            return False
        symbols = symbols_of(result.effects)
        if result.reduces and sequence > self._gate.newest and not symbols & self._kept:
            return self._gate.opened(sequence, result)
        self._kept |= symbols
        return False


async def serve(service: Service) -> None:
    """Forward until asked to stop."""
    wake = asyncio.Event()
    announced = Announced(service, service.spec.lease_s, "reduce-only", wake.set)
    gate = Gate()
    settle_s = ACK_WAITS * service.spec.ack_wait_s
    complete_s = time.monotonic() + settle_s

    def on_link() -> None:
        nonlocal complete_s
        complete_s = time.monotonic() + settle_s
        asyncio.get_running_loop().call_later(settle_s, wake.set)

    def sieve() -> gateway.Admit:
        if not announced.degraded:
            return gate.opened
        return Reductions(gate, complete=time.monotonic() >= complete_s)

    on_link()
    service.connection.on_link(on_link)

    async with task_group() as tasks:
        await announced.listen(tasks, slots=None)
        await gateway.carry(service, sieve, wake, lambda: announced.degraded)
