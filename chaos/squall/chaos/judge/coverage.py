"""Coverage: which step of which role was struck how, over all runs of a series. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from squall.chaos.evidence.model import History
from squall.chaos.plan.cells import STRIKES, Cell, cells


def coverage(histories: Iterable[History], points: Sequence[str]) -> Mapping[Cell, int]:
    """How often each cell was hit by a fault that was verified; 0 is a hole."""
    kinds = {kind: strike for strike, kind in STRIKES.items()}
    hits = dict.fromkeys(cells(points), 0)
    for history in histories:
        for fault in history.faults:
            cell = (fault.point, kinds.get(fault.kind, ""))
            if fault.verified and cell in hits:
                hits[cell] += 1
    return hits


def holes(hits: Mapping[Cell, int], to_an_effect: Sequence[str]) -> list[Cell]:
    """The cells on the way to an effect that no run has hit."""
    return [cell for cell, count in hits.items() if not count and cell[0] in to_an_effect]
