"""What a series put a swarm to, and what it did not, by its histories alone. Pure.

    history ─► Exercise ─┐   faults by kind and target, what was in force at once, what the tasks did
    history ─► Exercise ─┼─► Exercised
    …                    ┘   a zero is what there is to exercise, and was not

A swarm that passed under everything but one kind of fault has not passed under that one. What there is, the
run's own spec tells: its surface, the kinds of faults, the sorts of tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from squall.chaos.evidence.facts import Injected
from squall.chaos.evidence.model import History
from squall.chaos.judge.checks.ledger import ORDINARY_HANDLER
from squall.chaos.plan.kinds import KINDS
from squall.chaos.plan.poison import is_poison, is_poisoned
from squall.chaos.plan.series import is_unhurried
from squall.chaos.plan.surface import BROKER, Surface, possible, surface_of
from squall.chaos.plan.varied import SHARES, is_varied, sort_of
from squall.services.errors import SpecError
from squall.services.run.swarm_toml import convert

DEPENDED_ON = ("answers", "attempts")
"""What kinds act on that strike a group of agents as a whole, by what all of them depend on."""

OUTAGE_S = 10.0
"""A fault that holds for so long is an outage: longer than any pause between two tries to connect."""

WORKLOADS = ("ordinary", "poison", "unhurried", *SHARES, "outage")
"""What tasks can do, or be in for; of handlers that are not the harness's there is ``other``."""

Pair = tuple[str, str]
"""A kind of fault and a target."""

Where = Literal["one node", "different nodes"]


@dataclass(frozen=True, slots=True)
class Exercise:
    """What one run exercised.

    Attributes:
        possible: The kinds and targets that there are, in order; none where its spec cannot be used.
        struck: How many faults there were of each, also of those that were missed.
        verified: How many of them were seen in force, at each node that they struck.
        together: Pairs of kinds that were in force at the same time, and how often.
        workloads: How many tasks were begun of each.
    """

    possible: Sequence[Pair]
    struck: Mapping[Pair, int]
    verified: Mapping[Pair, int]
    together: Mapping[tuple[Pair, Where], int]
    workloads: Mapping[str, int]


class Struck(msgspec.Struct, frozen=True, kw_only=True):
    """Faults of one kind on one target.

    Attributes:
        faults: How many there were; 0 of what there could have been.
        verified: How many were seen in force.
    """

    kind: str
    target: str
    faults: int
    verified: int


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """Two kinds of faults that were in force at the same time."""

    kinds: Pair
    where: Where
    times: int


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What tasks did: how many that did it were begun, in how many runs."""

    workload: str
    tasks: int
    runs: int


class Exercised(msgspec.Struct, frozen=True, kw_only=True):
    """What the runs of one pattern exercised."""

    pattern: str
    faults: tuple[Struck, ...]
    together: tuple[Together, ...]
    workloads: tuple[Work, ...]


def exercise_of(history: History) -> Exercise:
    """What a run exercised."""
    struck, verified = _struck(history)
    return Exercise(_possible(history), struck, verified, _together(history), _workloads(history))


def exercised(pattern: str, runs: Sequence[Exercise]) -> Exercised:
    """What all runs of a pattern exercised."""
    pairs = dict.fromkeys(pair for run in runs for pair in (*run.possible, *run.struck))
    together: Counter[tuple[Pair, Where]] = Counter()
    for run in runs:
        together.update(run.together)
    workloads = dict.fromkeys([*WORKLOADS, *(name for run in runs for name in run.workloads)])
    return Exercised(
        pattern=pattern,
        faults=tuple(
            Struck(
                kind=pair[0],
                target=pair[1],
                faults=sum(run.struck.get(pair, 0) for run in runs),
                verified=sum(run.verified.get(pair, 0) for run in runs),
            )
            for pair in pairs
        ),
        together=tuple(
            Together(kinds=kinds, where=where, times=times)
            for (kinds, where), times in sorted(together.items())
        ),
        workloads=tuple(
            Work(
                workload=name,
                tasks=sum(run.workloads.get(name, 0) for run in runs),
                runs=sum(name in run.workloads for run in runs),
            )
            for name in workloads
        ),
    )


# Of one run.


def _surface(history: History) -> Surface | None:
    try:
        return surface_of(convert(dict(history.spec), "the spec"))
    except SpecError:
        return None


def _possible(history: History) -> list[Pair]:
    surface = _surface(history)
    if surface is None:
        return []
    # Somebody else's broker is none of the processes that were started, and is not struck.
    spared = {BROKER} if history.nodes and all(start.role != BROKER for start in history.nodes) else set()
    targets = [target for target in surface.targets if target not in spared]
    found: list[Pair] = []
    for kind in KINDS.values():
        if kind.place and all(start.target != kind.place for start in history.nodes):
            continue
        groups = surface.groups if kind.breaks in DEPENDED_ON else ()
        there = possible(kind, [*targets, *groups], surface)
        found += dict.fromkeys((kind.name, _together_called(target, surface)) for target in there)
    return found


def _together_called(target: str, surface: Surface | None) -> str:
    """A target, or what groups of agents are called together: ``stage`` for ``stage-2``."""
    return target.rpartition("-")[0] if surface is not None and target in surface.groups else target


def _struck(history: History) -> tuple[Mapping[Pair, int], Mapping[Pair, int]]:
    """How many faults there were of each kind and target, and how many of them were seen in force."""
    surface = _surface(history)
    nodes: dict[str, list[Injected]] = {}
    for fault in (*history.faults, *history.missed):
        nodes.setdefault(_fault_of(fault), []).append(fault)
    struck: Counter[Pair] = Counter()
    verified: Counter[Pair] = Counter()
    for faults in nodes.values():
        pair = (faults[0].kind, _together_called(_target(faults[0]), surface))
        struck[pair] += 1
        verified[pair] += all(fault.verified for fault in faults)
    return struck, verified


def _together(history: History) -> Mapping[tuple[Pair, Where], int]:
    """Each two faults once, however many nodes they struck: on one node, and on different ones."""
    in_force: list[Injected] = []
    pairs: dict[tuple[str, str, Where], Pair] = {}
    for fault in sorted((f for f in history.faults if f.verified), key=lambda fault: fault.start_s):
        in_force = [other for other in in_force if other.end_s is None or other.end_s > fault.start_s]
        for other in in_force:
            if _fault_of(other) != _fault_of(fault):
                first, second = sorted((other.kind, fault.kind))
                where: Where = "one node" if other.node == fault.node else "different nodes"
                pairs[_fault_of(other), _fault_of(fault), where] = (first, second)
        in_force.append(fault)
    return Counter((kinds, where) for (_, _, where), kinds in pairs.items())


def _fault_of(line: Injected) -> str:
    """Which fault a line is of, where it struck several nodes."""
    return line.id.partition("/")[0] or f"{line.kind} {line.target} {line.start_s}"


def _target(fault: Injected) -> str:
    """The word that was struck; why it was, where a fault only helps another, stands after a comma."""
    return fault.target.partition(",")[0]


def _workloads(history: History) -> Mapping[str, int]:
    handler = history.asked.handler
    found = Counter(_workload_of(handler, task) for task in history.executions)
    outages = [
        (fault.start_s, fault.end_s)
        for fault in history.faults
        if fault.verified and fault.end_s is not None and fault.end_s - fault.start_s >= OUTAGE_S
    ]
    if outages:
        found["outage"] = sum(
            any(start_s <= offer.intended_s <= end_s for start_s, end_s in outages)
            for offer in history.submissions.values()
            if offer.intended_s is not None
        )
    return found


def _workload_of(handler: str | None, task: str) -> str:
    if is_varied(handler):
        sort = sort_of(task)
        return sort if sort in SHARES else "ordinary"
    if is_poisoned(handler):
        return "poison" if is_poison(task) else "ordinary"
    if is_unhurried(handler):
        return "unhurried"
    return "ordinary" if handler == ORDINARY_HANDLER else "other"
