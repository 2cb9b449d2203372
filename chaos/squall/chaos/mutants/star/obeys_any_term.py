"""Spokes obey a zombie: whichever hub announced itself last is the one, whatever its term."""

from __future__ import annotations

from squall.services.rules.degrade import HighestTerm


def install(node: str, role: str) -> None:
    def accepts(self: HighestTerm, term: int) -> bool:
        self.term = term
        return True

    HighestTerm.accepts = accepts  # type: ignore[method-assign]
