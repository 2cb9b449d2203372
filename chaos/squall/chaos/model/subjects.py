"""Subjects and patterns of them, for many at a time: what matches, and who is interested. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Matches = Callable[[str], Any]
"""Whether a subject falls under something; what it returns is true or false as a condition."""


def is_literal(pattern: str) -> bool:
    """Whether a pattern is one subject."""
    if "*" not in pattern and ">" not in pattern:
        return True
    return not any(token in ("*", ">") for token in pattern.split("."))


def matcher(*patterns: str) -> Matches:
    """What says whether a subject falls under any of these; under none of them, everything does."""
    return _matcher(patterns)


@functools.lru_cache(maxsize=4096)
def _matcher(patterns: tuple[str, ...]) -> Matches:
    if not patterns or ">" in patterns:
        return _always
    if all(map(is_literal, patterns)):
        return frozenset(patterns).__contains__
    return re.compile("|".join(map(_expression, patterns))).fullmatch


def _always(subject: str) -> bool:
    return True


def _expression(pattern: str) -> str:
    words = {"*": r"[^.]+", ">": ".+"}
    return r"\.".join(words.get(token, re.escape(token)) for token in pattern.split("."))


def covers(wide: str, narrow: str) -> bool:
    """Whether all that falls under the second pattern falls under the first."""
    theirs = narrow.split(".")
    ours = wide.split(".")
    for place, token in enumerate(ours):
        if token == ">":
            return len(theirs) > place
        if place >= len(theirs) or theirs[place] == ">":
            return False
        if token not in ("*", theirs[place]):
            return False
    return len(ours) == len(theirs)


def collide(first: str, second: str) -> bool:
    """Whether a subject may fall under both patterns."""
    one, two = first.split("."), second.split(".")
    for a, b in zip(one, two, strict=False):
        if a == ">" or b == ">":
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(one) == len(two)


class SubjectIndex(Generic[T]):
    """Items by pattern, found by subject.

    Most patterns are literal or have one wildcard, at their end, so that both are a look into a table; the
    others are tried one by one, among those that begin as the subject does.
    """

    __slots__ = ("_any_last", "_begins", "_literal", "_others")

    def __init__(self) -> None:
        self._literal: dict[str, list[T]] = {}
        self._any_last: dict[str, list[T]] = {}
        self._others: dict[str, list[tuple[str, Matches, T]]] = {}
        self._begins: tuple[str, ...] = ()

    def add(self, pattern: str, item: T) -> None:
        table, key = self._place(pattern)
        if table is None:
            self._others.setdefault(key, []).append((pattern, matcher(pattern), item))
            self._begins = tuple(self._others)
        else:
            table.setdefault(key, []).append(item)

    def remove(self, pattern: str, item: T) -> None:
        table, key = self._place(pattern)
        if table is None:
            kept = [entry for entry in self._others[key] if (entry[0], entry[2]) != (pattern, item)]
            if kept:
                self._others[key] = kept
            else:
                del self._others[key]
                self._begins = tuple(self._others)
        else:
            table[key].remove(item)
            if not table[key]:
                del table[key]

    def _place(self, pattern: str) -> tuple[dict[str, list[T]] | None, str]:
        tokens = pattern.split(".")
        first = next((place for place, token in enumerate(tokens) if token in ("*", ">")), None)
        if first is None:
            return self._literal, pattern
        head = ".".join(tokens[:first])
        if first == len(tokens) - 1 and tokens[first] == "*" and head:
            return self._any_last, head
        return None, f"{head}." if head else ""

    def find(self, subject: str) -> Sequence[T]:
        """All items whose patterns a subject falls under; not to be kept or changed."""
        found: list[T] | None = self._literal.get(subject)
        last = self._any_last.get(subject.rpartition(".")[0])
        if last is not None:
            found = last if found is None else found + last
        if subject.startswith(self._begins):
            for head, candidates in self._others.items():
                if subject.startswith(head):
                    more = [item for _, matches, item in candidates if matches(subject)]
                    if more:
                        found = more if found is None else found + more
        return found if found is not None else ()
