"""What must hold of instances that get no tasks for a while: R9. Pure.

lines of the router ────┐
attempts of instances ──┼─► each had failed so often in a row, and never more than a third are out
owners of lanes ────────┴─► its lanes have gone in time, by the broker's own configurations
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from squall.chaos.evidence.facts import Count, Operation
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Operations
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.ring_attempts import Attempt, attempts_of
from squall.chaos.judge.checks.ring_lanes import ROUTER, Owners
from squall.chaos.judge.decide import Finding, decide, unknown
from squall.chaos.judge.disturbance import is_struck
from squall.services.patterns.ring import RingSpec, instances
from squall.services.rules.ejection import ROW, SHARE_MAX

HEARD_S = 2.0
"""How long ago a heartbeat may have been counted, and a router have looked, at most."""

SLACK_S = 5.0
"""What a router and its looks may add to the time in which an instance gives its lanes up."""


class Out(Operation, frozen=True, kw_only=True):
    """An instance gets no tasks for so long, by the word of the router."""

    stage: Count
    agent: str
    for_s: float
    times: Count


def ejects(history: History) -> bool:
    """Whether a stage has so many instances that one may ever be left out."""
    try:
        spec = msgspec.convert(dict(history.spec), RingSpec)
    except msgspec.ValidationError:
        return False
    most = len(instances(spec, 1)) + len(spec.joins_at_s)
    return spec.breaker == "on" and spec.eject_s > 0 and int(most * SHARE_MAX) > 0


def ejection(case: Case) -> Finding:
    """R9."""
    history = case.history
    try:
        spec = msgspec.convert(dict(history.spec), RingSpec)
    except msgspec.ValidationError:
        return unknown("its spec is none of a ring")
    told = history.of(Out)
    attempts = attempts_of(history, len(spec.stages), spec.attempts)
    shown, late = [*_too_many(spec, told)], list[str]()
    for out in told:
        row = longest(attempts.get(out.stage, ()), out)
        if row < ROW:
            shown.append(f"{out.agent} was left out after {row} failures in a row, not {ROW}")
        late += _stayed(history, spec, out)
    return decide(
        case,
        shown=shown,
        late=late,
        passed=f"{len(told)} times an instance was left out, after {ROW} failures in a row or more; its "
        "lanes went to others of its stage.",
        idle="" if told else "no instance failed where the others of its stage did not",
    )


def longest(attempts: Sequence[Attempt], out: Out) -> int:
    """How many attempts of an instance had failed in a row, as the router may have heard of it last."""
    row = most = 0
    ends = sorted(
        (attempt.end_s, attempt.failed, attempt.ok) for attempt in attempts if attempt.node == out.agent
    )
    for end_s, failed, ok in ends:
        if end_s > out.time_s:
            break
        if end_s < out.time_s - HEARD_S:
            most = 0
        row = row + 1 if failed else 0 if ok else row
        most = max(most, row)
    return most


def _too_many(spec: RingSpec, told: Sequence[Out]) -> Iterator[str]:
    """More of a stage than may be were left out at a time, by what one router had said in one life."""
    for out in told:
        of_stage = len(instances(spec, out.stage)) + len(spec.joins_at_s)
        together = {
            other.agent
            for other in told
            if (other.stage, other.node, other.incarnation) == (out.stage, out.node, out.incarnation)
            and other.time_s <= out.time_s < other.time_s + other.for_s
        }
        if len(together) > of_stage * SHARE_MAX:
            yield f"{len(together)} of {of_stage} instances of stage {out.stage} were left out at a time"


def _stayed(history: History, spec: RingSpec, out: Out) -> Iterator[str]:
    """That an instance had lanes for too long after it was left out, though nothing was amiss."""
    until_s = out.time_s + spec.drain_s + SLACK_S
    looks = [look for look in history.of(Owners) if look.stage == out.stage]
    # A look is told of when something has changed: the last one before says how it was then.
    before = next((place for place, look in enumerate(looks) if look.time_s > out.time_s), len(looks)) - 1
    gone = (look.time_s for look in looks[max(0, before) :] if not look.owners.get(out.agent))
    gone_s = next(gone, math.inf)
    if gone_s <= until_s or until_s > out.time_s + out.for_s or until_s > (history.read_back_s or math.inf):
        return
    routers = {start.node for start in history.nodes if start.role == ROUTER}
    if not any(is_struck(history, node, out.time_s, until_s) for node in routers):
        yield f"{out.agent} was left out, and had lanes {spec.drain_s + SLACK_S:.0f} s later"


OPERATIONS: Operations = {"eject": Out}
