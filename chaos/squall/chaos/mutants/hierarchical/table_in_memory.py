"""Task table in the coordinator's memory: a submission is taken off the ingress when it has been read."""

from __future__ import annotations

import asyncio
from typing import Any

from squall.bus import log as bus_log
from squall.bus.errors import RequestError
from squall.services.roles import coordinator


class _Noting(asyncio.Queue[Any]):
    """Remembers how far the ingress has been read."""

    read = 0

    async def put(self, item: Any) -> None:
        await super().put(item)
        self.read = item[1]


def install(node: str, role: str) -> None:
    follow = coordinator.Coordinator._follow_ingress

    async def taken_off(self: coordinator.Coordinator) -> None:
        self._submitted = _Noting()
        removing = asyncio.ensure_future(remove(self, self._submitted))
        try:
            await follow(self)
        finally:
            removing.cancel()

    async def remove(self: coordinator.Coordinator, queue: _Noting) -> None:
        gone = 0
        while True:
            await asyncio.sleep(0)
            if queue.read > gone:
                try:
                    await bus_log.trim(self._connection, self._swarm.stream("IN"), below=queue.read + 1)
                except RequestError:
                    continue
                gone = queue.read
            else:
                await asyncio.sleep(0.001)

    coordinator.Coordinator._follow_ingress = taken_off  # type: ignore[method-assign]
