"""A case in, a finding out; one file a pattern, named after it, with its table of promises.

A check passes only on complete evidence. What it finds wrong is either *shown*
by lines that are there (an order filled twice) and fails whatever else is
missing, or *inferred* from lines that are not (a task without a register) and
fails only if nothing is missing. What had to be seen for a pass and was not, is
unknown. What several patterns promise stands in files of its own.

A package brings the promises of a pattern of its own by the entry point group
``squall.checks``: its name is the pattern's, and its value is a `Promises`.
"""

from __future__ import annotations

import functools

from squall.chaos.evidence.operations import Operations
from squall.chaos.judge.checks import hierarchical, mesh, ring, star
from squall.chaos.judge.promise import Promises
from squall.services import packages
from squall.services.errors import SpecError

__all__ = ["BUILT_IN", "GROUP", "operations_of", "promises_of"]

GROUP = "squall.checks"

BUILT_IN = (hierarchical.PROMISES, star.PROMISES, mesh.PROMISES, ring.PROMISES)
"""The promises of the patterns that Squall brings; one line a pattern."""


@functools.cache
def promises_of(pattern: str | None) -> Promises | None:
    """What a pattern promises; None if nothing is known of it.

    Raises:
        SpecError: The package that brings its promises is broken.
    """
    for promises in BUILT_IN:
        if promises.pattern == pattern:
            return promises
    brought = packages.brought(GROUP, pattern or "", Promises)
    if brought is not None and brought.pattern != pattern:
        package = packages.packages_of(GROUP, pattern or "")[0]
        raise SpecError(
            f"the promises that {package} brings for {pattern!r} are those of {brought.pattern!r}",
            packages.REMEDY,
        )
    return brought


def operations_of(pattern: str | None) -> Operations:
    """The operations that a pattern declares; none if nothing is known of it.

    Raises:
        SpecError: The package that brings its promises is broken.
    """
    promises = promises_of(pattern)
    return {} if promises is None else promises.operations
