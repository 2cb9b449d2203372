"""What must hold of tasks that are shed, or diverted, at a stage that is left alone: R8. Pure.

registers that say shed ─┐
lines of who sheds ──────┼─► each told with its reason, while the stage was open, and more than may waited
lines of instances ──────┴─► and none that came before it to the stage was begun there after
how many waited, by the broker's own word, look after look ─► never much more than may, for long
what was set aside ─► see `ring_diverting.py`
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import msgspec

from squall.bus.stages import DEAD_BEFORE
from squall.chaos.evidence.facts import Count, Operation
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Operations
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.ring_attempts import AtStage
from squall.chaos.judge.checks.ring_breakers import ERRORS, Turned
from squall.chaos.judge.checks.ring_diverting import OPERATIONS as DIVERTING
from squall.chaos.judge.checks.ring_diverting import Copied, Told, diverting
from squall.chaos.judge.decide import Finding, decide, named, some, unexercised, unknown
from squall.services.patterns.ring import RingSpec
from squall.services.rules.shedding import Shed, read_reason

SLACK_S = 3.0
"""Between what is said of a breaker and what is done about it: two looks, and calls of a busy broker."""

SETTLED_S = 2.0
"""From when a stage is left alone until what is too much has gone."""


class Waiting(Operation, frozen=True, kw_only=True):
    """How many waited at a stage, by the broker's word."""

    stage: Count
    waiting: Count


def sheds(history: History) -> bool:
    """Whether the spec has anything shed."""
    return history.spec.get("shed", "reject-new") != "reject-new"


def shed(history: History) -> Mapping[str, Shed]:
    """The tasks whose registers say that they were shed, where the spec has anything shed."""
    if not sheds(history):
        return {}
    return {
        register.task: why
        for register in history.registers
        if register.status == "dead" and (why := read_reason(register.reason.removeprefix(DEAD_BEFORE)))
    }


def shedding(case: Case) -> Finding:
    """R8."""
    history = case.history
    try:
        spec = msgspec.convert(dict(history.spec), RingSpec)
    except msgspec.ValidationError:
        return unknown("its spec is none of a ring")
    if not sheds(history):
        return unexercised(case, "nothing was to be shed")
    by_register, lines = shed(history), {line.task for line in history.of(Told)}
    told = {line.task: line for line in history.of(Told) if line.type == "ok"}
    aside = diverting(case, by_register, diverts=spec.shed == "divert")
    early = [
        task for task, why in by_register.items() if why.mark != spec.backlog_max or why.waiting <= why.mark
    ]
    ended = {register.task for register in history.registers}
    another = [task for task in told if task in ended and task not in by_register]
    closed = [task for task, line in told.items() if not _is_open(history, line)]
    over = [
        f"{look.waiting:,} waited at stage {look.stage}, where {spec.backlog_max:,} may"
        for look in _in_calm(history)
        if look.waiting > spec.backlog_max + SLACK_S * spec.rate_per_s
    ]
    passed_over = [
        f"{newer} before {older}" for newer, older in _passed_over(history, told, len(spec.stages))
    ]
    shown = [
        *named(early, "task", "been shed though no more waited than may"),
        *named(another, "task", "been told to be shed, and another end"),
        *named(closed, "task", "been shed while its stage was not left alone"),
        *aside.shown,
    ]
    if passed_over:
        shown.append(f"{len(passed_over)} were shed before one that waited for longer: {some(passed_over)}")
    return decide(
        case,
        shown=shown,
        # Who dies between a register and its line leaves one untold.
        inferred=[
            *named(
                [task for task in by_register if task not in lines][_routers_struck(history) :],
                "task",
                "been shed, and no line says by whom",
            ),
            *aside.inferred,
        ],
        late=over[:1],
        passed=f"{len(by_register):,} tasks were shed, each with its reason, the oldest first, only while "
        f"more than {spec.backlog_max:,} waited at a stage that was left alone.{aside.passed}",
        idle="" if by_register else "nothing was shed",
    )


def _routers_struck(history: History) -> int:
    return sum((fault.node or "").startswith("router") for fault in history.faults)


def _is_open(history: History, line: Told) -> bool:
    """Whether it had been said that the stage is open, for as long as until then."""
    return any(
        turn.shared
        and turn.stage == line.stage
        and turn.state == "open"
        and turn.time_s - SLACK_S <= line.time_s <= turn.time_s + (turn.for_s or 0.0) + SLACK_S
        for turn in history.of(Turned)
    )


def _in_calm(history: History) -> Iterator[Waiting]:
    """Looks at a stage that had been left alone for a while, with nothing amiss but what it depends on."""
    opened: defaultdict[int, list[Turned]] = defaultdict(list)
    for turn in history.of(Turned):
        if turn.shared and turn.state == "open":
            opened[turn.stage].append(turn)
    # With no room to set anything aside, all of it waits.
    full_s = {line.stage: line.time_s for line in reversed(history.of(Copied)) if line.type == "fail"}
    for look in history.of(Waiting):
        if full_s.get(look.stage, look.time_s) < look.time_s:
            continue
        for turn in opened[look.stage]:
            until_s = turn.time_s + (turn.for_s or 0.0)
            if turn.time_s + SETTLED_S <= look.time_s <= until_s and not any(
                fault.kind != ERRORS
                and fault.start_s <= look.time_s
                and (fault.end_s is None or fault.end_s + SLACK_S >= turn.time_s)
                for fault in history.faults
            ):
                yield look
                break


def _passed_over(history: History, told: Mapping[str, Told], last: int) -> Iterator[tuple[str, str]]:
    """Tasks that were shed, each with one that an instance began there after, though it had come before.

    What ended at the stage before ere another was begun there had come before it.
    """
    begun, won = _at_stages(history, last)
    for task, line in told.items():
        came_s = begun.get((line.stage - 1, task), 0.0)
        for (stage, other), (begin_s, _) in won.items():
            before = won.get((line.stage - 1, other))
            if stage == line.stage and begin_s > line.time_s and before and before[1] < came_s:
                yield task, other
                break


def _at_stages(
    history: History, last: int
) -> tuple[Mapping[tuple[int, str], float], Mapping[tuple[int, str], tuple[float, float]]]:
    """By stage and task: when it was begun there first, and when the attempt began and ended that won."""
    begun: dict[tuple[int, str], float] = {}
    won: dict[tuple[int, str], tuple[float, float]] = {}
    by_node: dict[tuple[str, int, str], float] = {}
    for line in history.of(AtStage):
        at, who = (line.stage or last, line.task), (line.node, line.incarnation, line.task)
        if line.type == "invoke":
            begun.setdefault(at, line.time_s)
            by_node[who] = line.time_s
        elif line.type == "ok" and line.status == "ok" and who in by_node:
            won[at] = (by_node[who], line.time_s)
    return begun, won


OPERATIONS: Operations = {"shed": Told, "waiting": Waiting, **DIVERTING}
