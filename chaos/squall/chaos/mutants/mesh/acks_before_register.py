"""A decision is acknowledged before its register is written: who dies in between has lost the task."""

from __future__ import annotations

from typing import Any

from squall.services.roles.executor import Executor


def install(node: str, role: str) -> None:
    commit = Executor._commit

    async def acknowledged_first(self: Executor, delivery: Any, proposal: Any) -> bool:
        await self._service.connection.request(delivery.reply, b"+ACK", timeout_s=5)
        await self._service.at("agent.acknowledged")
        return await commit(self, delivery, proposal)

    Executor._commit = acknowledged_first  # type: ignore[method-assign]
