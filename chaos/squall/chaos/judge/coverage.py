"""Coverage: which step of which role was struck how, over all runs of a series. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from squall.chaos.evidence.model import History
from squall.services.patterns import hierarchical

STRIKES = {"kill": "crash", "pause": "pause", "cut": "blackhole-nofin"}
"""What can happen to a node at a point, and the fault that does it."""

CELLS = tuple(itertools.product(hierarchical.PATTERN.points(), STRIKES))
"""The coverage table: every point of every role × kill, pause, cut."""

CELLS_A_SEED = 4
"""So that nine seeds in a row hit each cell once."""

Cell = tuple[str, str]
"""A point and a strike, for instance ``("agent.committed", "kill")``."""

TO_AN_EFFECT = (
    "coordinator.gathered",
    "coordinator.dispatched",
    "agent.delivered",
    "agent.executed",
    "agent.committed",
    "gateway.delivered",
    "gateway.filled",
)
"""The points on a task's way from its acceptance to its effect: a claim about effects rests on these."""


def coverage(histories: Iterable[History]) -> Mapping[Cell, int]:
    """How often each cell was hit by a fault that was verified; 0 is a hole."""
    kinds = {kind: strike for strike, kind in STRIKES.items()}
    hits = dict.fromkeys(CELLS, 0)
    for history in histories:
        for fault in history.faults:
            cell = (fault.point, kinds.get(fault.kind, ""))
            if fault.verified and cell in hits:
                hits[cell] += 1
    return hits


def holes(hits: Mapping[Cell, int]) -> list[Cell]:
    """The cells on the way to an effect that no run has hit."""
    return [cell for cell, count in hits.items() if not count and cell[0] in TO_AN_EFFECT]
