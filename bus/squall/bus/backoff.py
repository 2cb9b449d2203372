"""Backoff: how long to wait before the next try. Pure.

Full jitter: a random time up to a bound that doubles with each try, so that many who failed together do not
come back together.

Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random
from typing import Protocol


class Chance(Protocol):
    """What a pause is drawn from: a `random.Random`, or the module itself."""

    def uniform(self, a: float, b: float, /) -> float: ...


def bound_s(base_s: float, cap_s: float, tries: int) -> float:
    """The longest pause after so many tries: base × 2^tries, at most the cap, however many they are."""
    return min(cap_s, base_s * 2.0 ** min(tries, 64))


class Backoff:
    """The pauses of one thing that is tried again and again.

    Args:
        base_s: The bound of the first pause is twice that.
        cap_s: No pause is longer.
        floor_s: No pause is shorter.
        chance: What they are drawn from.
    """

    def __init__(
        self, base_s: float, cap_s: float, *, floor_s: float = 0.0, chance: Chance | None = None
    ) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._floor_s = floor_s
        self._chance: Chance = chance or random
        self._tries = 0

    def pause_s(self) -> float:
        """How long to wait before the next try."""
        self._tries += 1
        return self._chance.uniform(self._floor_s, bound_s(self._base_s, self._cap_s, self._tries))

    def reset(self) -> None:
        """It worked."""
        self._tries = 0
