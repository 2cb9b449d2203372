"""What became of each task of a run, counted as the checks count. Pure.

History, Tally ─► Outcome, one a task ─┬─► the drawing over time
                                       └─► those that did not end well, and the slowest, with their traces
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from squall.chaos.evidence.facts import Register
from squall.chaos.evidence.model import History, Submission
from squall.chaos.judge.tally import Tally

Kind = Literal[
    "filled", "ended", "late", "refused", "rejected", "dead", "cancelled", "unknown", "open",
    "lost", "doubled", "conflicting", "stray",
]  # fmt: skip

NAMES: Mapping[Kind, str] = {
    "lost": "lost",
    "doubled": "filled twice",
    "conflicting": "two bodies",
    "stray": "never asked for",
    "dead": "dead letter",
    "rejected": "order refused",
    "late": "late",
    "unknown": "outcome unknown",
    "open": "still open",
    "cancelled": "cancelled",
    "refused": "refused",
    "ended": "ended, no order",
    "filled": "filled",
}
"""What each is called, what must never be first, what should be last."""

MEANINGS: Mapping[Kind, str] = {
    "lost": "accepted, and what had to come of it did not; must never be",
    "doubled": "an order of it was filled twice, or it has two results; must never be",
    "conflicting": "one order id came to the venue with two different bodies; must never be",
    "stray": "it has a result though it was refused, or nobody offered it; must never be",
    "dead": "given up after its last attempt, and kept with its reason",
    "rejected": "the venue took none of its orders, for a reason that is for whoever wrote the handler",
    "late": "filled after its deadline",
    "unknown": "whether it was accepted, or filled, is not known",
    "open": "the record of this run stops before its end",
    "cancelled": "its job was cancelled",
    "refused": "the swarm was full and said no at once; nothing came of it",
    "ended": "the handler asked for no order",
    "filled": "each of its orders was filled once, in time",
}

UNFILLED: frozenset[Kind] = frozenset({"refused", "rejected", "dead", "cancelled", "unknown", "open", "lost"})
"""What has no latency, though something was due."""

WRONG: frozenset[Kind] = frozenset({"lost", "doubled", "conflicting", "stray"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task.

    Attributes:
        due_s: When it was meant to be submitted; None where no line tells.
        at_s: When it came to that, in seconds since the epoch; when it was due, where that is not known.
        took_s: From when it was due; None where it did not end.
        why: A reason, where one is on record.
    """

    task: str
    kind: Kind
    due_s: float | None
    at_s: float | None
    took_s: float | None = None
    why: str = ""


def outcomes(history: History, counted: Tally) -> list[Outcome]:
    """One a task, in the order of their first offers; those that nobody offered last."""
    conflicting = set(history.venue.conflicting) if history.venue is not None else set()
    repeated, doubled = set(counted.repeated), set(counted.doubled)
    found = []
    for task, offered in history.submissions.items():
        register = counted.registers.get(task)
        if register is None:
            found.append(_unregistered(history, offered))
        elif offered.outcome == "refused":
            found.append(_of(offered, "stray", register.stored_s, "it was refused, and has a result"))
        elif task in repeated:
            found.append(_of(offered, "doubled", register.stored_s, "it has more than one result"))
        elif both := [order_id for order_id in register.effects if order_id in conflicting]:
            found.append(_of(offered, "conflicting", register.stored_s, f"order {both[0]}"))
        elif twice := [order_id for order_id in register.effects if order_id in doubled]:
            found.append(_of(offered, "doubled", register.stored_s, f"order {twice[0]} was filled twice"))
        else:
            found.append(_ended(history, counted, offered, register))
    for task in counted.unasked:
        stored_s = counted.registers[task].stored_s
        found.append(Outcome(task, "stray", None, stored_s, why="nobody offered it"))
    return found


def _of(offered: Submission, kind: Kind, at_s: float | None, why: str = "", *, took: bool = True) -> Outcome:
    due_s = offered.intended_s
    took_s = at_s - due_s if took and at_s is not None and due_s is not None else None
    return Outcome(offered.task, kind, due_s, due_s if at_s is None else at_s, took_s, why)


def _unregistered(history: History, offered: Submission) -> Outcome:
    match offered.outcome:
        case "refused":
            at_s = offered.refused_s[1] if offered.refused_s is not None else None
            return _of(offered, "refused", at_s, took=False)
        case "accepted" if history.closing is not None:
            return _of(offered, "lost", None, "accepted, and it has no result", took=False)
        case "accepted":
            return _of(offered, "open", None, took=False)
    return _of(offered, "unknown", None, "no answer to its submission is on record", took=False)


def _ended(history: History, counted: Tally, offered: Submission, register: Register) -> Outcome:
    """What became of an accepted task with one result."""
    if register.status != "ok":
        return _of(offered, register.status, register.stored_s, register.reason)
    if not register.effects or counted.nowhere:
        return _of(offered, "ended", register.stored_s)
    if history.venue is None:
        return _of(offered, "unknown", register.stored_s, "whether its orders were filled is not on record")
    fills = history.venue.fills
    unfilled = [order_id for order_id in register.effects if order_id not in fills]
    missing = [order_id for order_id in unfilled if order_id not in counted.refused_effects]
    if missing:
        kind: Kind = "open" if history.closing is None else "lost"
        return _of(offered, kind, None, f"order {missing[0]} was never filled", took=False)
    if unfilled:
        return _of(offered, "rejected", register.stored_s, counted.refused_effects[unfilled[0]])
    filled_s = max(fills[order_id][-1] for order_id in register.effects)
    deadline_s, due_s = history.asked.task_deadline_s, offered.intended_s
    is_late = deadline_s is not None and due_s is not None and filled_s > due_s + deadline_s
    return _of(offered, "late" if is_late else "filled", filled_s)


LISTED_MAX = 10
"""Tasks of one outcome that are listed with their traces, and of the slowest."""

REFUSED_LISTED_MAX = 3
"""Refused tasks that are: nothing came of them, and one is as another."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The tasks that are listed.

    Attributes:
        unwell: By outcome, how many there are, and those of them that are listed.
        slowest: Of all that ended, the one that took longest first.
        offered: How many tasks there are, of whatever outcome.
        without_order: How many ended, and came to no order.
    """

    unwell: Mapping[Kind, tuple[int, Sequence[Outcome]]]
    slowest: Sequence[Outcome]
    offered: int = 0
    without_order: int = 0

    @property
    def tasks(self) -> list[str]:
        """All of them, each once."""
        listed = [one for _, some in self.unwell.values() for one in some]
        return list(dict.fromkeys(one.task for one in [*listed, *self.slowest]))


def chosen(found: Sequence[Outcome]) -> Chosen:
    """Those that did not end well, by what became of them, and the slowest."""
    unwell: dict[Kind, tuple[int, Sequence[Outcome]]] = {}
    for kind in NAMES:
        those = [one for one in found if one.kind == kind]
        if those and kind not in ("filled", "ended"):
            unwell[kind] = len(those), those[: REFUSED_LISTED_MAX if kind == "refused" else LISTED_MAX]
    slowest = sorted((one for one in found if one.took_s is not None), key=lambda one: -(one.took_s or 0.0))
    without_order = sum(one.kind == "ended" for one in found)
    return Chosen(unwell, slowest[:LISTED_MAX], len(found), without_order)
