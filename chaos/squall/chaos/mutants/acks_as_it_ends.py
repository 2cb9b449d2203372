"""An agent that, told to stop, acknowledges what it holds and ends."""

from __future__ import annotations

import asyncio
import os

from squall.bus.work_queue import WorkQueue


def install(node: str, role: str) -> None:
    serve = WorkQueue.serve

    async def served(self: WorkQueue, stop: asyncio.Event, *, grace_s: float) -> None:
        async def end() -> None:
            await stop.wait()
            for reply in list(self._held):
                await self._connection.publish(reply, b"+ACK", confirm=False)
            await self._connection.let_go()
            os._exit(0)

        ending = asyncio.ensure_future(end())
        await serve(self, asyncio.Event(), grace_s=grace_s)
        ending.cancel()

    WorkQueue.serve = served  # type: ignore[method-assign]
