"""A hub that takes over with nothing held, whatever was decided before it."""

from __future__ import annotations

from typing import Any

from squall.services.roles import hub
from squall.services.rules.hub import Standing


def install(node: str, role: str) -> None:
    restore = hub.restore  # type: ignore[attr-defined]

    async def restore_without(*told: Any, **through: Any) -> tuple[Standing, int]:
        standing, snapshot = await restore(*told, **through)
        standing.positions = {}
        return standing, snapshot

    hub.restore = restore_without  # type: ignore[attr-defined]
