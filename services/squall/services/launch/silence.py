"""How long a node's loop may be silent. Pure.

A time-out that the loop itself keeps does not hold a handler that blocks the loop, or that never gives the
interpreter to another thread: a regular expression that backtracks, a loop without an await. So whoever
started the node listens for its loop, and ends a node whose loop is silent for longer than any attempt may
take.
"""

from __future__ import annotations

LOOK_S = 0.5
"""Between two looks."""

MARGIN_S = 5.0
"""How long a loop may be silent beyond what a handler may take. A busy machine keeps one waiting."""


class Silence:
    """Counts silence, and only what was listened to: a listener that stood still itself heard nothing.

    Args:
        max_s: How much of it there may be.
    """

    def __init__(self, max_s: float) -> None:
        self.max_s = max_s
        self._silent_s = 0.0
        self._looked_s: float | None = None

    def look(self, now_s: float, *, heard: bool, held: bool) -> bool:
        """Whether it is too long now.

        Args:
            heard: Whether the loop was heard since the last look.
            held: Whether the listener made the node stand still, so that it cannot be heard.
        """
        passed_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, 2 * LOOK_S)
        self._looked_s = now_s
        if heard:
            self._silent_s = 0.0
        elif not held:
            self._silent_s += passed_s
        return self._silent_s > self.max_s
