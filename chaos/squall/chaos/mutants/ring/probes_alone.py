"""An instance has a breaker of its own: it does not ask how its stage's stands, and probes for all."""

from __future__ import annotations

from typing import Any

from squall.services.roles import instance
from squall.services.roles.guarded import Shared
from squall.services.rules.breaker import Changed, Share


def install(node: str, role: str) -> None:
    async def unasked(self: Shared, breaker: Any, now_s: Any) -> list[Changed]:
        return []

    Shared.follow = unasked  # type: ignore[method-assign]
    instance.share = lambda probes, instances, name: Share(probes, 0)  # type: ignore[attr-defined]
