"""How a verdict follows from findings, and how it is put into words. Pure.

shown      wrong by lines that are there        fails, whatever else is missing
inferred   wrong by lines that are not there    fails if nothing is missing
unseen     did not happen, and had to           unknown
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from squall.chaos.evidence.model import History, doubts
from squall.services.run.result import Check

NAMED_MAX = 3
"""How many offenders a detail names."""

NAMES = {
    "H1": "no-loss",
    "H2": "one-effect",
    "H3": "balance",
    "H4": "coordinator-failover",
    "H5": "poison-containment",
    "H6": "back-pressure",
    "E1": "ledger-as-computed",
    "L1": "recovery",
    "U1": "nothing-unexplained",
}
"""What each check is called."""


def decide(
    check: str,
    history: History,
    shown: Sequence[str],
    inferred: Sequence[str],
    unseen: Sequence[str],
    passed: str,
) -> Check:
    """The verdict that follows.

    Args:
        shown: What is wrong by lines that are there: fails, whatever else is missing.
        inferred: What is wrong by lines that are not there: fails if nothing is missing.
        unseen: What did not happen, or was not seen to, and had to for a pass.
        passed: What to say if it passes.
    """
    doubtful = doubts(history)
    if shown or (inferred and not doubtful):
        return Check(id=check, name=NAMES[check], verdict="fail", detail=sentence([*shown, *inferred]))
    reasons = [*doubtful, *unseen]
    if undrained(history):
        reasons.append("it had not drained within its bound")
    if reasons:
        return unknown(check, *reasons, *inferred)
    return Check(id=check, name=NAMES[check], verdict="pass", detail=passed)


def unknown(check: str, *reasons: str) -> Check:
    return Check(id=check, name=NAMES[check], verdict="unknown", detail=sentence(reasons))


def sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts[:NAMED_MAX])
    if len(parts) > NAMED_MAX:
        text += f"; and {len(parts) - NAMED_MAX} more findings"
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def named(offenders: Sequence[str], noun: str, has: str) -> list[str]:
    """``3 tasks have more than one register: a, b, c``; nothing where there are none."""
    if not offenders:
        return []
    count = f"1 {noun} has" if len(offenders) == 1 else f"{len(offenders):,} {noun}s have"
    return [f"{count} {has}: {some(offenders)}"]


def some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - NAMED_MAX:,} more" if len(listed) > NAMED_MAX else ""
    return ", ".join(listed[:NAMED_MAX]) + more


def tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count:,} tasks"


def undrained(history: History) -> bool:
    """Whether the bound for draining passed first."""
    return history.closing is not None and not history.closing.drained
