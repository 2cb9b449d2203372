"""Failures add up to a row though attempts between them ended well: who fails now and then is left out."""

from __future__ import annotations

from squall.services.rules.breaker import Counts
from squall.services.rules.ejection import Ejection


def install(node: str, role: str) -> None:
    counted = Ejection.counted

    def added(self: Ejection, now_s: float, name: str, more: Counts) -> None:
        row = self._rows.get(name, 0) + more.failed
        counted(self, now_s, name, more)
        self._rows[name] = row

    if role == "router":
        Ejection.counted = added  # type: ignore[method-assign]
