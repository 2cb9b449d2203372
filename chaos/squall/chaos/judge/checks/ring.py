"""What must hold of stages in a row: R1 and R2, and that the ledger is as computed. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise

from squall.chaos.evidence.facts import Count, Operation
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import LEADING
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.accounts import balance, effects
from squall.chaos.judge.checks.explained import EXPLAINED
from squall.chaos.judge.checks.handler import HANDLER
from squall.chaos.judge.checks.ledger import LEDGER
from squall.chaos.judge.checks.memory import MEMORY
from squall.chaos.judge.checks.poison import contained
from squall.chaos.judge.checks.reconnecting import RECONNECTING
from squall.chaos.judge.checks.recovery import AS_BEFORE, EACH_RECOVERY, RECOVERY
from squall.chaos.judge.checks.repeats import REPEATS
from squall.chaos.judge.checks.witness import WITNESS
from squall.chaos.judge.decide import Finding, decide, some, unknown
from squall.chaos.judge.promise import DELIVERING, Promise, Promises
from squall.chaos.plan.series import EXPERIMENT

RATE_PER_S = 60.0
"""The load of an experiment: each task is handled at every stage, and two cores are to have time left."""


class Submitted(Operation, frozen=True, kw_only=True):
    """What became of an offer: where the broker stored it, 0 if no line says so."""

    task: str
    seq: Count = 0


class AtStage(Operation, frozen=True, kw_only=True):
    """What an instance of a stage before the last one tells of a task."""

    task: str
    stage: Count
    attempt: Count = 0


class Lanes(Operation, frozen=True, kw_only=True):
    """A step of a move of lanes."""

    step: str
    consumer: str


class Opened(Operation, frozen=True, kw_only=True):
    """A breaker of an instance has gone from one state to another, and for how long if that is known."""

    stage: Count
    event: str
    state: str
    opened: Count
    why: str
    for_s: float | None = None


class Stage(Operation, frozen=True, kw_only=True):
    """A stage in the end: what ever came to wait there, and what still does."""

    stage: Count
    arrivals: Count
    left: Count


class Resume(Operation, frozen=True, kw_only=True):
    """A router has read what went before."""

    term: Count


def is_strict(history: History) -> bool:
    """Whether tasks of one key were to stay in order."""
    return history.spec.get("order", "strict") == "strict"


def places(history: History) -> Mapping[str, int]:
    """Where the broker stored each submission, as far as a line tells."""
    return {line.task: line.seq for line in history.of(Submitted) if line.seq}


def order(case: Case) -> Finding:
    """R1: in strict order, the tasks of each key end in the order in which they came in."""
    history = case.history
    came_in, sink = places(history), defaultdict[str, list[str]](list)
    for register in history.registers:
        if register.task in came_in:
            sink[register.task.rpartition("-")[0]].append(register.task)
    if not sink:
        return unknown("of no task both ends are on record")
    late = [
        f"{after} before {before}"
        for tasks in sink.values()
        for after, before in pairwise(tasks)
        if came_in[after] > came_in[before]
    ]
    several = {key: tasks for key, tasks in sink.items() if len(tasks) > 1}
    total = sum(map(len, several.values()))
    return decide(
        case,
        shown=[f"{len(late)} tasks ended before one of their key that had come in earlier: {some(late)}"]
        if late
        else [],
        passed=f"{total:,} tasks of {len(several):,} keys ended in the order in which they came in.",
        idle="" if several else "no key had two tasks",
    )


def no_loss(case: Case) -> Finding:
    """R2: one register for each accepted task, one fill for each intent, and nothing left at a stage."""
    history = case.history
    if not history.submissions and not history.registers:
        return unknown("nothing was submitted")
    accounts = balance(case) + effects(case) + contained(case)
    stages = history.of(Stage)
    waiting = [f"stage {stage.stage} has {stage.left}" for stage in stages if stage.left]
    fewer = [
        f"stage {after.stage} took in {after.arrivals:,} of {before.arrivals:,}"
        for before, after in pairwise(stages)
        if after.arrivals < before.arrivals - before.left
    ]
    return decide(
        case,
        shown=accounts.shown,
        inferred=[*accounts.inferred, *waiting, *fewer],
        unseen=[*accounts.unseen, *([] if stages else ["nothing is known of the stages"])],
        passed=accounts.passed,
        idle=accounts.idle,
    )


PROMISES = Promises(
    pattern="ring",
    promises=(
        Promise(
            id="R1",
            name="order",
            text="In strict order, the tasks of each key end in the order in which they came in.",
            check=order,
            when=is_strict,
        ),
        Promise(
            id="R2",
            name="one-effect",
            text="Each accepted task has one register after the last stage, and each intent one fill.",
            check=no_loss,
            exercised="duplicates_suppressed",
        ),
        LEDGER,
        RECOVERY,
        EACH_RECOVERY,
        AS_BEFORE,
        RECONNECTING,
        EXPLAINED,
        REPEATS,
        MEMORY,
        WITNESS,
        HANDLER,
    ),
    operations={
        **LEADING,
        "submit": Submitted,
        "resume": Resume,
        "lanes": Lanes,
        "breaker": Opened,
        "stage-run": AtStage,
        "stage-attempt": AtStage,
        "stage-commit": AtStage,
        "final/stage": Stage,
    },
    to_an_effect=(
        "agent.delivered",
        "agent.executed",
        "agent.committed",
        *DELIVERING,
    ),
    experiment={**EXPERIMENT, "rate_per_s": RATE_PER_S, "pause_leader": False},
)
