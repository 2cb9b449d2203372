"""Spokes that never notice that nobody leads, and go on asking for whatever they like."""

from __future__ import annotations

from squall.services.rules.degrade import LeaderWatch


def install(node: str, role: str) -> None:
    def nothing_seen(self: LeaderWatch, now_s: float) -> bool:
        return False

    if role == "agent":
        LeaderWatch.look = nothing_seen  # type: ignore[method-assign]
