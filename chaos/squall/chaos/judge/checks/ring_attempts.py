"""Attempts at every stage, by their lines, and what they were used up by. Pure.

Of the last stage instances tell as agents do in every pattern; of those before it under names of their own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from squall.bus.ended import WORKERS_DIED
from squall.bus.stages import DEAD_BEFORE
from squall.chaos.evidence.facts import Count, Operation
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Operations
from squall.chaos.judge.disturbance import is_struck
from squall.services.node.interference import FAILED
from squall.services.patterns.ring import RingSpec
from squall.services.roles.guarded import LEFT_ALONE


class AtStage(Operation, frozen=True, kw_only=True):
    """An attempt at a stage begins, or is over; without a stage, at the last one, and without a lap in none.

    Attributes:
        again: By its handler's word the task was to go round again.
    """

    task: str
    stage: Count = 0
    attempt: Count = 0
    lap: Count = 0
    again: bool = False
    status: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a stage.

    Attributes:
        end_s: When it was told to be over; infinite if it never was.
        failed: Whether another attempt might have ended well.
        ok: Whether it ended well.
        made: Whether anything was called at all.
        lap: In which lap; 0 where there are none.
    """

    task: str
    node: str
    begin_s: float
    end_s: float = math.inf
    failed: bool = False
    ok: bool = False
    made: bool = True
    lap: int = 0


def attempts_of(history: History, last: int, most: int) -> Mapping[int, list[Attempt]]:
    """Attempts by stage.

    Args:
        last: The last stage.
        most: How many attempts a task has at a stage; one that dies with an earlier one gave up by itself.
    """
    under_way: dict[tuple[str, int, str, int], tuple[int, float]] = {}
    found: defaultdict[int, list[Attempt]] = defaultdict(list)
    for line in history.of(AtStage):
        who = (line.node, line.incarnation, line.task, line.lap)
        if line.type == "invoke":
            under_way[who] = (line.stage or last, line.time_s)
        elif who in under_way:
            stage, begin_s = under_way.pop(who)
            # Whose result came second says all the same what its attempt came to.
            second, dead = line.reason == "already", line.status == "dead"
            ok = line.status == "ok" or (second and not dead)
            failed = (line.type == "fail" and not second) or (dead and line.attempt >= most)
            made = not line.reason.startswith(LEFT_ALONE)
            found[stage].append(
                Attempt(line.task, line.node, begin_s, line.time_s, failed and made, ok, made, line.lap)
            )
    for (node, _, task, lap), (stage, begin_s) in under_way.items():
        found[stage].append(Attempt(task, node, begin_s, lap=lap))
    for attempts in found.values():
        attempts.sort(key=lambda attempt: attempt.begin_s)
    return found


def spent(history: History) -> frozenset[str]:
    """Dead tasks whose attempts at a stage were used up by faults: each failed, or was cut off, and the last.

    The first is counted by its delivery, so one that a dying instance had not begun counts as well.
    """
    try:
        spec = msgspec.convert(dict(history.spec), RingSpec)
    except msgspec.ValidationError:
        return frozenset()
    by_faults = (FAILED, WORKERS_DIED)
    dead = {
        register.task
        for register in history.registers
        if register.status == "dead" and register.reason.removeprefix(DEAD_BEFORE) in by_faults
    }
    found: set[str] = set()
    for attempts in attempts_of(history, len(spec.stages), spec.attempts).values():
        by_lap: defaultdict[tuple[str, int], list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            if attempt.task in dead and attempt.made:
                by_lap[attempt.task, attempt.lap].append(attempt)
        for (task, _), made in by_lap.items():
            until_s = [*(after.begin_s for after in made[1:]), made[-1].end_s]
            cut = [
                attempt.failed or is_struck(history, attempt.node, attempt.begin_s, min(end_s, attempt.end_s))
                for attempt, end_s in zip(made, until_s, strict=True)
            ]
            if len(made) >= spec.attempts - 1 and all(cut):
                found.add(task)
    return frozenset(found)


STAGE_ATTEMPTS: Operations = {
    f"{prefix}{op}": AtStage for prefix in ("", "stage-") for op in ("run", "attempt", "commit", "absent")
}
