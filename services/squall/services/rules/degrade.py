"""Who leads, as far as it is announced: lower terms are refused, and a silence is noticed. Pure.

announcement ─► its term is below the highest ─► refused
             └► else ─► obeyed, and the silence begins anew

no announcement obeyed for two leases ─► degraded, until the next one that is
"""

from __future__ import annotations

from typing import Literal

LEASES = 2
"""Leases of silence after which the leader is lost. Higher means fewer needless alarms when a fail-over takes
long, and a longer time in which one acts on what nobody decides on."""


class HighestTerm:
    """The highest term a node has heard of; commands of a lower one are refused."""

    def __init__(self) -> None:
        self.term = 0

    def accepts(self, term: int) -> bool:
        """Whether a command of this term is to be obeyed."""
        if term < self.term:
            return False
        self.term = term
        return True


class LeaderWatch:
    """Whether a leader is there for a node that has to do without one otherwise.

    Args:
        lease_s: How long a silent leader is left in office.
        now_s: When the node began, by a monotonic clock, as all times here.

    Attributes:
        highest: The highest term that was announced.
        degraded: Whether the leader was lost at the last look, and has not announced itself since.
    """

    def __init__(self, lease_s: float, now_s: float) -> None:
        self._patience_s = LEASES * lease_s
        self._heard_s = now_s
        self.highest = HighestTerm()
        self.degraded = False

    def announced(self, term: int, now_s: float) -> Literal["obeyed", "refused", "returned"]:
        """Take in an announcement; ``returned`` is one that is obeyed and ends a degraded time."""
        if not self.highest.accepts(term):
            return "refused"
        self._heard_s = now_s
        if self.degraded:
            self.degraded = False
            return "returned"
        return "obeyed"

    def look(self, now_s: float) -> bool:
        """Whether the leader is found to be lost by this look."""
        lost = not self.degraded and now_s - self._heard_s >= self._patience_s
        self.degraded = self.degraded or lost
        return lost
