"""What a simulated run is: a swarm and its faults, both drawn from a seed. Pure.

    seed ─┬─ swarm ──► agents, slots, timers, bounds, handler: whatever the validator allows
          └─ faults ─► kinds, targets, points, moments, lengths: whatever the swarm can be struck by

The pace of the broker is drawn from it as well, by the world.

Nothing is aimed: what aimed faults on the usual swarm do not find is found by swarms that nobody sets up.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import asdict

from squall.chaos.inject.handlers import WORK_S
from squall.chaos.plan import poison, varied
from squall.chaos.plan.draw import END_FAULTS, END_TARGETS
from squall.chaos.plan.kinds import KINDS, SEVER, Kind
from squall.chaos.plan.schedule import ASKED_OF_A_NODE, Interval, Schedule, check
from squall.chaos.plan.series import TAIL_HANDLER
from squall.chaos.plan.surface import Surface, possible, surface_of
from squall.services.errors import SpecError
from squall.services.patterns import pattern_of
from squall.services.patterns.pattern import VENUE
from squall.services.run.spec import HANDLER, INDEPENDENT, OWN, Spec

TASKS = 60
FAULTS = 4

LOAD_S = (0.5, 3.0)
"""Over how long the tasks are offered, at least and at most; so long go on the faults' beginnings, too."""

FOR_S = (0.05, 0.3, 0.8, 1.5, 4.0, 12.0)
"""About how long a fault lasts: one of these, by half more or less."""

AT_POINT = 0.4
"""How likely a fault strikes at a point of its target's work, where it can."""

AT_END = 0.3
END_S = 4.0
"""How likely a fault strikes as the load ends, where it can, and for how long at most."""

NTHS = (1, 1, 2, 3, 10)

CHOICES: Mapping[str, Sequence[Any]] = {
    "agents": (1, 2, 3, 4, 4, 6, 8),
    "slots": (1, 2, 4, 8, 16),
    "ack_wait_s": (0.5, 1.5, 1.5, 5.0),
    "attempts": (2, 3, 5),
    "lease_s": (0.5, 1.0, 1.0, 3.0),
    "retry_base_s": (0.1, 0.5),
    "retry_cap_s": (0.5, 2.0, 10.0),
    "ingress_max": (5, 20, 150, 4000),
    "patience_s": (0.5, 5.0, 60.0),
    "handler": (HANDLER, HANDLER, HANDLER, TAIL_HANDLER, varied.HANDLER, poison.HANDLER),
}
"""What is drawn of the fields that all patterns have."""

OWN_MAX = 4
"""How far above its least a number may be that only one pattern has; its default is drawn as often as all."""

COUNT_MIN = 64
"""What may not be less than this counts no things but bytes, and its least is nothing that anybody uses."""

THROUGH_S = 10.0
"""How long a swarm may take for all its tasks: what the ingress holds is let in each time that a leader trims
it, and a handler takes its time in each slot."""

TRIM_S = 0.2
"""How often leaders do."""

DRAWS_MAX = 100


def spec_of(seed: int, spec: Spec, *, tasks: int = TASKS, agents: int | None = None) -> Spec:
    """The swarm of a seed.

    Args:
        spec: What is not drawn, and whose own fields are not.
        agents: How many, if that is not to be drawn.
    """
    chance = random.Random(f"{seed}/swarm")
    for _ in range(DRAWS_MAX):
        drawn = {field: chance.choice(values) for field, values in CHOICES.items()}
        drawn |= {field: chance.choice(values) for field, values in _own(spec, agents).items()}
        drawn["rate_per_s"] = round(tasks / chance.uniform(*LOAD_S), 3)
        if agents is not None:
            drawn["agents"] = agents
        if spec.handler != HANDLER:
            drawn["handler"] = spec.handler  # one that was asked for
        drawn["workload"] = _workload(spec, drawn["handler"])
        try:
            made = msgspec.convert({**asdict(spec), **drawn, "seed": seed, "tasks": tasks}, type=type(spec))
            pattern_of(made).check(made)
        except (msgspec.ValidationError, SpecError):
            continue
        if _keeps_up(made) or spec.handler != HANDLER:
            return made
    raise AssertionError(f"no swarm of {spec.pattern} can be drawn")


def _workload(spec: Spec, handler: str) -> str:
    """That of the spec; but handlers of all sorts place several orders, or none, so nothing could follow."""
    return INDEPENDENT if spec.workload != OWN and varied.is_varied(handler) else spec.workload


def _keeps_up(spec: Spec) -> bool:
    """Whether the swarm can get through its load soon enough, undisturbed, for the bounds to say anything.

    They are computed from timers and from the load's own pace, so whoever is slower than that fails them for
    nothing that was done to it.
    """
    let_in_s = spec.tasks / spec.ingress_max * TRIM_S
    return max(let_in_s, spec.tasks * _work_s(spec)) <= THROUGH_S


def _work_s(spec: Spec) -> float:
    """How long an average task keeps agents from the next; what poison takes down waits for an ack wait."""
    slots = spec.agents * spec.slots
    if poison.is_poisoned(spec.handler):
        return poison.LONG_S / poison.LONG_ONE_IN / slots + (
            spec.attempts * spec.ack_wait_s / poison.ONE_IN / spec.agents
        )
    if varied.is_varied(spec.handler):
        return varied.LONG_S * varied.SHARES["long"] / 100 / slots
    return WORK_S / slots if spec.handler == TAIL_HANDLER else 0.0


def _own(spec: Spec, agents: int | None) -> Mapping[str, Sequence[Any]]:
    """What is drawn of the fields that this pattern has beside those of all.

    Args:
        agents: How many are asked for; where they are many, what is usual of a field is in proportion.
    """
    times = max(1, (agents or 0) // spec.agents)
    return {
        name: [*small, *(getattr(spec, name) * times for _ in small)]
        for name, small in _small_numbers(type(spec)).items()
    }


@functools.cache
def _small_numbers(kind: type[Spec]) -> Mapping[str, Sequence[int]]:
    """The least that each number may be which only this kind of spec has, and a few above it."""
    common = {field.name for field in msgspec.structs.fields(Spec)}
    described = msgspec.inspect.type_info(kind)
    assert isinstance(described, msgspec.inspect.StructType)
    found: dict[str, Sequence[int]] = {}
    for field in described.fields:
        number = field.type
        if field.name in common or not isinstance(number, msgspec.inspect.IntType):
            continue
        least = number.ge if number.ge is not None else 1
        if least >= COUNT_MIN:
            continue
        most = min(number.le if number.le is not None else least + OWN_MAX, least + OWN_MAX)
        found[field.name] = range(int(least), int(most) + 1)
    return found


def schedule_of(seed: int, spec: Spec, *, faults: int = FAULTS) -> Schedule:
    """The faults of a seed."""
    chance = random.Random(f"{seed}/faults")
    surface = surface_of(spec)
    length_s = spec.tasks / spec.rate_per_s
    kinds = [
        kind
        for kind in KINDS.values()
        if not kind.place
        and (kind.breaks != "roster" or surface.has_roster)
        and (kind.breaks != "attempts" or surface.groups)
    ]
    intervals: list[Interval] = []
    while len(intervals) < faults:
        interval = _interval(chance, chance.choice(kinds), surface, length_s)
        if interval is not None:
            intervals.append(interval)
    intervals.sort(key=lambda interval: interval.at_s)
    return check(Schedule(seed=seed, intervals=tuple(intervals)), surface)


def _interval(chance: random.Random, kind: Kind, surface: Surface, length_s: float) -> Interval | None:
    """A fault of a kind; None if nothing of this swarm can be struck by it."""
    for_s = round(chance.choice(FOR_S) * chance.uniform(0.5, 1.5), 3) if kind.lasts else 0.0
    at_s = round(chance.uniform(0.0, length_s), 3)
    if surface.points and chance.random() < AT_POINT and _strikes_at_points(kind):
        point = chance.choice(sorted(surface.points))
        targets = possible(kind, surface.reaching(point), surface)
        follows = surface.is_take_over(point)
        is_felt = targets != [VENUE] or not _is_felt_by_answers(kind)
        if targets and is_felt and not (follows and len(surface.leaders) < 2):
            nth = 1 if follows else chance.choice(NTHS)
            return Interval(fault=kind.name, target=targets[0], at_s=at_s, for_s=for_s, point=point, nth=nth)
    targets = possible(kind, (*surface.targets, *surface.groups), surface)
    if not targets:
        return None
    if kind.name in END_FAULTS and chance.random() < AT_END:
        ends = possible(kind, END_TARGETS, surface)
        return Interval(fault=kind.name, target=chance.choice(ends), for_s=min(for_s, END_S), at_end=True)
    return Interval(fault=kind.name, target=chance.choice(targets), at_s=at_s, for_s=for_s)


def _is_felt_by_answers(kind: Kind) -> bool:
    """Whether only the answers of who is struck show it; a venue that stands still at a point gives none."""
    return kind.family == "slow" or kind.name == SEVER


def _strikes_at_points(kind: Kind) -> bool:
    """Whether who stands still at a point can be struck by it."""
    return kind.breaks in ("link", "process") and kind.name not in ASKED_OF_A_NODE
