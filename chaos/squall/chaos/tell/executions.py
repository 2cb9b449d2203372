"""Each time a task's handler was started: by whom, how it ended, and what the handler wrote of it. Pure.

    run ───────────── begun ──┐
    attempt, commit ─ ended ──┼─► TracedExecution
    witness ─ given, returned ┘   where handlers write that

They are counted by the lines of the agents that started them. A register tells of one of them at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from squall.bus.border import printable
from squall.chaos.evidence.plural import plural
from squall.chaos.evidence.said import Said
from squall.chaos.evidence.task import Evidence, Line

EXECUTIONS_MAX = 20
"""How many are told of one task: what a hijacked agent writes does not fill a screen."""

CUT_S = 0.002
"""How much earlier than its agent's line a handler's may be dated: a log leaves parts of milliseconds out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedExecution:
    """One start of a handler.

    Attributes:
        ended_s: None where no line tells of its end.
        end: How it ended, in words.
        witness: What its handler wrote, in words; None where no handler of the run writes.
    """

    node: str
    incarnation: int
    attempt: int
    begun_s: float
    ended_s: float | None = None
    end: str
    witness: str | None = None


@dataclass(slots=True)
class _Told:
    """What the handler of one execution wrote of it."""

    given: Said | None = None
    returned: Said | None = None


def executions(evidence: Evidence) -> tuple[list[TracedExecution], list[str]]:
    """All of a task, in the order of their beginnings; and calls that belong to none of them, in words."""
    found = [
        TracedExecution(
            node=line.node,
            incarnation=line.inc,
            attempt=line.attempt,
            begun_s=line.time_s,
            ended_s=None if end is None else end.time_s,
            end=_unended(line, evidence) if end is None else _sentence(*end_of(end)),
        )
        for line, end in ends_of(evidence.own)
    ]
    if evidence.witness is None:
        return found, []
    told, others = _attributed(found, evidence.witness)
    witnessed = [replace(one, witness=_witnessed(its)) for one, its in zip(found, told, strict=True)]
    return witnessed, list(dict.fromkeys(others))


def end_of(line: Line) -> tuple[str, str]:
    """How an execution ended, by a line of its agent: what, and why."""
    match line.op, line.type:
        case "attempt", "fail":
            return "failed", line.reason
        case "attempt", _:
            return "cut off", line.reason
        case "absent", _:
            return "not made", line.reason
        case "commit", "ok":
            return "committed", line.status
        case "commit", "fail" if line.reason == "already":
            return "suppressed", "its register was written before"
        case "commit", "fail":
            return "not committed", line.reason
        case "commit", _ if line.reason == "settled":
            return "settled", "its register is written, perhaps by an earlier try of this commit"
        case _:
            return "commit unknown", line.reason


def ends_of(own: Sequence[Line]) -> list[tuple[Line, Line | None]]:
    """Each beginning, and the line of its end: the first of the same start of the node, and attempt."""
    begun = [line for line in own if line.op == "run"]
    waiting: dict[tuple[str, int, int], list[int]] = {}
    ends: list[Line | None] = [None] * len(begun)
    place = 0
    for line in own:
        who = (line.node, line.inc, line.attempt)
        if line.op == "run":
            waiting.setdefault(who, []).append(place)
            place += 1
        elif line.op in ("attempt", "absent", "commit") and waiting.get(who):
            ends[waiting[who].pop(0)] = line
    return list(zip(begun, ends, strict=True))


def _unended(line: Line, evidence: Evidence) -> str:
    follows = any(
        start.node == line.node and start.incarnation == line.inc + 1 for start in evidence.around.nodes
    )
    return "no line tells" + (f", and incarnation {line.inc + 1} followed" if follows else "")


def _attributed(found: Sequence[TracedExecution], witness: Sequence[Said]) -> tuple[list[_Told], list[str]]:
    """For each execution what its handler wrote; and calls that belong to none, in words."""
    told = [_Told() for _ in found]
    others = []
    for said in witness:
        places = list(_candidates(found, said))
        if said.effects is None:
            free = [place for place in places if told[place].given is None]
            if free:
                told[free[0]].given = said
            else:
                others.append(f"who began attempt {said.attempt} at {said.node}, of which its handler writes")
        else:
            open_ = [p for p in places if told[p].given is not None and told[p].returned is None]
            if open_:
                told[open_[0]].returned = said
    return told, others


def _candidates(found: Sequence[TracedExecution], said: Said) -> Iterator[int]:
    """The executions that a handler's line may be of, the one that began last before it first."""
    delays = []
    for place, execution in enumerate(found):
        if (execution.node, execution.attempt) == (said.node, said.attempt):
            after_s = said.after_s(execution.begun_s)
            if after_s is not None and after_s >= -CUT_S:
                delays.append((after_s, place))
    yield from (place for _, place in sorted(delays))


def _witnessed(told: _Told) -> str:
    if told.given is None:
        return "its handler wrote nothing"

    if told.returned is None or told.returned.effects is None:
        return "given, wrote of no return"
    return f"given, returned {plural(told.returned.effects, 'effect')}"


def _sentence(what: str, why: str) -> str:
    return f"{what}: {printable(why)}" if why else what
