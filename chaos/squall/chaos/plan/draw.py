"""Which fault when, on whom: drawn from a seed. Pure.

    seed ──┬─ families ──► which kinds of faults this run has at all
           ├─ points ────► which cells of the coverage table it is to hit
           └─ <family> ──► targets, moments, magnitudes

Each draws from a stream of its own, named after seed and purpose, so that a family more or less shifts no
other. Some families only, and those in numbers, find more than a little of each (swarm testing).

Source: A. Groce, C. Zhang, E. Eide, Y. Chen, J. Regehr, Swarm Testing (ISSTA 2012).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from squall.chaos.plan.bounds import take_over_bound_s
from squall.chaos.plan.cells import STRIKES, cells_of
from squall.chaos.plan.kinds import FAMILIES, kind_of
from squall.chaos.plan.schedule import Interval, Schedule, check
from squall.chaos.plan.surface import Surface, possible, surface_of
from squall.services.patterns.pattern import PRODUCER, VENUE
from squall.services.run.spec import Spec

TARGETS = ("leader", "standby", "any-agent", "minority", "all-agents", "gateway", PRODUCER, VENUE)
"""What a fault is drawn for, where the swarm has such nodes."""

FAMILY_ON = 0.5
"""How likely a seed has a family at all."""

OF_A_FAMILY = (1, 2)
"""How many faults a seed has of a family, at least and at most."""

AT_END = 0.4
"""How likely a seed's last fault strikes as the load ends."""

END_FAULTS = ("sever", "reset", "latency", "stall", "blackhole-nofin", "crash")
END_TARGETS = ("leader", "gateway", "any-agent", VENUE)

OF_ONE = 4
"""Intervals of a fault that was asked for by name."""

FIRST_PAST_BOUND_S = 0.5
"""How much longer than a take-over may take the leader is stopped first: one that is not made is seen."""

PAST_LEASE_S: Mapping[str, float] = {"pause": 1.0, "cut": 0.0}
"""How much longer than a lease a node is struck at a point, so that somebody follows a leader. That a way is
cut takes a second to be seen, which comes before this time."""

BROKER_FOR_S = (0.5, 2.0)
FOR_S = (0.3, 1.8)
"""How long a fault is in force once it has been seen to be; that takes a second for most of the network."""


def draw(
    seed: int,
    spec: Spec,
    *,
    length_s: float,
    faults: Sequence[tuple[str, str]] = (),
    to_an_effect: Sequence[str] = (),
) -> Schedule:
    """The schedule of a seed.

    Args:
        length_s: Over how long the beginnings of the faults are spread.
        faults: Only these, each with its target or an empty string for any; all there are, if empty. Then
            a leader is stopped first, for longer than a take-over may take, and the seed's cells of the table
            are hit.
        to_an_effect: The points on a task's way to its effect, which are to be struck more often.

    Raises:
        FaultError: There is no such fault or target.
    """
    surface = surface_of(spec)
    intervals: list[Interval] = []
    begin_s = 0.0
    if not faults:
        if surface.leading:
            # First and alone: a fail-over that nothing obstructs, to be timed.
            pause_s = take_over_bound_s(spec.lease_s) + FIRST_PAST_BOUND_S
            intervals.append(Interval(fault="pause", target="leader", for_s=_round(pause_s)))
            begin_s = pause_s + spec.lease_s
        intervals += _cells(seed, spec, surface, to_an_effect, begin_s, length_s)
    chosen = _stream(seed, "families")
    for family in FAMILIES:
        if chosen.random() < FAMILY_ON and not faults:
            intervals += _of_family(seed, family, surface, begin_s, length_s)
    for name, target in faults:
        intervals += _of_one(seed, name, target, surface, length_s)
    intervals.sort(key=lambda interval: interval.at_s)
    if not faults:
        intervals += _at_end(seed, surface)
    return check(Schedule(seed=seed, intervals=tuple(intervals)), surface)


def _at_end(seed: int, surface: Surface) -> list[Interval]:
    """What strikes as the load ends, in some seeds: what is lost then is followed by nothing."""
    chance = _stream(seed, "end")
    if chance.random() >= AT_END:
        return []
    fault = chance.choice(END_FAULTS)
    target = chance.choice(possible(kind_of(fault), END_TARGETS, surface))
    lasts_s = _round(chance.uniform(*FOR_S)) if kind_of(fault).lasts else 0.0
    return [Interval(fault=fault, target=target, for_s=lasts_s, at_end=True)]


def _of_family(seed: int, family: str, surface: Surface, begin_s: float, length_s: float) -> list[Interval]:
    chance = _stream(seed, family)
    found = []
    for _ in range(chance.randint(*OF_A_FAMILY)):
        kind = kind_of(chance.choice(FAMILIES[family]))
        low, high = BROKER_FOR_S if family == "broker" else FOR_S
        targets = ["broker"] if family == "broker" else possible(kind, (*TARGETS, *surface.groups), surface)
        if not targets:
            continue
        found.append(
            Interval(
                fault=kind.name,
                target=chance.choice(targets) if len(targets) > 1 else targets[0],
                at_s=_round(begin_s + chance.uniform(0.0, length_s)),
                for_s=_round(chance.uniform(low, high)) if kind.lasts else 0.0,
            )
        )
    return found


def _of_one(seed: int, name: str, target: str, surface: Surface, length_s: float) -> list[Interval]:
    chance = _stream(seed, f"{name}@{target}")
    kind = kind_of(name)
    # Where nothing of the swarm can be struck so, what is said of the leader tells why.
    every = (*TARGETS, *surface.groups)
    targets = [target] if target else possible(kind, every, surface) or ["leader"]
    return [
        Interval(
            fault=name,
            target=target or chance.choice(targets),
            at_s=_round((place + chance.random()) * length_s / OF_ONE),
            for_s=_round(chance.uniform(*FOR_S)) if kind.lasts else 0.0,
        )
        for place in range(OF_ONE)
    ]


def _cells(
    seed: int, spec: Spec, surface: Surface, to_an_effect: Sequence[str], begin_s: float, length_s: float
) -> list[Interval]:
    """The seed's share of the coverage table, one after the other, at places drawn from it.

    But for what is passed only after something else was done: a pattern's further runs see to that.
    """
    points = [point for point in surface.points if point not in surface.seldom]
    mine = list(cells_of(seed, points, to_an_effect))
    chance = _stream(seed, "points")
    chance.shuffle(mine)
    found = []
    for place, (point, strike) in enumerate(mine):
        follows = surface.is_take_over(point)
        if follows and len(surface.leaders) < 2:
            continue  # nobody is there to take over
        found.append(
            Interval(
                fault=STRIKES[strike],
                target=surface.reaching(point)[0],
                at_s=_round(begin_s + (place + chance.random()) * length_s / len(mine)),
                for_s=_round(spec.lease_s + PAST_LEASE_S[strike]) if strike in PAST_LEASE_S else 0.0,
                point=point,
                nth=chance.randint(1, 5) if not follows else 1,
            )
        )
    return found


def _stream(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed}/{name}")


def _round(seconds: float) -> float:
    return round(seconds, 3)
