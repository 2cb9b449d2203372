"""A task is acknowledged before its register is written: who dies in between has lost it."""

from __future__ import annotations

from typing import Any

from squall.bus.work_queue import WorkQueue


def install(node: str, role: str) -> None:
    commit = WorkQueue._commit

    async def acknowledged_first(self: WorkQueue, delivery: Any, task: Any, ended: Any, attempt: int) -> bool:
        await self._acknowledge(delivery)
        return await commit(self, delivery, task, ended, attempt)

    WorkQueue._commit = acknowledged_first  # type: ignore[method-assign]
