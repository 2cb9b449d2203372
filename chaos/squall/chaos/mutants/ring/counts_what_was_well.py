"""A breaker counts twenty of a hundred attempts as failed that were well: it opens though nothing failed."""

from __future__ import annotations

from collections import Counter

from squall.services.rules.breaker import Breaker, Counts, End


def install(node: str, role: str) -> None:
    counts_of, told = Breaker.counts_of, Counter[int]()

    def miscounted(self: Breaker, end: End, took_s: float) -> Counts:
        found = counts_of(self, end, took_s)
        told[id(self)] += 1
        return Counts(found.calls, found.calls, 0) if told[id(self)] % 100 >= 80 else found

    Breaker.counts_of = miscounted  # type: ignore[method-assign]
