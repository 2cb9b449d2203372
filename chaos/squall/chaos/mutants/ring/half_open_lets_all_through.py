"""A half-open breaker lets everything through: what has just failed has all its load again at once."""

from __future__ import annotations

from squall.services.rules.breaker import Breaker, Permit


def install(node: str, role: str) -> None:
    admit = Breaker.admit

    def unbounded(self: Breaker, now_s: float) -> Permit | None:
        self._begun = 0
        return admit(self, now_s)

    Breaker.admit = unbounded  # type: ignore[method-assign]
