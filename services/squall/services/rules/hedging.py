"""When a task that takes long is tried a second time beside the first. Pure.

    how long tasks took ─► the time that 95 % of them kept to × a multiple ─► longer than that: a hedge

Whoever writes the register first wins, so a hedge costs work and nothing else; few are allowed. It is for
handlers that may be called twice at the same time, and say so.

Source: hedged requests (Dean, Barroso, The Tail at Scale, 2013).
"""

from __future__ import annotations

from collections import deque

QUANTILE = 0.95

SHARE_MAX = 0.05
"""Of all tasks, how many may have a hedge. Higher cuts the tail of more; lower costs less."""

LEAST_S = 1.0
"""No task is late before this, whatever is usual: what is this short is over before a hedge has begun."""

KNOWN_MIN = 20
"""Of so few tasks nothing is known of what is usual."""

KNOWN_MAX = 1000
"""Tasks that what is usual is computed of: the newest."""


class Hedging:
    """What is usual, and how many hedges there may be.

    Args:
        multiple: Of the usual time, after which a task is late; 0 for never.

    Attributes:
        tasks, hedges: How many there were.
    """

    def __init__(self, multiple: float) -> None:
        self._multiple = multiple
        self._took_s: deque[float] = deque(maxlen=KNOWN_MAX)
        self.tasks = 0
        self.hedges = 0

    def took(self, seconds: float) -> None:
        """A task ended so long after it was given out."""
        self._took_s.append(seconds)
        self.tasks += 1

    def late_s(self) -> float | None:
        """After how long a task is late; None while that is not known, or there are to be no hedges."""
        if not self._multiple or len(self._took_s) < KNOWN_MIN:
            return None
        ordered = sorted(self._took_s)
        return max(LEAST_S, self._multiple * ordered[int(QUANTILE * (len(ordered) - 1))])

    def may(self) -> bool:
        """Whether there may be one more."""
        return self.hedges < SHARE_MAX * self.tasks

    def hedged(self) -> None:
        """There is one more."""
        self.hedges += 1
