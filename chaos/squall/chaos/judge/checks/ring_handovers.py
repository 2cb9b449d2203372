"""Tasks that two instances of a stage had under way at a time, their lane having moved too early. Pure.

An instance has a consumer of its own, so what it does not acknowledge comes to it again. That another begins
the same task is a move of the lane; and a lane is given to nobody before who gave it up holds nothing of it,
unless one of them is away, or was waited for as long as it may be.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection
from itertools import pairwise
from typing import NamedTuple

from squall.bus.subjects import lane_for
from squall.chaos.evidence.model import History
from squall.chaos.judge.checks.ring_attempts import Attempt, attempts_of
from squall.chaos.plan.kinds import LEAVE, SLOW
from squall.chaos.plan.surface import BROKER
from squall.services.patterns.ring import RingSpec

HEARTBEAT_S = 1.0
"""How old the last word of an instance may be that is at work."""

STAYS = frozenset({LEAVE, SLOW, "errors"})
"""Faults of an instance under which it is there all the same, and holds what it was given."""


class WaitedOut(NamedTuple):
    """A lane that had no owner for as long as who gives it up is waited for, and then went to another.

    What the one before still holds of it, for instance as its stage is left alone, the next is given as well.

    Attributes:
        ends: Who had it before, and has it since.
        until_s: From when it had an owner again.
    """

    stage: int
    lane: str
    ends: frozenset[str]
    until_s: float


class Early(NamedTuple):
    """Tasks that were begun at another instance while the one before was still at them.

    Attributes:
        shown: In words; sooner than anybody can have been taken to be away.
        late: In words; on a busy machine somebody may have been silent for so long.
    """

    shown: list[str]
    late: list[str]


def begun_early(history: History, spec: RingSpec, waited: Collection[WaitedOut]) -> Early:
    """Which tasks two had under way at a time, though nothing had struck the first."""
    keys = {register.task: register.key for register in history.registers}
    found = Early([], [])
    for stage, attempts in attempts_of(history, len(spec.stages), spec.attempts).items():
        by_lap: defaultdict[tuple[str, int], list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            by_lap[attempt.task, attempt.lap].append(attempt)
        for (task, _), made in by_lap.items():
            for before, after in pairwise(made):
                waited_s = after.begin_s - before.begin_s
                if (
                    before.node == after.node
                    or not after.begin_s < before.end_s < math.inf
                    or waited_s >= spec.drain_s
                    or _was_away(history, spec, before, after)
                    or any(
                        _is_of(move, stage, keys.get(task, ""), before, after)
                        and _came_by(history, task, move.until_s)
                        for move in waited
                    )
                ):
                    continue
                said = f"{task} at stage {stage} by {after.node} {waited_s:.1f} s after {before.node}"
                is_sooner = waited_s < spec.absent_s - HEARTBEAT_S
                (found.shown if is_sooner else found.late).append(said)
    return found


def _is_of(move: WaitedOut, stage: int, key: str, before: Attempt, after: Attempt) -> bool:
    """Whether a task of a key went from the one to the other, or back, by such a move of its lane."""
    went = stage == move.stage and lane_for(key) == move.lane and move.until_s <= after.begin_s
    return went and {before.node, after.node} == move.ends


def _came_by(history: History, task: str, time_s: float) -> bool:
    """Whether a task can have been held before a time: it was submitted by then."""
    offered = history.submissions.get(task)
    return offered is not None and offered.intended_s is not None and offered.intended_s < time_s


def _was_away(history: History, spec: RingSpec, before: Attempt, after: Attempt) -> bool:
    """Whether one of the two, or the broker, was struck so that it may not have been there.

    The second may have been given the task long before, and begin it once it is back.
    """
    since_s = before.begin_s - spec.absent_s - spec.ack_wait_s
    return any(
        fault.kind not in STAYS
        and fault.node in (before.node, after.node, BROKER)
        and fault.start_s <= after.begin_s
        and (fault.healed_s or fault.end_s or math.inf) >= since_s
        for fault in history.faults
    )
