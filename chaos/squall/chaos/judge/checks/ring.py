"""What must hold of stages in a row: R1 to R7, and that the ledger is as computed. Pure."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from squall.chaos.evidence.facts import Count, Operation
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import LEADING
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.accounts import balance, effects
from squall.chaos.judge.checks.ledger import LEDGER
from squall.chaos.judge.checks.of_all import OF_ALL
from squall.chaos.judge.checks.poison import contained
from squall.chaos.judge.checks.ring_attempts import spent
from squall.chaos.judge.checks.ring_breakers import (
    OPERATIONS,
    half_open_discipline,
    isolation,
    trips_and_heals,
)
from squall.chaos.judge.checks.ring_ejection import OPERATIONS as EJECTION
from squall.chaos.judge.checks.ring_ejection import ejection, ejects
from squall.chaos.judge.checks.ring_lanes import OPERATIONS as LANES
from squall.chaos.judge.checks.ring_lanes import grown, ownership, without_lanes
from squall.chaos.judge.checks.ring_laps import OPERATIONS as LAPS
from squall.chaos.judge.checks.ring_laps import hop_bound, laps_made, over
from squall.chaos.judge.checks.ring_shedding import OPERATIONS as SHEDDING
from squall.chaos.judge.checks.ring_shedding import shed, shedding, sheds
from squall.chaos.judge.checks.ring_tracks import tracks
from squall.chaos.judge.decide import Finding, decide, some, unknown
from squall.chaos.judge.promise import DELIVERING, Promise, Promises
from squall.chaos.plan.cells import STRIKES
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.plan.series import EXPERIMENT, Plan, outage, poison, tail, varied_run
from squall.services.patterns.ring import RingSpec
from squall.services.run.spec import INDEPENDENT, SEQUENCED, Spec
from squall.services.trading import rounds

FOLLOWED_BY = ("order", "closed", "effects", "handler", "stages", "tasks_from")
"""What must be as usual for orders to follow each other: a strict order from end to end, the venue of the
swarm's own, and handlers that know of it."""

RATE_PER_S = 40.0
"""The load of an experiment: each task is handled at every stage, and two cores are to have time left."""


POISON_S = 20.0
POISONED = {"rate_per_s": 20.0, "attempts": 2}
"""Whoever works on poison dies, and its lanes wait for it; there are two that it can take with it."""

UNHURRIED_PER_S = 12.0
"""The load where handlers take their time: what is of one key waits for what came before it."""

FAILING = "failing"
"""The run in which stages fail and lanes move, and whoever keeps both dies in between."""

FAILING_INTERVALS = (
    Interval(fault="errors", target="stage-3", at_s=0.5, for_s=12.0),
    Interval(fault="crash", target="leader", at_s=0.6, point="router.broken"),
    Interval(fault="crash", target="leader", at_s=6.0, point="router.paused"),
    Interval(fault="pause", target="agent-2", at_s=26.0, for_s=9.0),
    Interval(fault="crash", target="leader", at_s=26.1, point="router.routed"),
    Interval(fault="crash", target="leader", at_s=29.0, point="router.shrunk"),
    Interval(fault="errors", target="stage-2", at_s=42.0, for_s=20.0),
    Interval(fault="slow", target="stage-4", at_s=68.0, for_s=3.0),
)
"""What a stage depends on fails, and routers die as they say so and as they have paused it; an instance is
still for longer than it may be silent, so that its lanes go and come back, and routers die between the steps;
then a stage fails with nothing else amiss, for long."""

FAILING_QUIET_S = 74.0

MOVING = "moving"
"""The run in which instances leave and join again, and whoever moves their lanes is struck at each step."""

STEPS = ("router.routed", "router.shrunk", "router.drained", "router.made", "router.recorded")
MOVE_EVERY_S = 8.0
"""From when one leaves until the next does: it is away for half of that, and its lanes go and come back."""


def moving() -> tuple[Interval, ...]:
    """One after the other leaves and joins again; as lanes move, the leading router is killed, stands still
    or is cut off at each step once."""
    found: list[Interval] = []
    for turn, (step, strike) in enumerate(itertools.product(STEPS, STRIKES)):
        at_s, agent = turn * MOVE_EVERY_S, turn % 8 + 1
        struck_s = max(0.0, at_s - 0.1)
        lasts_s = 2.0 if strike != "kill" else 0.0
        found += [
            Interval(fault="leave", target=f"agent-{agent}", at_s=at_s, for_s=MOVE_EVERY_S / 2),
            Interval(fault=STRIKES[strike], target="leader", at_s=struck_s, for_s=lasts_s, point=step),
        ]
    return tuple(sorted(found, key=lambda interval: interval.at_s))


def preferred(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Orders that follow each other, so that the venue sees a gap; where what is said of the ring lets them.

    They need a strict order from end to end, the venue of the swarm's own, and handlers that know of them.
    """
    usual = RingSpec()
    lets = all(_same(said[field], getattr(usual, field)) for field in FOLLOWED_BY if field in said)
    return {"workload": SEQUENCED} if lets else {}


def _same(said: Any, usual: Any) -> bool:
    return bool(tuple(said) == usual if isinstance(said, list) else said == usual)


def runs(spec: Spec, seed: int) -> Sequence[Plan]:
    """Poison; a struck tail; handlers that do all they may; an outage; stages that fail; lanes that move."""
    failing = Schedule(seed=seed, quiet_s=FAILING_QUIET_S, intervals=FAILING_INTERVALS)
    return (
        poison(spec, seed, quiet_s=POISON_S, **POISONED),
        tail(spec, seed, rate_per_s=UNHURRIED_PER_S),
        # In a strict order all of a key would wait for one that takes long, in the calm as before the faults;
        # and what these handlers order follows nothing.
        varied_run(spec, seed, rate_per_s=UNHURRIED_PER_S, order="relaxed", workload=INDEPENDENT),
        outage(spec, seed),
        Plan(FAILING, replace(spec, seed=seed), failing),
        Plan(MOVING, replace(spec, seed=seed), Schedule(seed=seed, intervals=moving())),
        _round(spec, seed),
    )


def _round(spec: Spec, seed: int) -> Plan:
    """A run whose stages are closed, and whose last one has tasks go round while instances die."""
    closed = replace(
        spec, seed=seed, workload=INDEPENDENT, closed=True, laps_max=ROUND_LAPS, stages=rounds.STAGES
    )
    return Plan(ROUND, closed, Schedule(seed=seed, quiet_s=ROUND_QUIET_S, intervals=ROUND_INTERVALS))


ROUND = "round"
"""The run whose stages are closed."""

ROUND_LAPS = 3
ROUND_INTERVALS = (
    Interval(fault="crash", target="agent-4", at_s=0.5, point="agent.committed"),
    Interval(fault="crash", target="agent-1", at_s=2.0, point="agent.committed"),
    Interval(fault="sever", target="agent-4", at_s=3.5, for_s=1.5, point="agent.asked"),
    Interval(fault="restart", target="broker", at_s=6.0),
)
"""The last stage dies between having a task go round and acknowledging it, the first one as it has taken it
in, and a way is cut while the answer is on it; then the broker ends."""

ROUND_QUIET_S = 12.0


class Submitted(Operation, frozen=True, kw_only=True):
    """What became of an offer: where the broker stored it, 0 if no line says so."""

    task: str
    seq: Count = 0


class Lanes(Operation, frozen=True, kw_only=True):
    """A step of a move of lanes."""

    step: str
    consumer: str


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
    """R1: in strict order, the tasks of each key end in the order in which they came in.

    Where the stages are closed: of those that make as many laps, and none after one that makes more.
    """
    history = case.history
    came_in, sink = places(history), defaultdict[str, list[str]](list)
    for register in history.registers:
        if register.task in came_in:
            sink[register.key].append(register.task)
    if not sink:
        return unknown("of no task both ends are on record")
    laps = laps_made(history)
    late = [said for tasks in sink.values() for said in _overtaken(tasks, came_in, laps)]
    several = {key: tasks for key, tasks in sink.items() if len(tasks) > 1}
    total = sum(map(len, several.values()))
    round_again = f", {len(laps):,} of them after more laps than one" if laps else ""
    return decide(
        case,
        shown=[f"{len(late)} tasks ended before one of their key that had come in earlier: {some(late)}"]
        if late
        else [],
        passed=f"{total:,} tasks of {len(several):,} keys ended in the order in which they came in"
        f"{round_again}.",
        idle="" if several else "no key had two tasks",
    )


def _overtaken(tasks: Sequence[str], came_in: Mapping[str, int], laps: Mapping[str, int]) -> Iterator[str]:
    """Which tasks of a key ended before one that had come in earlier, and made no more laps than they.

    What goes round is behind all of its key that was there, so only who made more laps may be overtaken.

    Args:
        tasks: In the order in which they ended.
    """
    newest: dict[int, str] = {}  # of those that made at least so many laps
    for task in tasks:
        made = laps.get(task, 1)
        before = newest.get(made)
        if before is not None and came_in[before] > came_in[task]:
            yield f"{before} before {task}"
        for lap in range(1, made + 1):
            if lap not in newest or came_in[newest[lap]] < came_in[task]:
                newest[lap] = task


def no_loss(case: Case) -> Finding:
    """R2: one register for each accepted task, one fill for each intent, and nothing left at a stage."""
    history = case.history
    if not history.submissions and not history.registers:
        return unknown("nothing was submitted")
    bounded = {*over(history), *shed(history)}
    accounts = balance(case, without=without_lanes(history))
    accounts += effects(case) + contained(case, spent(history), grown(history), bounded)
    stages = history.of(Stage)
    waiting = [f"stage {stage.stage} has {stage.left}" for stage in stages if stage.left]
    # A broker that is started again may copy once more what has left a stage, so none has a bound above.
    ended = len({register.task for register in history.registers})
    fewer = [
        f"stage {stage.stage} took in {stage.arrivals:,}, and {ended:,} tasks have ended"
        for stage in stages
        if stage.arrivals < ended
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
            text="In strict order, the tasks of each key end in the order in which they came in; who goes "
            "round may be overtaken, and overtakes nobody.",
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
        Promise(
            id="R3",
            name="trip-and-heal",
            text="A stage that fails wholly is soon left alone, and goes on in time once it is well.",
            check=trips_and_heals,
            sometimes=True,
            shown_by=FAILING,
        ),
        Promise(
            id="R4",
            name="half-open-discipline",
            text="What is left alone is probed by three attempts at once at most, over all instances.",
            check=half_open_discipline,
            sometimes=True,
            shown_by=FAILING,
        ),
        Promise(
            id="R5",
            name="isolation",
            text="While a stage is left alone, the stages before it go on.",
            check=isolation,
            sometimes=True,
            shown_by=FAILING,
        ),
        Promise(
            id="R6",
            name="no-infinite-loop",
            text="No task goes round more often than it may, and one that was to is dead, and says so.",
            check=hop_bound,
            sometimes=True,
            shown_by=ROUND,
        ),
        Promise(
            id="R7",
            name="one-owner",
            text="No lane has two owners at any time, and while lanes move none is without one for long.",
            check=ownership,
            sometimes=True,
            shown_by=MOVING,
        ),
        Promise(
            id="R8",
            name="shedding",
            text="What is shed waited longest, while more wait than may at a stage that is left alone.",
            check=shedding,
            when=sheds,
        ),
        Promise(
            id="R9",
            name="ejection",
            text="An instance that fails where the others do not gets no tasks for a while, a third at most.",
            check=ejection,
            when=ejects,
            sometimes=True,
        ),
        LEDGER,
        *OF_ALL,
    ),
    operations={
        **LEADING,
        "submit": Submitted,
        "resume": Resume,
        "lanes": Lanes,
        **LANES,
        **OPERATIONS,
        **LAPS,
        **SHEDDING,
        **EJECTION,
        "final/stage": Stage,
    },
    tracks=tracks,
    to_an_effect=(
        "agent.delivered",
        "agent.executed",
        "agent.committed",
        *DELIVERING,
    ),
    experiment={
        **EXPERIMENT,
        "rate_per_s": RATE_PER_S,
        "ingress_max": 4000,
        "pause_leader": False,
        "retry_cap_s": 2.0,
        "breaker_window_s": 6.0,
        "breaker_wait_s": 1.5,
        "breaker_wait_s_max": 6.0,
    },
    preferred=preferred,
    runs=runs,
)
