"""Acknowledge before the request is stored: nobody asks for what a spoke had worked out when it died."""

from __future__ import annotations

from typing import Any

from squall.bus.work_queue import WorkQueue


def install(node: str, role: str) -> None:
    commit = WorkQueue._commit

    async def acknowledged_first(self: WorkQueue, delivery: Any, task: Any, ended: Any, attempt: int) -> bool:
        await self._connection.request(delivery.reply, b"+ACK", timeout_s=5)
        await self._at("acknowledged")
        return await commit(self, delivery, task, ended, attempt)

    WorkQueue._commit = acknowledged_first  # type: ignore[method-assign]
