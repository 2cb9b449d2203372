"""The deployment patterns. A new one is a file in here, and a line below.

A package brings a pattern of its own by an entry point in the group ``squall.patterns``: its name is the
pattern's, and its value is a `Pattern`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from squall.bus.border import NAME_LENGTH_MAX, check_name, printable
from squall.bus.errors import InvalidNameError
from squall.services import packages
from squall.services.errors import SpecError
from squall.services.patterns import hierarchical, mesh, ring, star
from squall.services.patterns.pattern import Pattern
from squall.services.run.spec import Spec

__all__ = ["DEFAULT", "GROUP", "PATTERNS", "PLANNED", "Pattern", "names", "pattern_of"]

PATTERNS: Mapping[str, Pattern] = {
    pattern.name: pattern for pattern in (hierarchical.PATTERN, star.PATTERN, mesh.PATTERN, ring.PATTERN)
}

PLANNED = ("autoscaling", "multi-strategy", "blue-green", "canary")

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
    pattern = packages.brought(GROUP, name, Pattern)
    if pattern is not None:
        return _named(pattern, name)
    if name in PLANNED:
        raise SpecError(
            f"the pattern {name} is not built yet", f"use {', '.join(filter(_is_usable, names()))}"
        )
    known = [other for other in names() if _is_usable(other)]
    near = difflib.get_close_matches(name, known, 1)
    there_are = f"there are {', '.join(known)}, or name a file, for instance ./swarm.toml"
    remedy = f"did you mean {near[0]!r}?" if near else there_are
    raise SpecError(f"there is no pattern {printable(name, NAME_LENGTH_MAX)!r}", remedy)


def _is_usable(name: str) -> bool:
    """Whether a pattern of this name can be run; a package that brings it may be broken."""
    try:
        pattern_of(name).points()
    except SpecError:
        return False
    return True


def names() -> list[str]:
    """Every pattern that can be run here."""
    return [*PATTERNS, *(name for name in packages.names_in(GROUP) if name not in PATTERNS)]


def _named(pattern: Pattern, name: str) -> Pattern:
    """Return a pattern that a package brings under a name, if that is its own.

    Raises:
        SpecError: It calls itself something else, or that is no name.
    """
    package = packages.packages_of(GROUP, name)[0]
    if pattern.name != name:
        raise SpecError(
            f"the pattern {name!r} that {package} brings calls itself {pattern.name!r}", packages.REMEDY
        )
    try:
        check_name(name, "its name")
    except InvalidNameError as error:
        raise SpecError(
            f"{package} brings a pattern that cannot be used: {error}", packages.REMEDY
        ) from error
    return pattern
