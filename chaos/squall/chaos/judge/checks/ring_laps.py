"""R6, and what other checks ask of tasks that go round: how many laps each made, and which too many. Pure.

The broker has a record of each time that a task went round, under a subject that says in which lap. Instances
tell in which lap they begin a task. A lap that is begun must have been entered, one that was entered must be
allowed, and whoever was to go round after the last is dead and says why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from squall.bus.stages import HOP_BOUND
from squall.chaos.evidence.facts import Count, Operation
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Operations
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.ring_attempts import AtStage
from squall.chaos.judge.decide import Finding, decide, named, tasks, unexercised, unknown
from squall.services.patterns.ring import RingSpec


class Round(Operation, frozen=True, kw_only=True):
    """The broker's record of a task that went round at the end of a lap."""

    task: str
    lap: Count


OPERATIONS: Operations = {"final/round": Round}


def laps_made(history: History) -> Mapping[str, int]:
    """How many laps each task made that went round, by the broker's records."""
    found: defaultdict[str, int] = defaultdict(lambda: 1)
    for record in history.of(Round):
        found[record.task] = max(found[record.task], record.lap + 1)
    return found


def over(history: History) -> frozenset[str]:
    """Tasks that are dead as they were to go round after the last lap, and had made all before it."""
    most = _laps_max(history)
    made = laps_made(history)
    return frozenset(task for task in _dead(history) if most and made.get(task, 1) == most)


def hop_bound(case: Case) -> Finding:
    """R6: no task goes round more often than it may, and one that was to is dead."""
    history = case.history
    most = _laps_max(history)
    if most is None:
        return unknown("what the swarm was to be cannot be read")
    if not most:
        return unexercised(case, "the ring is not closed, so nothing goes round")
    entered = {(record.task, record.lap + 1) for record in history.of(Round)}
    begun = {(line.task, line.lap) for line in history.of(AtStage) if line.type == "invoke" and line.lap}
    beyond = sorted({task for task, lap in entered | begun if lap > most})
    unentered = sorted({task for task, lap in begun if lap > 1 and (task, lap) not in entered})
    leapt = sorted({task for task, lap in entered if lap > 2 and (task, lap - 1) not in entered})
    ended: set[tuple[str, int]] = set()
    asked: set[tuple[str, int]] = set()
    for line in history.of(AtStage):
        if line.stage or line.type != "ok":  # what the last stage wrote, and nobody had before
            continue
        (asked if line.again else ended).add((line.task, line.lap))
        if line.again and line.lap >= most and line.status == "ok":
            beyond.append(line.task)
    dead, reached = _dead(history), over(history)
    spared = {task for task, lap in asked if lap >= most} - dead
    unfound = sorted({task for task, lap in asked if lap < most and (task, lap + 1) not in entered})
    went = {task for task, _ in entered}
    return decide(
        case,
        shown=[
            *named(sorted({*beyond}), "task", f"gone on after its last lap, of {most}"),
            *named(sorted(spared - {*beyond}), "task", "been to go on after its last lap, and is not dead"),
            *named(unentered, "task", "been begun in a lap that nothing went round into"),
            *named(leapt, "task", "gone round from a lap that it was not in"),
            *named(sorted(dead - reached), "task", f"died of the hop bound before lap {most}"),
            *named(
                sorted({task for task, lap in ended if (task, lap + 1) in entered}),
                "task",
                "both ended and gone round in one lap",
            ),
        ],
        inferred=named(unfound, "task", "been to go round, and no record that it did"),
        passed=f"{tasks(len(went))} went round, {plural(len(entered), 'time')} in all; none made more than "
        f"{plural(most, 'lap')}, and {tasks(len(reached))} that {'was' if len(reached) == 1 else 'were'} to "
        f"{'is' if len(reached) == 1 else 'are'} dead.",
        idle="" if went or dead else "nothing went round",
    )


def _laps_max(history: History) -> int | None:
    """How many laps a task may make; 0 where the ring is open, None if that cannot be read."""
    try:
        spec = msgspec.convert(dict(history.spec), RingSpec)
    except msgspec.ValidationError:
        return None
    return spec.laps_max if spec.closed else 0


def _dead(history: History) -> set[str]:
    return {
        register.task
        for register in history.registers
        if register.status == "dead" and register.reason.startswith(HOP_BOUND)
    }
