"""Whether all who tell of a run's faults tell the same: its schedule, their log, the nodes' own starts. Pure.

schedule.toml ──each interval── injected, or missed ──in── faults.jsonl
faults.jsonl ──each crash, restart── a further start ──in── nodes.jsonl
faults.jsonl ──each cut── nothing was heard of the node ── by the broker's own count

That a fault was verified is the harness's own word. What it did to a process shows in what others wrote.
"""

from __future__ import annotations

from collections import Counter

from squall.chaos.evidence.facts import Injected
from squall.chaos.evidence.model import History
from squall.chaos.evidence.plural import plural

ENDING = ("crash", "restart")
"""Kinds of faults that end a process, which is started again."""

CLOCK_S = 0.05
"""How far a start may be dated before the fault that led to it; both clocks are this machine's."""


def disagreements(history: History) -> list[str]:
    """What one of them tells and another does not, in words; of a run that came to be healed."""
    if not any(phase.what == "healed" for phase in history.phases):
        return []
    return [*_unaccounted(history), *_without_a_start(history), *_heard(history)]


def _unaccounted(history: History) -> list[str]:
    """Intervals of the schedule that were neither injected nor missed, by the log."""
    if history.intended is None:
        return []
    logged = {fault.id.partition("/")[0]: fault for fault in (*history.faults, *history.missed) if fault.id}
    done = Counter((fault.kind, fault.target, fault.point) for fault in logged.values())
    missing = Counter((each.fault, each.target, each.point) for each in history.intended) - done
    if not missing:
        return []
    kind, target, point = next(iter(missing))
    where = f" at {point}" if point else ""
    planned = f"{plural(missing.total(), 'planned fault')} neither injected nor missed"
    return [f"{planned}, the first: {kind} of {target}{where}"]


def _without_a_start(history: History) -> list[str]:
    """Ends of processes that no further start of the node followed, each end with a start of its own."""
    starts: dict[str, list[float]] = {}
    for start in sorted(history.nodes, key=lambda start: start.started_s):
        if start.incarnation > 1:
            starts.setdefault(start.node, []).append(start.started_s)
    found = []
    for fault in _ends(history):
        later = starts.get(fault.node or "", [])
        following = next((time_s for time_s in later if time_s >= fault.start_s - CLOCK_S), None)
        if following is None:
            found.append(f"the {fault.kind} of {fault.node} was followed by no further start of it")
        else:
            later.remove(following)
    return found


def _heard(history: History) -> list[str]:
    """Nodes that the broker heard of while nothing of theirs could arrive."""
    return [
        f"the broker heard of {fault.node} under the {fault.kind} of it"
        for fault in history.faults
        if fault.verified and any(count > fault.heard[0] for count in fault.heard[1:])
    ]


def _ends(history: History) -> list[Injected]:
    ends = [fault for fault in history.faults if fault.kind in ENDING and fault.node and fault.verified]
    return sorted(ends, key=lambda fault: fault.start_s)
