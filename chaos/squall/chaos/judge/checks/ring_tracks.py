"""A ring over time, for its page: what waited at each stage, how its breaker stood, who had lanes. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import msgspec

from squall.bus.subjects import LANES
from squall.chaos.evidence.model import History
from squall.chaos.judge.checks.ring_attempts import AtStage
from squall.chaos.judge.checks.ring_breakers import Turned
from squall.chaos.judge.checks.ring_lanes import Owners
from squall.chaos.judge.track import Band, Level, Standing, Stretch, Track
from squall.services.patterns.ring import RingSpec

STANDINGS: dict[str, Standing] = {
    "closed": "well",
    "open": "away",
    "half-open": "trying",
    "forced-open": "operated",
    "disabled": "operated",
    "observe": "operated",
}


def tracks(history: History) -> Sequence[Track]:
    """A row for each that there is something to tell of; nothing, where the spec is none of a ring."""
    try:
        spec = msgspec.convert(dict(history.spec), RingSpec)
    except msgspec.ValidationError:
        return []
    stages = range(1, len(spec.stages) + 1)
    rows: list[Track] = []
    for stage in stages:
        rows.append(Level(f"waiting at stage {stage}", _waiting(history, spec, stage)))
        rows += [
            Band(name, stretches)
            for name, stretches in (
                (f"breaker of stage {stage}", [*_breaker(history, stage)]),
                (f"lanes of stage {stage}", [*_lanes(history, stage)]),
            )
            if stretches
        ]
    return rows


def _waiting(history: History, spec: RingSpec, stage: int) -> list[tuple[float, int]]:
    """When tasks came to a stage, and were done there; the first line of each in a lap counts."""
    last = len(spec.stages)
    came = [
        (offer.intended_s, 1)
        for offer in history.submissions.values()
        if stage == 1 and offer.outcome == "accepted" and offer.intended_s is not None
    ]
    gone: list[tuple[float, int]] = []
    told: set[tuple[int, str, int]] = set()
    for line in history.of(AtStage):
        done = (line.stage or last, line.task, line.lap)
        if line.type != "ok" or not line.status or done in told:
            continue
        told.add(done)
        if done[0] == stage:
            gone.append((line.time_s, -1))
        goes_round = line.again and line.lap < spec.laps_max
        if line.status == "ok" and (goes_round and stage == 1 if line.again else done[0] == stage - 1):
            came.append((line.time_s, 1))
    return [*came, *gone]


def _breaker(history: History, stage: int) -> Iterator[Stretch]:
    """How the shared breaker stood; one that never turned is not told of."""
    turns = [turn for turn in history.of(Turned) if turn.shared and turn.stage == stage]
    for turn, after in itertools.pairwise([*turns, None]):
        assert turn is not None
        until_s = math.inf if after is None else after.time_s
        ends_s = turn.time_s + turn.for_s if turn.for_s is not None else math.inf
        yield Stretch(turn.time_s, min(until_s, ends_s), STANDINGS[turn.state], f"{turn.state}: {turn.why}")
        if ends_s < until_s:  # nobody says so: its time is over, and it ends by itself
            yield Stretch(ends_s, until_s, "trying", "half-open: its time is over")


def _lanes(history: History, stage: int) -> Iterator[Stretch]:
    """Who had how many lanes, by the broker's own configurations."""
    looks = [look for look in history.of(Owners) if look.stage == stage]
    for place, (look, after) in enumerate(itertools.pairwise([*looks, None])):
        assert look is not None
        held = {name: lanes.split() for name, lanes in look.owners.items() if lanes}
        lanes = [lane for of in held.values() for lane in of]
        standing: Standing = "changed" if place % 2 else "well"
        if len(set(lanes)) < len(lanes):
            standing = "wrong"
        elif len(lanes) < LANES:
            standing = "away"
        about = ", ".join(f"{name} {len(of)}" for name, of in sorted(held.items())) or "nobody"
        yield Stretch(look.time_s, math.inf if after is None else after.time_s, standing, about)
