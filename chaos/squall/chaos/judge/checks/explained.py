"""U1: restarts have reasons, no agent exceeds its slots, and nothing is counted that must never be. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from squall.bus.border import printable
from squall.bus.ended import WORKERS_DIED
from squall.chaos.evidence.facts import Injected, NodeStart
from squall.chaos.evidence.model import History
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks import producing
from squall.chaos.judge.decide import Finding, decide, some, unknown
from squall.chaos.judge.mistakes import end_of, is_told
from squall.chaos.judge.promise import Promise
from squall.chaos.judge.succession import overlaps
from squall.chaos.plan.poison import is_poison, is_poisoned
from squall.chaos.plan.surface import BROKER

NEVER = (
    "violations",
    "unreadable",
    "dropped",
    "unasked",
    "spoiled",
    "overlooked",
    "redispatched",
    "buried",
)
"""Counts that are 0 in a good run, whatever is done to its network and its processes. The last three are of
tasks that a sweep found: they had ended, or been acknowledged without a result."""

NOT_COUNTING = ("broker", "venue", "nemesis")
"""What is in the list of nodes and sends no heartbeats; whatever is a node on the bus does."""

UNCOUNTED_S = 5.0
"""How long a node may have served undisturbed without a heartbeat that was heard; one comes each second."""

ENDING = ("crash", "restart")
"""Kinds of faults that end a process."""

SERVES_S = 5.0
"""By when a node that is started again must serve: it imports, connects, and reads what is kept."""


def nothing_unexplained(case: Case) -> Finding:
    """U1.

    A start after the first needs a reason that was written down before it: a fault that ended the process, a
    task that kills whoever works on it, or the node's own word that it gives up. An agent that was put out is
    explained, and fails this check all the same: the swarm had to defend itself.
    """
    history = case.history
    if not history.nodes:
        return unknown("nothing is known of any node")
    again = list(_restarts(history))
    shown = [
        *(
            f"{agent} was put out: {printable(reason) or 'no reason given'}"
            for agent, reason in history.lives.expelled.items()
        ),
        *_counted(history),
        *producing.hasty(history),
    ]
    inferred = [said for earlier, start in again if (said := _unexplained(history, earlier, start))]
    inferred += [*producing.off_pace(history), *_untold(history), *_over_slots(history)]
    passed = (
        f"{len(history.nodes)} starts, {len(again)} of them restarts, each with a reason on record; "
        f"no {', '.join(NEVER[:-1])} or {NEVER[-1]} messages counted."
    )
    return decide(
        case,
        shown=shown,
        inferred=inferred,
        late=[
            *producing.refused_undisturbed(history),
            *producing.late_beginnings(history),
            *_slow_to_serve(history),
        ],
        unseen=_uncounted(history),
        passed=passed,
    )


def _restarts(history: History) -> Iterator[tuple[NodeStart | None, NodeStart]]:
    """Each start that is not a node's first, after the one before it; None where that one is not known."""
    by_node: dict[str, list[NodeStart]] = {}
    for start in history.nodes:
        by_node.setdefault(start.node, []).append(start)
    for starts in by_node.values():
        starts.sort(key=lambda start: start.incarnation)
        if starts[0].incarnation > 1:
            yield None, starts[0]
        yield from itertools.pairwise(starts)


def _unexplained(history: History, earlier: NodeStart | None, start: NodeStart) -> str:
    """What is missing of a reason for a restart, in words; empty if there is one."""
    name = f"start {start.incarnation} of {start.node}"
    since_s = earlier.started_s if earlier is not None else 0.0
    failed = start.incarnation - (earlier.incarnation if earlier is not None else 0) - 1
    if failed and not any(
        (fault.node == BROKER or (fault.node == start.node and fault.kind not in ENDING))
        and overlaps(fault, since_s, start.started_s)
        for fault in history.faults
    ):
        return f"{name} follows {failed} that did not come to serve, and nothing was done to it"
    if start.node in history.lives.expelled:
        return ""
    if any(
        fault.kind in ENDING and fault.node == start.node and since_s <= fault.start_s <= start.started_s
        for fault in history.faults
    ):
        return ""
    before = (start.node, start.incarnation - 1 - failed)
    if is_told(history) and end_of(history, before):
        return ""
    if before in history.lives.reasons or history.lives.in_hand.get(before, frozenset()) & killers(history):
        return ""
    return f"{name} has no reason on record: no crash, no restart, no task that kills"


def _slow_to_serve(history: History) -> list[str]:
    """Starts after a node's first that took long to serve, though nothing was done to them meanwhile."""
    return [
        f"start {start.incarnation} of {start.node} took {start.started_s - start.launched_s:.1f} s to serve"
        for start in history.nodes
        if start.incarnation > 1
        and start.launched_s is not None
        and start.started_s - start.launched_s > SERVES_S
        and not any(
            (fault.node == BROKER or (fault.node == start.node and fault.kind not in ENDING))
            and overlaps(fault, start.launched_s, start.started_s)
            for fault in history.faults
        )
    ]


def killers(history: History) -> frozenset[str]:
    """The tasks that end the process that works on them: known poison, and what was buried for that."""
    found = {r.task for r in history.registers if r.status == "dead" and r.reason == WORKERS_DIED}
    if is_poisoned(history.asked.handler):
        found |= {task for held in history.lives.in_hand.values() for task in held if is_poison(task)}
    return frozenset(found)


def _untold(history: History) -> list[str]:
    """Attempts and offers whose end no line tells, of nodes that ended in good order and wrote of all."""
    found = []
    for what, open_ in (
        ("attempt", {who: len(held) for who, held in history.lives.in_hand.items()}),
        ("offer", history.unanswered),
    ):
        for who in sorted(history.lives.ended & open_.keys()):
            found.append(f"no line tells the end of {plural(open_[who], what)} of {who[0]}, start {who[1]}")
    return found


def _over_slots(history: History) -> list[str]:
    """Agents that had more attempts under way at a time than they have slots, by their own lines in order."""
    slots = history.asked.slots
    if slots is None:
        return []
    return [
        f"{node}, start {incarnation}, had {most} attempts under way at a time, with {plural(slots, 'slot')}"
        for (node, incarnation), most in sorted(history.lives.most_in_hand.items())
        if most > slots
    ]


def _counted(history: History) -> list[str]:
    """What was counted and must never happen, by its kind."""
    found = []
    for kind in NEVER:
        guilty = [
            f"{node} (start {incarnation}): {counts[kind]:,}"
            for (node, incarnation), counts in sorted(history.lives.counts.items())
            if counts.get(kind)
        ]
        if guilty:
            found.append(f"{kind} messages were counted by {some(guilty)}")
    return found


def _uncounted(history: History) -> list[str]:
    """Starts that served for long, undisturbed, and of which no counts are known."""
    ends: dict[tuple[str, int], float] = {}
    for earlier, start in _restarts(history):
        if earlier is not None:
            ends[earlier.node, earlier.incarnation] = start.started_s
    found = []
    for start in history.nodes:
        who = (start.node, start.incarnation)
        end_s = ends.get(who, history.read_back_s)
        if start.role in NOT_COUNTING or who in history.lives.counts or end_s is None:
            continue
        disturbed_s = sum(
            _overlap_s(fault, start.started_s, end_s)
            for fault in history.faults
            if fault.node in (start.node, BROKER)
        )
        if end_s - start.started_s - disturbed_s > UNCOUNTED_S:
            found.append(f"start {start.incarnation} of {start.node}")
    return [f"nothing is known of what was counted by {some(found)}"] if found else []


def _overlap_s(fault: Injected, since_s: float, until_s: float) -> float:
    """For how long a fault was on within a time, until it was seen healed."""
    end_s = fault.healed_s or fault.end_s or until_s
    return max(0.0, min(end_s, until_s) - max(fault.start_s, since_s))


EXPLAINED = Promise(
    id="U1",
    name="nothing-unexplained",
    text="Each restart has a reason on record, no agent works on more than its slots, and nothing is counted "
    "that must never happen.",
    check=nothing_unexplained,
)
