"""The coverage table of a pattern: which step of which role is to be struck, and how. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

STRIKES = {"kill": "crash", "pause": "pause", "cut": "blackhole-nofin"}
"""What can happen to a node at a point, and the fault that does it."""

CELLS_A_SEED = 4
"""How many cells of the table each seed strikes, so that enough seeds in a row strike every one."""

Cell = tuple[str, str]
"""A point and a strike, for instance ``("agent.committed", "kill")``."""


def cells(points: Iterable[str]) -> Sequence[Cell]:
    """The table: every point × kill, pause, cut."""
    return tuple(itertools.product(points, STRIKES))


def seeds_to_cover(points: Sequence[str]) -> int:
    """How many seeds in a row strike every cell at least once."""
    return -(-len(cells(points)) // CELLS_A_SEED)
