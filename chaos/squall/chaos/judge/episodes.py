"""Each recovery of a run: faults that overlapped, when all were healed, and when all was well again. Pure.

    fault ──────── healed            all that was due by then has ended
        fault ─────────── healed ···········│                            fault ─── healed ····│
                             └── took_s ────┘

A fault that strikes before the swarm has recovered belongs to the same recovery, which then counts from its
end. So a recovery is never cut short, and none is missed but one that the next fault disturbs.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from squall.chaos.evidence.facts import Injected
from squall.chaos.evidence.model import History
from squall.chaos.judge.tally import Tally


@dataclass(frozen=True, slots=True)
class Episode:
    """One recovery.

    Attributes:
        faults: What was recovered from.
        healed_s: When the last of them was healed.
        open: Tasks that were due by then, and ended later.
        took_s: How long after it all that was due by then had ended; 0 if it had.
    """

    faults: Sequence[Injected]
    healed_s: float
    open: int
    took_s: float


def episodes(history: History, counted: Tally) -> list[Episode]:
    """Those of a run, in order; none while a fault lasts. What never ended is left out: it is no late end."""
    if any(fault.end_s is None for fault in history.faults):
        return []
    tasks = _Tasks(history, counted)
    found: list[Episode] = []
    for fault in sorted(history.faults, key=lambda fault: fault.start_s):
        healed_s = over_s(fault)
        struck: Sequence[Injected] = (fault,)
        if found and fault.start_s <= found[-1].healed_s + found[-1].took_s:
            before = found.pop()
            struck, healed_s = (*before.faults, fault), max(before.healed_s, healed_s)
        found.append(tasks.recovered(struck, healed_s))
    return found


def over_s(fault: Injected) -> float:
    """When a fault was seen to be healed, or else when it was."""
    return max(fault.start_s, fault.healed_s or fault.end_s or 0.0)


class _Tasks:
    """When the accepted tasks of a run were due, and when they had ended, effects and all."""

    def __init__(self, history: History, counted: Tally) -> None:
        timed = sorted(
            (due_s, ended_s)
            for task in counted.accepted
            if (due_s := history.submissions[task].intended_s) is not None
            and (ended_s := ended(history, counted, task)) is not None
        )
        self._due_s = [due_s for due_s, _ in timed]
        self._ended_s = [ended_s for _, ended_s in timed]
        self._latest_s = list(itertools.accumulate(self._ended_s, max))

    def recovered(self, faults: Sequence[Injected], healed_s: float) -> Episode:
        due = bisect.bisect_right(self._due_s, healed_s)
        latest_s = self._latest_s[due - 1] if due else healed_s
        return Episode(
            faults=faults,
            healed_s=healed_s,
            open=sum(ended_s > healed_s for ended_s in self._ended_s[:due]),
            took_s=max(0.0, latest_s - healed_s),
        )


def ended(history: History, counted: Tally, task: str) -> float | None:
    """When a task had ended and its effects were carried out; None if it never came to that.

    Where it is not on record when effects were carried out, when it had ended.
    """
    register = counted.registers.get(task)
    if register is None:
        return None
    ended_s = register.stored_s
    if history.unwitnessed or counted.nowhere:
        return ended_s
    fills = history.venue.fills if history.venue is not None else {}
    for order_id in register.effects if register.status == "ok" else ():
        if order_id in fills:
            ended_s = max(ended_s, fills[order_id][0])
        elif order_id not in counted.refused_effects:
            return None
    return ended_s
