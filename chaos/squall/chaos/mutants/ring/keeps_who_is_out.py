"""It is said that an instance is left out, and its lanes stay where they are."""

from __future__ import annotations

from squall.services.rules.ejection import Ejection


def install(node: str, role: str) -> None:
    if role == "router":
        Ejection.out = lambda self, now_s: frozenset()  # type: ignore[method-assign]
