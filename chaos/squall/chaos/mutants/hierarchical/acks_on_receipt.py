"""A gateway that acknowledges registers when they arrive: what it holds when it dies is never ordered."""

from __future__ import annotations

from typing import Any

from squall.services.roles.gateway import _Gateway


def install(node: str, role: str) -> None:
    batch = _Gateway._batch

    async def acknowledged(self: _Gateway) -> Any:
        found = await batch(self)
        for delivery, _ in found:
            await self._service.connection.publish(delivery.reply, b"+ACK", confirm=False)
        return found

    _Gateway._batch = acknowledged  # type: ignore[method-assign]
