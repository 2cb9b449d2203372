"""The gateway of a pattern that keeps an order: where orders follow each other, so it carries them out.

    registers ─► the one behind the last that was sent? ── yes ─► sent
                        │ no                            └─ dead ─► that its place is passed
                        ▼
                 waits for it, however long ◄── asked now and then: how far does the broker have it?

What was lost with a link, or with the gateway before this one, comes again after an ack wait, behind what was
stored later. The broker knows the first register that is not acknowledged: that is the one to go on with.
What no order follows is carried out as elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec

from squall.bus.errors import RejectedError, RequestError
from squall.bus.jetstream import call
from squall.bus.messages import TaskResult
from squall.bus.subjects import GATEWAY
from squall.bus.tasks import task_group
from squall.services.handlers import effect_id
from squall.services.node.service import Service
from squall.services.roles import gateway
from squall.services.roles.gateway import POINTS
from squall.services.trading.orders import Following

__all__ = ["POINTS", "InOrder", "passing", "serve"]

LOOK_S = 0.1
"""How often the broker is asked how far it has registers acknowledged, while one is missing. Higher asks
less; lower goes on sooner after the gateway was started anew."""


class InOrder:
    """Which register is the next to be sent.

    Attributes:
        missing: Set while something waits that is not the next.
    """

    def __init__(self) -> None:
        self.missing = asyncio.Event()
        self.next = 0
        self.missing.set()

    def sieve(self) -> gateway.Admit:
        """Lets the next one through, the one behind it, and so on; and what was sent before."""
        self.missing.clear()
        return self._admits

    def _admits(self, sequence: int, result: TaskResult) -> bool:
        if not 0 < self.next >= sequence:
            self.missing.set()
            return False
        self.next = max(self.next, sequence + 1)
        return True

    def goes_on(self, acknowledged: int) -> bool:
        """Told that all up to a place are acknowledged; whether what waits may be another matter now."""
        before, self.next = self.next, max(self.next, acknowledged + 1)
        return self.next > before


def passing(task: str) -> Sequence[tuple[str, bytes]]:
    """What tells the venue that the order of a task does not come; nothing of a task with another name."""
    key, _, number = task.rpartition("-")
    account, _, symbol = key.partition("-")
    if not (account and symbol and number.isdecimal() and int(number)):
        return ()
    n = int(number)
    order = Following(
        account=account, symbol=symbol, n=n, side="none", quantity=0, price=0.0, after=n - 1, passed=True
    )
    return ((effect_id(task, 0), msgspec.json.encode(order)),)


async def serve(service: Service) -> None:
    """Forward until asked to stop."""
    if not service.spec.is_sequenced:
        await gateway.serve(service)
        return
    order, wake = InOrder(), asyncio.Event()

    async def look() -> None:
        while True:
            await order.missing.wait()
            with contextlib.suppress(RequestError, RejectedError):
                at = await call(service.connection, "CONSUMER", "INFO", service.swarm.stream("RES"), GATEWAY)
                if order.goes_on(int(at["ack_floor"]["stream_seq"])):
                    wake.set()
            await asyncio.sleep(LOOK_S)

    async with task_group() as tasks:
        tasks.daemon(look())
        await gateway.carry(service, order.sieve, wake, in_order=True, instead=passing)
