"""The coverage table of a pattern: which step of which role is to be struck, and how. Pure."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence

STRIKES = {"kill": "crash", "pause": "pause", "cut": "blackhole-nofin"}
"""What can happen to a node at a point, and the fault that does it."""

SEEDS_TO_AN_EFFECT = 5
"""So many seeds in a row strike every step on the way to an effect in every way."""

SEEDS_FOR_ALL = 10
"""So many seeds in a row strike every step there is in every way."""

Cell = tuple[str, str]
"""A point and a strike, for instance ``("agent.committed", "kill")``."""


def cells(points: Iterable[str]) -> Sequence[Cell]:
    """The table: every point × kill, pause, cut."""
    return tuple(itertools.product(points, STRIKES))


def cells_of(seed: int, points: Iterable[str], to_an_effect: Sequence[str]) -> Sequence[Cell]:
    """A seed's share of the table.

    Args:
        to_an_effect: Which of the points are on the way to an effect; their turn comes more often.
    """
    table = list(cells(points))
    random.Random("cells").shuffle(table)
    often = [cell for cell in table if cell[0] in to_an_effect]
    seldom = [cell for cell in table if cell[0] not in to_an_effect]
    return *_share(often, seed, SEEDS_TO_AN_EFFECT), *_share(seldom, seed, SEEDS_FOR_ALL)


def _share(table: Sequence[Cell], seed: int, seeds: int) -> Sequence[Cell]:
    return table[seed % seeds :: seeds]
