"""How a verdict follows from findings, and how it is put into words. Pure.

shown      wrong by lines that are there        fails, whatever else is missing
inferred   wrong by lines that are not there    fails if nothing is missing
late       took too long, by lines that are there  fails, if the machine had time left
unseen     did not happen, and had to           unknown
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from squall.chaos.evidence.model import History
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.case import Case
from squall.services.run.result import Verdict
from squall.services.sentences import sentence

NAMED_MAX = 3
"""How many offenders a detail names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check comes to, and in a sentence or two why.

    Attributes:
        exercised: False where nothing happened that the check is about.
        task: One that shows it; empty where it is of no task in particular.
    """

    verdict: Verdict
    detail: str
    exercised: bool = True
    task: str = ""


def decide(
    case: Case,
    *,
    shown: Sequence[str] = (),
    inferred: Sequence[str] = (),
    late: Sequence[str] = (),
    unseen: Sequence[str] = (),
    passed: str,
    idle: str = "",
) -> Finding:
    """The verdict that follows.

    Args:
        shown: What is wrong by lines that are there: fails, whatever else is missing.
        inferred: What is wrong by lines that are not there: fails if nothing is missing.
        late: What took too long, by lines that are there: fails too, unless the machine was busy.
        unseen: What did not happen, or was not seen to, and had to for a pass.
        passed: What to say if it passes.
        idle: Why nothing happened that it is about, if so: then it does not pass either.
    """
    slow = [] if case.busy else late
    if shown or slow or (inferred and not case.doubts):
        return Finding("fail", _joined([*shown, *slow, *inferred]))
    reasons = [*case.doubts, *([case.busy, *late] if late else []), *unseen]
    if undrained(case.history):
        reasons.append("it had not drained within its bound")
    if reasons:
        return unknown(*reasons, *inferred)
    if idle:
        return Finding("unknown", sentence(idle), exercised=False)
    return Finding("pass", passed)


def unknown(*reasons: str) -> Finding:
    """It cannot be said, for these reasons."""
    return Finding("unknown", _joined(reasons))


def unexercised(case: Case, reason: str) -> Finding:
    """Nothing happened that the check is about, by all lines there were: unknown, and no matter."""
    if case.doubts:
        return unknown(*case.doubts, reason)
    return Finding("unknown", _joined([reason]), exercised=False)


def _joined(parts: Sequence[str]) -> str:
    text = "; ".join(parts[:NAMED_MAX])
    if len(parts) > NAMED_MAX:
        text += f"; and {plural(len(parts) - NAMED_MAX, 'more finding')}"
    return sentence(text)


def named(offenders: Sequence[str], noun: str, has: str) -> list[str]:
    """``3 tasks have more than one register: a, b, c``; nothing where there are none."""
    if not offenders:
        return []
    count = f"1 {noun} has" if len(offenders) == 1 else f"{len(offenders):,} {noun}s have"
    return [f"{count} {has}: {some(offenders)}"]


def some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - NAMED_MAX:,} more" if len(listed) > NAMED_MAX else ""
    return ", ".join(listed[:NAMED_MAX]) + more


def tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count:,} tasks"


def undrained(history: History) -> bool:
    """Whether the bound for draining passed first."""
    return history.closing is not None and not history.closing.drained
