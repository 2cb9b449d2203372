"""An agent that acknowledges a task whose attempt failed."""

from __future__ import annotations

from squall.bus.messages import RunTask
from squall.bus.pull import Delivery
from squall.bus.work_queue import WorkQueue


def install(node: str, role: str) -> None:
    async def again(
        self: WorkQueue, delivery: Delivery, task: RunTask, attempt: int, *, after_s: float = 0.0
    ) -> None:
        await self._connection.publish(delivery.reply, b"+ACK", confirm=False)

    WorkQueue._again = again  # type: ignore[method-assign]
