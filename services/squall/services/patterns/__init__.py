"""The deployment patterns. A new one is a file in here, and a line below.

A package brings a pattern of its own by an entry point in the group ``squall.patterns``: its name is the
pattern's, and its value is a `Pattern`.
"""

from __future__ import annotations

import difflib
import importlib.metadata
from collections.abc import Mapping

from squall.services.errors import SpecError
from squall.services.patterns import hierarchical, star
from squall.services.patterns.pattern import Pattern
from squall.services.run.spec import Spec

__all__ = ["DEFAULT", "PATTERNS", "PLANNED", "Pattern", "names", "pattern_of"]

PATTERNS: Mapping[str, Pattern] = {pattern.name: pattern for pattern in (hierarchical.PATTERN, star.PATTERN)}

PLANNED = ("mesh", "ring", "autoscaling", "multi-strategy", "blue-green", "canary")

DEFAULT = next(iter(PATTERNS))
"""The pattern of a spec that names none."""

GROUP = "squall.patterns"


def pattern_of(spec: Spec | str) -> Pattern:
    """The pattern of a spec, or of this name.

    Raises:
        SpecError: There is none, or the package that brings it is broken.
    """
    name = spec if isinstance(spec, str) else spec.pattern
    if name in PATTERNS:
        return PATTERNS[name]
    for entry in importlib.metadata.entry_points(group=GROUP, name=name):
        return _loaded(entry)
    if name in PLANNED:
        raise SpecError(f"the pattern {name} is not built yet", f"use {', '.join(names())}")
    known = [*names(), *PLANNED]
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
    raise SpecError(f"there is no pattern {name!r}; {hint}")


def names() -> list[str]:
    """Every pattern that can be run here."""
    others = {entry.name for entry in importlib.metadata.entry_points(group=GROUP)}
    return [*PATTERNS, *sorted(others - set(PATTERNS))]


def _loaded(entry: importlib.metadata.EntryPoint) -> Pattern:
    brought = f"the pattern {entry.name} that {entry.dist.name if entry.dist else 'a package'} brings"
    remedy = "repair that package, or uninstall it"
    try:
        pattern = entry.load()
    except Exception as error:
        raise SpecError(f"{brought} cannot be loaded: {type(error).__name__}: {error}", remedy) from error
    if not isinstance(pattern, Pattern):
        raise SpecError(f"{brought} is no Pattern: {entry.value} is a {type(pattern).__name__}", remedy)
    if pattern.name != entry.name:
        raise SpecError(f"{brought} calls itself {pattern.name!r}", remedy)
    return pattern
