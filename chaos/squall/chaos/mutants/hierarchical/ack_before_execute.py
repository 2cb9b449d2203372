"""Acknowledge before executing: whatever the worker holds when it dies is gone."""

from __future__ import annotations

from typing import Any

from squall.bus.work_queue import WorkQueue


def install(node: str, role: str) -> None:
    attempt = WorkQueue._attempt

    async def acknowledged_first(self: WorkQueue, delivery: Any) -> None:
        await self._connection.request(delivery.reply, b"+ACK", timeout_s=5)
        await attempt(self, delivery)

    WorkQueue._attempt = acknowledged_first  # type: ignore[method-assign]
