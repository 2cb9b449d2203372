"""Complaints: what was wrong is counted each time, and logged only now and then, however much of it comes."""

from __future__ import annotations

import logging
from collections import Counter

from squall.bus.border import printable

log = logging.getLogger("squall")

LOGGED_EACH = 10
"""Complaints of a kind that are logged one by one; after those, each that doubles their number."""


class Complaints:
    """The complaints of one node.

    Args:
        counters: Where they are counted by kind.
    """

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters

    def __call__(self, kind: str, text: str) -> None:
        """Something was wrong.

        Args:
            kind: A short word, the name of the counter.
            text: What it was; it may come from outside.
        """
        self._counters[kind] += 1
        count = self._counters[kind]
        if count <= LOGGED_EACH or count.bit_count() == 1:
            log.warning("%s, number %d: %s", kind, count, printable(text))
