"""Whether something that a consumer sent before is still missing, and how much longer to wait for it. Pure.

    came 1 2 3 ─── 6 7 ──► wait ──► 4 5: go on
                                └─► nothing in time: it was lost with a link, and comes again as 8 9

A consumer numbers what it sends. While a node moves over to a new link, what was sent through the old one may
arrive after what was sent through the new one, a few milliseconds late.
"""

from __future__ import annotations


class Consecutive:
    """The numbers that have come.

    Args:
        patience_s: How long to wait for one that is missing. Higher keeps the order on a slower machine;
            lower delays less what comes after a link was lost.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._through: int | None = None
        self._beyond: set[int] = set()
        self._since_s = 0.0

    def came(self, number: int, now_s: float) -> None:
        """Take note of one. The first of all has none before it."""
        if self._through is None:
            self._through = number - 1
        if number <= self._through:
            return
        if not self._beyond:
            self._since_s = now_s
        self._beyond.add(number)
        while self._through + 1 in self._beyond:
            self._through += 1
            self._beyond.remove(self._through)
            self._since_s = now_s

    def wait_s(self, now_s: float) -> float:
        """How much longer to wait for what is missing; 0 if nothing is, or it will not come any more."""
        if not self._beyond:
            return 0.0
        left_s = self._since_s + self._patience_s - now_s
        if left_s <= 0:
            self._through = max(self._beyond)
            self._beyond.clear()
        return max(0.0, left_s)
