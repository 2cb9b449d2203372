"""Absence: a worker whose handler is not there pulls nothing for a while, then one task to see. Pure.

    there ──not there──► pausing: nothing ──pause over──► asking: one task at a time ──┬─► there
                            ▲                                                          │
                            └────────────── not there, and a longer pause ◄────────────┘

What was pulled meanwhile is given back without an attempt, so a handler that is away for an hour costs no
task anything but the hour.
"""

from __future__ import annotations

from squall.bus.backoff import bound_s

BASE_S = 0.1
CAP_S = 5.0
"""The first pause is twice the base. A higher cap asks less often, and notices later that it is back."""

PAUSE_MAX_S = 60.0
"""No pause that a handler asks for is kept longer than this."""


class Absence:
    """Whether a worker's handler is away, by what its attempts came to."""

    def __init__(self) -> None:
        self._tries = 0
        self._until_s = 0.0

    @property
    def lasts(self) -> bool:
        """Whether the last that was heard of it is that it is not there."""
        return self._tries > 0

    def missed(self, now_s: float, asked_s: float = 0.0) -> float:
        """It was not there; how long nothing is to be pulled from now on, in seconds.

        Several that missed it in the same pause are one.

        Args:
            asked_s: The least pause that the handler itself asks for.
        """
        if now_s >= self._until_s:
            self._tries += 1
        pause_s = max(bound_s(BASE_S, CAP_S, self._tries), min(asked_s, PAUSE_MAX_S))
        self._until_s = max(self._until_s, now_s + pause_s)
        return self._until_s - now_s

    def met(self) -> None:
        """It was there."""
        self._tries = 0
        self._until_s = 0.0

    def room(self, free: int, in_flight: int, now_s: float) -> int:
        """How many tasks may be pulled, of as many as there is room for otherwise."""
        if not self.lasts:
            return free
        if now_s < self._until_s:
            return 0
        return min(free, max(0, 1 - in_flight))
