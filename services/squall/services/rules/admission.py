"""How many tasks a coordinator keeps dispatched and not yet terminal.

Additive increase, multiplicative decrease, as TCP does it: a window's worth of
results in good time raises the window by a step, an old task halves it, at most
once a window. What does not fit waits in the ingress stream, and what does not
fit there is refused.

Source: Chiu and Jain, 1989, section 3.
"""

from __future__ import annotations


class Window:
    """The limit on open tasks.

    Args:
        slots: Tasks the agents can run at a time; the window starts at twice that and never falls below it.
        limit_max: Where it ends.
        age_s_max: A task older than this when it ends is a sign of overload.
    """

    def __init__(self, slots: int, *, limit_max: int, age_s_max: float) -> None:
        self._slots = max(1, slots)
        self._limit_max = limit_max
        self._age_s_max = age_s_max
        self._limit = float(min(2 * self._slots, limit_max))
        self._since_cut = 0

    @property
    def limit(self) -> int:
        return int(self._limit)

    def resize(self, slots: int) -> None:
        """The agents can run this many now."""
        self._slots = max(1, slots)
        self._limit = min(float(self._limit_max), max(self._limit, 2.0 * self._slots))

    def ended(self, age_s: float) -> None:
        """A task ended this long after it was dispatched."""
        self._since_cut += 1
        if age_s > self._age_s_max:
            if self._since_cut >= self._limit:
                self._limit = max(float(self._slots), self._limit / 2)
                self._since_cut = 0
            return
        self._limit = min(float(self._limit_max), self._limit + self._slots / self._limit)
