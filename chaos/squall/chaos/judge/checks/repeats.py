"""U2: what is run, delivered or sent again is so only for a reason: somebody failed, or was struck. Pure.

A swarm that runs tasks twice passes every check of what came of them, since the register refuses the second
result. What handlers cost, or do to the world by themselves, is then doubled all the same. One that lets go
of what it was given, and waits for it to come again, passes them too, and is slow. And so does one that sends
its orders twice, since the venue refuses the second; and one that makes a failed attempt again at once, which
wears out what it failed for.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from squall.bus.lane_order import BACK_S_MAX
from squall.chaos.evidence.facts import Injected
from squall.chaos.evidence.model import Execution, History
from squall.chaos.evidence.operations import Given, Leave
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.reconnecting import BOUND_S
from squall.chaos.judge.decide import Finding, decide, some, tasks, unknown
from squall.chaos.judge.disturbance import START_S, is_delivery_disturbed
from squall.chaos.judge.mistakes import LATE_S, HoldUps, by_lap
from squall.chaos.judge.promise import Promise
from squall.chaos.judge.succession import overlaps
from squall.chaos.judge.under_way import attempts, waited_since_s
from squall.chaos.plan.surface import BROKER
from squall.services.patterns.pattern import AGENT

UNEXPLAINED = 3
UNEXPLAINED_SHARE = 0.002
"""How many tasks, and which share of those that ran, may be run again for no reason that is written down: a
machine that stands still for an ack wait does that, and nobody notes it. Higher lets more pass."""

GRAVE_SHARE = 0.05
"""Which share no machine does by itself, however busy it is."""

PAUSES_MIN = 20
PAUSE_SHARE = 0.25
"""How many failed attempts tell of pauses, and which share of the longest pause is the least on average. Half
of it is usual, as each is drawn evenly from nothing to the longest."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A task that was begun again.

    Attributes:
        reason: What explains it, in words that many repeats share; empty where nothing on record does.
    """

    task: str
    reason: str


def no_needless_repeat(case: Case) -> Finding:
    """U2."""
    history = case.history
    if not history.executions:
        return unknown("nothing is known of what was run")
    needless = [repeat.task for repeat in repeats(history) if not repeat.reason]
    hold_ups = HoldUps(history)
    let_go = list(_let_go(history, hold_ups))
    sent, sent_again = _sent_again(history)
    repeated = sum(
        any(len(runs) > 1 for runs in by_lap(history, task).values()) for task in history.executions
    )
    ran = len(history.executions)
    allowed = max(UNEXPLAINED, UNEXPLAINED_SHARE * ran)
    shown: list[str] = []
    late: list[str] = []
    for which, what in ((needless, "run again"), (let_go, "delivered and not begun")):
        if len(which) > allowed:
            said = f"{tasks(len(which))} of {ran:,} {what} though nothing had happened: {some(which)}"
            (shown if len(which) > GRAVE_SHARE * ran else late).append(said)
    if sent_again > max(UNEXPLAINED, UNEXPLAINED_SHARE * sent):
        said = f"orders came to the venue again {sent_again:,} times though nothing had happened"
        (shown if sent_again > GRAVE_SHARE * sent else late).append(said)
    shown += _hasty(history)
    return decide(
        case,
        shown=shown,
        late=late,
        passed=f"{tasks(ran)} run, {repeated:,} of them again, "
        f"{plural(len(needless) + len(let_go), 'time')} for no reason on record ({int(allowed)} allowed); "
        + (f"what was sent again is not known: {history.unwitnessed}." if history.unwitnessed else "")
        + ("" if history.unwitnessed else f"{plural(sent_again, 'order')} sent again for none."),
    )


_WHOM = {
    "absent": "another, as who had it was not heard",
    "stolen": "another, who had nothing to do",
    "hedge": "one more, as it took long",
}
"""To whom a task was given that somebody had; whether there was a reason for that is for another check."""


def repeats(history: History) -> list[Repeat]:
    """Each time that a task was run again, with what explains it."""
    found, hold_ups, begun = [], HoldUps(history), attempts(history)
    given = {each.task: each for each in history.of(Given)}
    for task in history.executions:
        for runs in by_lap(history, task).values():
            for before, again in itertools.pairwise(runs):
                waited_s = waited_since_s(history, begun[before.node, before.incarnation], before)
                reason = _reason(history, hold_ups, before, again, waited_s)
                if not reason and task in given and given[task].time_s <= again.time_s:
                    reason = f"it was given to {_WHOM[given[task].why]}"
                found.append(Repeat(task, reason))
    return found


def _reason(
    history: History, hold_ups: HoldUps, before: Execution, again: Execution, waited_since_s: float
) -> str:
    """What explains it: the attempt failed, its agent ended, one of both or the broker was struck.

    Or the handler held up one of both.

    Args:
        waited_since_s: From when on the one before can have waited in its agent, where it was delivered to.
    """
    if before.failed_s is not None:
        return "the attempt had failed"
    if before.node in history.lives.expelled:
        return "the agent had been put out"
    if any(gone.agent == before.node for gone in history.of(Leave)):
        return "the agent had left the swarm"
    since_s = waited_since_s - (history.asked.ack_wait_s or 0.0) - LATE_S
    for node in (before.node, again.node, BROKER):
        for fault in history.faults:
            if fault.node == node and overlaps(fault, since_s, again.time_s):
                return f"{fault.kind} of {'the broker' if node == BROKER else 'an agent that ran it'}"
    if any(
        start.node == before.node
        and start.incarnation > before.incarnation
        and start.started_s <= again.time_s + START_S
        for start in history.nodes
    ):
        return "the agent had ended"
    return "the handler held up an agent that had it" if hold_ups.excuse_repeat(before, again) else ""


def _hasty(history: History) -> list[str]:
    """Whether attempts that had failed were made again too soon, over all of them."""
    base_s, cap_s = history.asked.retry_base_s, history.asked.retry_cap_s
    if base_s is None or cap_s is None:
        return []
    shares = [
        (again.time_s - before.failed_s) / min(cap_s, base_s * 2.0**before.attempt)
        for runs in history.executions.values()
        for before, again in itertools.pairwise(sorted(runs, key=lambda run: run.time_s))
        if before.failed_s is not None
    ]
    if len(shares) < PAUSES_MIN or (usual := statistics.fmean(shares)) >= PAUSE_SHARE:
        return []
    return [
        f"{len(shares):,} failed attempts were made again after {usual:.0%} of the longest pause on average, "
        f"and {PAUSE_SHARE:.0%} is the least"
    ]


def _sent_again(history: History) -> tuple[int, int]:
    """How many orders came to the venue, and how often one came again for no reason on record."""
    if history.venue is None:
        return 0, 0
    again = history.venue.again
    needless = sum(not is_delivery_disturbed(history, time_s) for time_s in again)
    if history.is_outside:  # who gave no answer is asked again
        needless = max(0, needless - history.unanswered_effects)
    return history.venue.received - len(again), needless


def _let_go(history: History, hold_ups: HoldUps) -> Iterator[str]:
    """Tasks that were delivered before they were begun, for no reason on record."""
    begun, excused_s = attempts(history), dict[str, float]()
    in_turn = history.spec.get("order") == "strict"
    back_s = BACK_S_MAX if in_turn else 0.0  # what comes out of turn is given back for a while
    again_s = (history.asked.ack_wait_s or 0.0) + LATE_S + back_s
    given = {each.task for each in history.of(Given)}
    for task, first in sorted(_late_firsts(history), key=lambda each: each[1].time_s):
        if task in given:
            continue
        waited_s = waited_since_s(history, begun[first.node, first.incarnation], first)
        # In a strict order it may have waited for one before it, which comes again as late as that one did.
        behind = in_turn and first.time_s - excused_s.get(first.node, -math.inf) <= again_s
        if (
            behind
            or _was_disturbed(history, first, waited_s - back_s)
            or hold_ups.excuse_any(first.time_s, first.time_s)
        ):
            excused_s[first.node] = first.time_s
        else:
            yield task


def _late_firsts(history: History) -> Iterator[tuple[str, Execution]]:
    """Each task that was begun for the first time with a later attempt than the first, and that."""
    for task, runs in history.executions.items():
        first = min(runs, key=lambda run: run.time_s)
        if first.attempt > 1:
            yield task, first


def _was_disturbed(history: History, first: Execution, waited_since_s: float) -> bool:
    """Whether something was done, about when it was delivered before, to an agent or the broker.

    To whom it was delivered then, nobody tells.

    Args:
        waited_since_s: From when on it can have waited in the agent that began it.
    """
    if history.lives.expelled or history.of(Leave):
        return True
    since_s = waited_since_s - (history.asked.ack_wait_s or 0.0) - LATE_S
    agents = {start.node for start in history.nodes if start.role == AGENT}
    struck = any(
        (fault.node in agents or fault.node == BROKER)
        and fault.start_s <= first.time_s
        and _shows_until_s(history, fault) >= since_s
        for fault in history.faults
    )
    return struck or any(
        start.role == AGENT
        and start.incarnation > 1
        and since_s - START_S <= start.started_s <= first.time_s + START_S
        for start in history.nodes
    )


def _shows_until_s(history: History, fault: Injected) -> float:
    """Until when a fault keeps deliveries from a node: until it is over, and then until the node is back.

    It has the bound of L4 for that; one that takes longer is not excused.
    """
    if fault.end_s is None:
        return float("inf")
    back = (
        link_s
        for (node, _), links in history.lives.links.items()
        if node == fault.node
        for link_s in links
        if fault.end_s <= link_s <= fault.end_s + BOUND_S
    )
    return min(back, default=fault.end_s)


REPEATS = Promise(
    id="U2",
    name="no-needless-repeat",
    text="A task is run, delivered or sent again only where an attempt failed, or who had it was struck.",
    check=no_needless_repeat,
)
