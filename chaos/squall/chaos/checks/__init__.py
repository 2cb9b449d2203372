"""Checks: a history in, a verdict out; one file a pattern, named after it.

A check passes only on a whole history in which what it speaks of happened.
"""

from __future__ import annotations

from collections.abc import Callable

from squall.chaos.history import History
from squall.services.result import Check, Verdict

Judged = tuple[Verdict, str]
"""A verdict and one or two sentences."""


def run_check(identity: str, name: str, look: Callable[[History], Judged], history: History) -> Check:
    """One check on one history: no pass with a part of it missing, and no error swallowed."""
    try:
        verdict, detail = look(history)
    except Exception as error:  # a checker's own defect says nothing about the swarm
        return Check(identity, name, "unknown", f"the check itself failed: {type(error).__name__}: {error}")
    if verdict == "pass" and history.problems:
        return Check(identity, name, "unknown", f"the history is not whole: {history.problems[0]}")
    return Check(identity, name, verdict, detail)


def some(names: list[str]) -> str:
    """Up to three of them, and how many more."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
