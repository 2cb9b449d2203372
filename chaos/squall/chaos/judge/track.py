"""What a pattern tells of itself over time, for its page: what waited, and how its parts stood. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Standing = Literal["well", "changed", "away", "trying", "operated", "wrong"]
"""
``well``, ``changed``: as it should be; the second follows the first where only that it changed is to be seen.
``away``: left alone, or with nobody to do it.
``trying``: it is found out whether it is well again.
``operated``: an operator had it stand so.
``wrong``: as it must never be.
"""


@dataclass(frozen=True, slots=True)
class Stretch:
    """How something stood for a while.

    Attributes:
        since_s, until_s: From when to when; infinite if to the end.
        about: In words.
    """

    since_s: float
    until_s: float
    standing: Standing
    about: str


@dataclass(frozen=True, slots=True)
class Band:
    """A row of stretches, in their order.

    Attributes:
        name: Of what it tells.
    """

    name: str
    stretches: Sequence[Stretch]


@dataclass(frozen=True, slots=True)
class Level:
    """How many of something there were.

    Attributes:
        name: Of what.
        changes: When there was one more (1), or one less (-1), in any order.
    """

    name: str
    changes: Sequence[tuple[float, int]]


Track = Band | Level
