"""H7: tasks go where the strategy says, and are given to somebody else only for a reason. Pure.

specialised            who ended a task has the capability that it needs
affinity, stealing     in the steady state most of what has one key runs where the one before it ran
round-robin            in the steady state all end as many
hedges                 what was given to one more is begun a second time, and few are
given to somebody else who had it was struck, or was not there
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from squall.chaos.evidence.facts import Phase
from squall.chaos.evidence.model import Execution, History
from squall.chaos.evidence.operations import Given, Leave
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.hub_log import Requested
from squall.chaos.judge.decide import Finding, decide, named, some, tasks, unexercised
from squall.chaos.judge.promise import Promise, an_experiment
from squall.chaos.judge.succession import overlaps
from squall.chaos.plan.surface import BROKER
from squall.services.patterns.pattern import AGENT
from squall.services.rules.hedging import SHARE_MAX

ALIKE = ("pull", "round-robin", "adaptive")
"""Strategies under which equal workers do equal shares, whatever the keys are."""

STAYS_MIN = 0.5
"""Which share of the tasks of a key must run where the one before it ran. Where who runs them is not chosen
by key it is one in as many as there are workers; what is over the bound of one goes elsewhere."""

PAIRS_MIN = 100
WORKERS_MIN = 3
"""Of fewer tasks, and of fewer workers, that share tells nothing."""

TURN_SLACK = 2
"""By how many tasks for each slot the shares of workers may differ that are given tasks in turn: what is
under way as one begins to count, and as one ends."""

UNDER_WAY_S = 1.0
"""How long a hedge may take to begin. A task that ends meanwhile may not need it, as a leader that is slow to
hear of registers finds out."""

HEDGES_MIN = 3
"""Of fewer hedges nothing follows from which of them began."""

SILENT_S = 10.0
"""How long before a task is taken from a worker what silenced it may have ended: an absence is noticed late,
and a worker that comes back has much to do."""


def shares_alike(history: History) -> bool:
    """Whether equal workers are to do equal shares."""
    return history.spec.get("distribution", "pull") in ALIKE


def as_said(case: Case) -> Finding:
    """H7."""
    history = case.history
    strategy = history.spec.get("distribution", "pull")
    shown, unseen, said = _hedges(history)
    if strategy == "specialised":
        shown += _unable(history)
        said.append("who ended a task had the capability")
    elif strategy in ("affinity", "stealing"):
        wrong, few, stays = _stays(history)
        shown, unseen, said = [*shown, *wrong], [*unseen, *few], [*said, *stays]
    elif strategy == "round-robin":
        wrong, few, equal = _turns(history)
        shown, unseen, said = [*shown, *wrong], [*unseen, *few], [*said, *equal]
    if unseen and not shown and not said:
        return unexercised(case, unseen[0])
    moved = Counter(given.why for given in history.of(Given))
    given = f"given to another: {moved['absent']:,} absent, {moved['stolen']:,} stolen"
    return decide(case, shown=shown, late=_needless(history), passed=f"{'; '.join([*said, given])}.")


def _is_held_to_it(history: History) -> bool:
    """Whether the strategy says anything of such a run: of shares only where there was a steady state."""
    strategy = history.spec.get("distribution", "pull")
    shares = strategy != "pull" and an_experiment(history)
    return shares or strategy == "specialised" or bool(history.spec.get("hedge_after"))


def _unable(history: History) -> list[str]:
    """Tasks that somebody ended who had not the capability, and another one had."""
    said = history.spec.get("capabilities")
    able: Mapping[str, Sequence[str]] = said if isinstance(said, Mapping) else {}
    agents = {node.node for node in history.nodes if node.role == AGENT}
    needed = {each for can in able.values() for each in can}  # some things agents set themselves to do
    found = [
        r.task
        for r in history.registers
        if r.agent in agents and r.job in needed and r.job not in able.get(r.agent, ())
    ]
    return named(found, "task", "been ended by an agent without the capability for it")


def _steady(history: History) -> Phase | None:
    return next((phase for phase in history.phases if phase.what == "steady"), None)


def _of_a_time(history: History, phase: Phase) -> Iterator[tuple[str, Execution]]:
    """The first run of each task that was begun in a time, in their order."""
    found = [
        (task, first)
        for task, runs in history.executions.items()
        if phase.time_s - phase.seconds
        <= (first := min(runs, key=lambda run: run.time_s)).time_s
        < phase.time_s
    ]
    yield from sorted(found, key=lambda each: each[1].time_s)


def _stays(history: History) -> tuple[list[str], list[str], list[str]]:
    """How much of what has one key runs in one place: what is wrong, why it is not known, what was seen."""
    steady, keys = _steady(history), {r.task: r.key for r in history.registers}
    ran: dict[str, list[str]] = defaultdict(list)
    for task, run in _of_a_time(history, steady) if steady is not None else ():
        if task in keys:
            ran[keys[task]].append(run.node)
    pairs = [before == after for where in ran.values() for before, after in itertools.pairwise(where)]
    if len(pairs) < PAIRS_MIN or (history.asked.agents or 0) < WORKERS_MIN:
        return [], [f"{tasks(len(pairs))} that follow another of their key are too few"], []
    share = sum(pairs) / len(pairs)
    seen = f"{share:.0%} of {len(pairs):,} tasks ran where the one before them of their key had"
    return ([f"{seen}, and {STAYS_MIN:.0%} is the least"] if share < STAYS_MIN else []), [], [seen]


def _turns(history: History) -> tuple[list[str], list[str], list[str]]:
    """Whether all were given as many: what is wrong, why it is not known, what was seen."""
    steady = _steady(history)
    if steady is None:
        return [], ["no steady state was seen"], []
    shares = Counter(run.node for _, run in _of_a_time(history, steady))
    agents = sorted({node.node for node in history.nodes if node.role == AGENT})
    counts = [shares[agent] for agent in agents]
    apart, slots = max(counts, default=0) - min(counts, default=0), history.asked.slots or 1
    seen = f"{len(agents)} agents began {min(counts, default=0):,} to {max(counts, default=0):,} tasks each"
    return ([f"{seen} in turn"] if apart > TURN_SLACK * slots else []), [], [seen]


def _hedges(history: History) -> tuple[list[str], list[str], list[str]]:
    """Whether hedges began, and were few: what is wrong, why it is not known, what was seen."""
    hedges = {given.task: given for given in history.of(Given) if given.why == "hedge"}
    if not history.spec.get("hedge_after"):
        found = named(sorted(hedges), "task", "been hedged, and nobody asked for that")
        return found, [], []
    ended_s = {register.task: register.stored_s for register in history.registers}
    # Where a hub decides, the work has ended with the request, though nobody may be there to decide on it.
    for request in history.of(Requested):
        ended_s[request.task] = min(request.stored_s, ended_s.get(request.task, math.inf))
    due = [
        task for task, given in hedges.items() if ended_s.get(task, math.inf) >= given.time_s + UNDER_WAY_S
    ]
    begun = [
        task
        for task in due
        if any(run.time_s >= hedges[task].time_s for run in history.executions.get(task, ()))
    ]
    wrong = []
    if len(due) >= HEDGES_MIN and 2 * len(begun) < len(due):
        idle = sorted({*due} - {*begun})
        wrong.append(f"{len(idle)} of {plural(len(due), 'hedge')} never began: {some(idle)}")
    ended = len(history.registers)
    if len(hedges) > SHARE_MAX * ended + len(history.nodes):  # each leader begins to count anew
        wrong.append(f"{plural(len(hedges), 'hedge')} of {tasks(ended)}, and {SHARE_MAX:.0%} may be")
    seen = [f"{plural(len(hedges), 'hedge')}; of {len(due):,} that were still needed {len(begun):,} began"]
    return wrong, [] if due else ["nothing was hedged"], seen if due else []


def _needless(history: History) -> list[str]:
    """Tasks that were taken from workers for being silent to whom nothing was done."""
    found = [
        given.task
        for given in history.of(Given)
        if given.why == "absent" and not _was_silenced(history, given)
    ]
    return named(found, "task", "been taken from a worker to whom nothing had been done")


def _was_silenced(history: History, given: Given) -> bool:
    since_s = given.time_s - SILENT_S - (history.asked.ack_wait_s or 0.0)
    return (
        any(
            fault.node in (given.frm, given.node, BROKER) and overlaps(fault, since_s, given.time_s)
            for fault in history.faults
        )
        or any(
            start.node in (given.frm, given.node) and start.incarnation > 1 and since_s <= start.started_s
            for start in history.nodes
        )
        or given.frm in history.lives.expelled
        or any(given.frm == end.node for end in history.held_up)
        or any(given.frm == gone.agent for gone in history.of(Leave))
    )


DISTRIBUTED = Promise(
    id="H7",
    name="distribution",
    text="Tasks go where the strategy says, and elsewhere only if who had them was silent, was full or "
    "took long.",
    check=as_said,
    when=_is_held_to_it,
    sometimes=True,
)
