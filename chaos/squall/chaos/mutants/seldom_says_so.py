"""A worker that says every third ack wait that it is at work: what takes long is run by others as well."""

from __future__ import annotations

import asyncio
import contextlib

from squall.bus.errors import RequestError
from squall.bus.work_queue import WorkQueue


def install(node: str, role: str) -> None:
    async def keep_alive(self: WorkQueue) -> None:
        while True:
            await asyncio.sleep(3 * self._pacing.ack_wait_s)
            for reply in list(self._held):
                with contextlib.suppress(RequestError):
                    await self._connection.publish(reply, b"+WPI", confirm=False)

    WorkQueue._keep_alive = keep_alive  # type: ignore[method-assign]
