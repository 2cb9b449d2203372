"""L5: an agent that serves, undisturbed and with room, takes part in the work. Pure.

started, or healed ── comes back ──┬── begins ── begins ──────── nothing ──────── begins ──
                                   │                    while others begin many
                                   └ from here on it must take its share

One that lives, beats and takes nothing is missed by nobody: the others do its work.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from squall.bus.connection import BACKOFF_S
from squall.chaos.evidence.facts import NodeStart
from squall.chaos.evidence.model import History
from squall.chaos.judge.case import Case
from squall.chaos.judge.decide import Finding, decide, unexercised
from squall.chaos.judge.promise import Promise, an_experiment
from squall.chaos.judge.under_way import Attempt, alone_after, attempts
from squall.chaos.plan.surface import BROKER
from squall.services.patterns.pattern import AGENT

BACK_S = BACKOFF_S[1] + 4.0
"""How long a node may take after a start or a fault until it works again: it finds its link, and what it had
asked for on the old one is given up."""

IDLE_S = 3.0
"""Shorter, and a handler that takes long may be why."""

SHARES = 60
"""So many times an agent's share of the others' work: of good runs the most seen were 25."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which nothing was done to an agent, and what its start began in all its life."""

    node: str
    since_s: float
    until_s: float
    attempts: Sequence[Attempt]


def all_take_part(case: Case) -> Finding:
    """L5."""
    history = case.history
    begun = sorted(run.time_s for runs in history.executions.values() for run in runs)
    agents = {start.node for start in history.nodes if start.role == AGENT}
    idle, watched_s, most = [], 0.0, 0.0
    for stretch in _undisturbed(history, begun[-1] if begun else 0.0):
        watched_s += stretch.until_s - stretch.since_s
        for after_s, before_s in _pauses(stretch, _slots(history)):
            others = bisect.bisect_left(begun, before_s) - bisect.bisect_right(begun, after_s)
            shares = others / len(agents)
            most = max(most, shares)
            if shares > SHARES:
                idle.append(
                    f"{stretch.node} began nothing for {before_s - after_s:.1f} s, undisturbed, "
                    f"while others began {others:,} tasks"
                )
    if not watched_s:
        return unexercised(case, "no agent was left undisturbed for long")
    return decide(
        case,
        late=idle,
        passed=f"{len(agents)} agents, watched for {watched_s:,.0f} s undisturbed in all; none left more "
        f"than {most:.0f} times its share to the others at a time, the bound is {SHARES}.",
    )


def _pauses(stretch: Stretch, slots: int) -> Iterator[tuple[float, float]]:
    """The long times between two attempts that an agent began, in which it had room for more."""
    begun = [each.begun_s for each in stretch.attempts]
    within = [at_s for at_s in begun if stretch.since_s < at_s < stretch.until_s]
    moments = [stretch.since_s, *within, stretch.until_s]
    for after_s, before_s in itertools.pairwise(moments):
        if before_s - after_s < IDLE_S:
            continue
        held = sum(each.begun_s <= after_s < each.ended_s for each in stretch.attempts)
        if held < slots:
            yield after_s, before_s


def _undisturbed(history: History, last_s: float) -> Iterator[Stretch]:
    """Each time in which nothing was done to a start of an agent, until the last attempt was begun.

    A task that was there as workers died runs alone, so that time does not count either.
    """
    begun, alone = attempts(history), alone_after(history)
    starts = [start for start in history.nodes if start.role == AGENT]
    for start in starts:
        later = [s.launched_s or s.started_s for s in starts if _follows(s, start)]
        end_s = min([*later, last_s])
        struck = [(start.started_s, start.started_s + BACK_S)]
        for fault in history.faults:
            if fault.node in (start.node, BROKER):
                healed_s = fault.healed_s or fault.end_s or float("inf")
                struck.append((fault.start_s, healed_s + BACK_S))
        mine = begun[start.node, start.incarnation]
        struck += [(each.begun_s, each.ended_s) for each in mine if each.number > alone]
        since_s = start.started_s
        for begin_s, until_s in sorted(struck):
            if since_s < min(begin_s, end_s):
                yield Stretch(start.node, since_s, min(begin_s, end_s), mine)
            since_s = max(since_s, until_s)
        if since_s < end_s:
            yield Stretch(start.node, since_s, end_s, mine)


def _slots(history: History) -> int:
    slots = history.spec.get("slots")
    return slots if isinstance(slots, int) else 1


def _follows(other: NodeStart, start: NodeStart) -> bool:
    return other.node == start.node and other.incarnation > start.incarnation


TAKING_PART = Promise(
    id="L5",
    name="taking-part",
    text="An agent that serves, undisturbed and with room, takes part in the work.",
    check=all_take_part,
    when=an_experiment,
    sometimes=True,
)
