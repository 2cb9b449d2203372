"""What must hold of lanes while they move: R7. Pure.

    owners of lanes, by the broker's own configurations, look after look ─┐
    when routers and broker were struck ──────────────────────────────────┼─► never two; none not for long
    who had which task under way: see `ring_handovers` ───────────────────┘

No line of who moves lanes is believed. A lane has no owner from the look that found none to the next that
found one, without the times in which nobody may have been there to move it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from squall.bus.lanes import ALL
from squall.chaos.evidence.facts import Count, Operation
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Operations
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.ring_handovers import WaitedOut, begun_early
from squall.chaos.judge.decide import Finding, decide, some, unexercised, unknown
from squall.chaos.plan.bounds import START_S, take_over_bound_s
from squall.chaos.plan.surface import BROKER
from squall.services.patterns.pattern import AGENT
from squall.services.patterns.ring import RingSpec

ROUTER = "router"

CALLS_S = 6.0
"""What three calls may take: one that gave a lane up is looked at, that is noted, another is made."""

SLACK_S = 1.0
"""What a look, and a machine with other work, may add."""


class Owners(Operation, frozen=True, kw_only=True):
    """Who has which lanes of a stage, by the broker's own configurations.

    Attributes:
        owners: Lanes with blanks between, by consumer.
    """

    stage: Count
    owners: Mapping[str, str]

    def of(self, lane: str) -> list[str]:
        return [name for name, lanes in self.owners.items() if lane in lanes.split()]


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a lane had no owner, without what of it routers or broker were struck."""

    stage: int
    lane: str
    since_s: float
    took_s: float


def bound_s(spec: RingSpec) -> float:
    """How long a lane may be without an owner while nobody who moves lanes is struck.

    Whoever gave it up is waited for until it has drained.
    """
    return spec.drain_s + CALLS_S + SLACK_S


def ownership(case: Case) -> Finding:
    """R7."""
    history = case.history
    try:
        spec = msgspec.convert(dict(history.spec), RingSpec)
    except msgspec.ValidationError:
        return unknown("its spec is none of a ring")
    looks: defaultdict[int, list[Owners]] = defaultdict(list)
    for look in history.of(Owners):
        looks[look.stage].append(look)
    if missing := [stage for stage in range(1, len(spec.stages) + 1) if stage not in looks]:
        return unknown(f"it was not looked who has the lanes of stage {missing[0]}")
    moved = {(stage, lane) for stage, seen in looks.items() for lane in _moved(seen)}
    if not moved:
        return unexercised(case, "no lane has moved")
    several = [
        f"lane {lane} of stage {stage} of {' and '.join(sorted(look.of(lane)))}"
        for stage, seen in looks.items()
        for look in seen
        for lane in _several(look)
    ]
    most_s, gaps = 0.0, list[str]()
    for gap in _gaps(looks, _struck(history, spec), history.last_s or 0.0):
        most_s = max(most_s, gap.took_s)
        if gap.took_s > bound_s(spec):
            gaps.append(f"lane {gap.lane} of stage {gap.stage} for {gap.took_s:.1f} s")
    early = begun_early(history, spec, list(_waited_out(looks, spec)))
    shown = [f"lanes had two owners at a time: {some(several)}"] if several else []
    late = [f"lanes had no owner, and {bound_s(spec):.1f} s may be: {some(gaps)}"] if gaps else []
    for told, which in ((shown, early.shown), (late, early.late)):
        if which:
            told.append(f"tasks were begun while their lanes' last owner was at them: {some(which)}")
    return decide(
        case,
        shown=shown,
        late=late,
        passed=f"{len(moved)} lanes moved, as the broker's own configurations show; none had two owners at a "
        f"time, and none was without one for more than {most_s:.1f} s ({bound_s(spec):.1f} s may be). "
        "No task was begun by one while another had it.",
    )


def _several(look: Owners) -> list[str]:
    """Lanes that more than one consumer had."""
    counted = Counter(lane for lanes in look.owners.values() for lane in lanes.split())
    return [lane for lane, count in counted.items() if count > 1]


def _moved(seen: Sequence[Owners]) -> set[str]:
    """Lanes whose owner changed, also to nobody."""
    found: set[str] = set()
    for before, after in pairwise(seen):
        for name in before.owners.keys() | after.owners.keys():
            had, has = ({*look.owners.get(name, "").split()} for look in (before, after))
            found |= had ^ has
    return found


def without_lanes(history: History) -> frozenset[str]:
    """The instances that had no lanes in the end, and so no consumer, by the last look at their stage."""
    last = {look.stage: look for look in history.of(Owners)}
    owners = {name for look in last.values() for name, lanes in look.owners.items() if lanes}
    there = {node.node for node in history.nodes if node.role == AGENT}
    return frozenset(there - owners) if last else frozenset()


def grown(history: History) -> list[tuple[str, float]]:
    """Who came to have more lanes, and when that was seen: its consumer was made anew."""
    before: dict[int, Mapping[str, str]] = {}
    found: list[tuple[str, float]] = []
    for look in history.of(Owners):
        known = before.get(look.stage)
        for name, lanes in look.owners.items():
            if known is not None and not {*lanes.split()} <= {*known.get(name, "").split()}:
                found.append((name, look.time_s))
        before[look.stage] = look.owners
    return found


def _gaps(
    looks: Mapping[int, Sequence[Owners]], struck: Sequence[tuple[float, float]], end_s: float
) -> Iterator[Gap]:
    """The times in which lanes had no owner."""
    for stage, seen in looks.items():
        since: dict[str, float] = {}
        for look in seen:
            owned = {lane for lanes in look.owners.values() for lane in lanes.split()}
            for lane in ALL - owned:
                since.setdefault(lane, look.time_s)
            for lane in owned & since.keys():
                yield _gap(stage, lane, since.pop(lane), look.time_s, struck)
        for lane, since_s in since.items():
            yield _gap(stage, lane, since_s, max(end_s, since_s), struck)


def _waited_out(looks: Mapping[int, Sequence[Owners]], spec: RingSpec) -> Iterator[WaitedOut]:
    """The lanes that went to another once who had them had been waited for as long as it may be."""
    for stage, seen in looks.items():
        owners: dict[str, str] = {}
        since: dict[str, float] = {}
        for look in seen:
            now = {lane: name for name, lanes in look.owners.items() for lane in lanes.split()}
            for lane in ALL - now.keys():
                since.setdefault(lane, look.time_s)
            for lane in now.keys() & since.keys():
                before, without_s = owners.get(lane, now[lane]), look.time_s - since.pop(lane)
                if before != now[lane] and without_s >= spec.drain_s - SLACK_S:
                    yield WaitedOut(stage, lane, frozenset({before, now[lane]}), look.time_s)
            owners |= now


def _gap(stage: int, lane: str, since_s: float, until_s: float, struck: Sequence[tuple[float, float]]) -> Gap:
    excused_s = sum(max(0.0, min(until_s, end_s) - max(since_s, begin_s)) for begin_s, end_s in struck)
    return Gap(stage, lane, since_s, until_s - since_s - excused_s)


def _struck(history: History, spec: RingSpec) -> list[tuple[float, float]]:
    """When nobody may have been there to move lanes, in order and without overlaps.

    From when a router or the broker was struck until another leads.
    """
    movers = {node.node for node in history.nodes if node.role == ROUTER} | {BROKER}
    after_s = take_over_bound_s(spec.lease_s) + START_S
    times = sorted(
        (fault.start_s, (fault.healed_s or fault.end_s or fault.start_s) + after_s)
        for fault in history.faults
        if fault.node in movers
    )
    found: list[tuple[float, float]] = []
    for begin_s, end_s in times:
        if found and begin_s <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end_s)
        else:
            found.append((begin_s, end_s))
    return found


OPERATIONS: Operations = {"owners": Owners}
