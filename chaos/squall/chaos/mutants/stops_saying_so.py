"""A worker that says no more that it is at work, once it could not say it."""

from __future__ import annotations

import asyncio

from squall.bus.errors import RequestError
from squall.bus.work_queue import WorkQueue


def install(node: str, role: str) -> None:
    async def keep_alive(self: WorkQueue) -> None:
        while True:
            await asyncio.sleep(self._pacing.ack_wait_s / 3)
            for reply in list(self._held):
                try:
                    await self._connection.publish(reply, b"+WPI", confirm=False)
                except RequestError:
                    return

    WorkQueue._keep_alive = keep_alive  # type: ignore[method-assign]
