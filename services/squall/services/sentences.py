"""What is told begins with a capital letter, unless a name comes first, and ends with a stop. Pure."""

from __future__ import annotations

import re

from squall.bus.subjects import GATEWAY
from squall.services.patterns.pattern import PRODUCER, VENUE

ALONE = frozenset({GATEWAY, PRODUCER, VENUE, "broker"})
"""Nodes whose names are words; all others have a number behind them."""

_NAME = re.compile(r"[^\s,;:]*(?:[0-9_/]|[.@][^\s,;:.])[^\s,;:]*")
"""A first word that is written as it is and not otherwise: agent-3, history.jsonl, runs/x, SQUALL_IN."""


def sentence(text: str) -> str:
    """A text as a sentence: ``coordinator-2 took over.`` begins with a name, and keeps its small letter."""
    ended = text if text.endswith((".", "?")) else f"{text}."
    return ended if begins_with_a_name(text) else f"{ended[:1].upper()}{ended[1:]}"


def begins_with_a_name(text: str) -> bool:
    """Whether the first word is the name of a node, a file, a point or a task."""
    first = text.partition(" ")[0].rstrip(",;:.")
    return first in ALONE or _NAME.match(first) is not None
