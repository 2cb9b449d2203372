"""A degraded gateway that sends again what the venue failed on before, whatever it is."""

from __future__ import annotations

from typing import Any

from squall.services.roles import gateway


def install(node: str, role: str) -> None:
    carry = gateway.carry

    async def carried(*arguments: Any) -> None:
        await carry(*arguments[:3])

    gateway.carry = carried  # type: ignore[assignment]
