"""Half of the members, rounded down, are taken for a majority."""

from __future__ import annotations

from typing import Any

from squall.services.rules import quorum


def install(node: str, role: str) -> None:
    def half(rule: Any, total: int) -> int:
        return max(1, total // 2)

    quorum._needed = half
