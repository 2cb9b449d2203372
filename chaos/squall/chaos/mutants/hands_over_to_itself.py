"""A leader that gives its term up and stands again at once: it follows itself before anybody else looks."""

from __future__ import annotations

from squall.bus import term


def install(node: str, role: str) -> None:
    def at_once(left_s: float, lease_s: float) -> float:
        return left_s

    term._stands_again_s = at_once
