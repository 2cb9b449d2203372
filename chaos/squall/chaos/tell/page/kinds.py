"""What a kind of fault does, for the page, and which kinds are drawn alike. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from squall.chaos.plan.kinds import DOES, KINDS

_SORTS: Mapping[str, str] = {
    "process": "process",
    "planned": "process",
    "cut": "cut",
    "half": "cut",
    "flapping": "cut",
    "slow": "slow",
    "messages": "odd",
    "clocks": "odd",
    "errors": "answers",
    "membership": "odd",
}

SORTS: Mapping[str, str] = {
    "process": "a process is stopped",
    "cut": "a way is cut",
    "slow": "a way is slow",
    "odd": "messages or clocks are odd",
    "answers": "answers are errors, or late",
    "other": "other",
}
"""The sorts of faults that are drawn alike, each in words."""


def sort_of(kind: str) -> str:
    """The sort that a kind is drawn as."""
    known = KINDS.get(kind)
    if known is None:
        return "other"
    return "answers" if known.breaks == "attempts" else _SORTS.get(known.family, "other")


def does(kind: str) -> str:
    """What it does; nothing of a kind that is not known here."""
    return DOES.get(kind, "")
