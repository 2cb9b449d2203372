"""A case in, a finding out; one file a pattern, named after it, with its table of promises.

A check passes only on complete evidence. What it finds wrong is either *shown*
by lines that are there (an order filled twice) and fails whatever else is
missing, or *inferred* from lines that are not (a task without a register) and
fails only if nothing is missing. What had to be seen for a pass and was not, is
unknown. What several patterns promise stands in files of its own.

A package brings the promises of a pattern of its own by the entry point group
``squall.checks``, whose value is a `Promises`.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Mapping

from squall.chaos.evidence.operations import Operations
from squall.chaos.judge.checks import hierarchical, star
from squall.chaos.judge.promise import Promises

__all__ = ["BUILT_IN", "GROUP", "all_promises", "operations_of", "promises_of"]

GROUP = "squall.checks"

BUILT_IN = (hierarchical.PROMISES, star.PROMISES)
"""The promises of the patterns that Squall brings; one line a pattern."""


@functools.cache
def all_promises() -> Mapping[str, Promises]:
    """The promises of every pattern that is installed, by the pattern's name; ours go before others'."""
    brought: dict[str, Promises] = {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        value = entry.load()
        if not isinstance(value, Promises):
            raise TypeError(f"the entry point {entry.name} of {GROUP} is no Promises but {value!r}")
        brought[value.pattern] = value
    return brought | {ours.pattern: ours for ours in BUILT_IN}


def promises_of(pattern: str | None) -> Promises | None:
    """What a pattern promises; None if nothing is known of it."""
    return all_promises().get(pattern or "")


def operations_of(pattern: str | None) -> Operations:
    """The operations that a pattern declares; none if nothing is known of it."""
    promises = promises_of(pattern)
    return {} if promises is None else promises.operations
