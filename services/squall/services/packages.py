"""What other packages bring by an entry point: found by its name, loaded, and held to its type.

Only what is asked for is loaded. So a broken package is told of where somebody asks for what it brings, and
breaks nothing else.
"""

from __future__ import annotations

import importlib.metadata
from typing import TypeVar

from squall.services.errors import SpecError

T = TypeVar("T")

REMEDY = "repair that package, or uninstall it"


def names_in(group: str) -> list[str]:
    """The names of all that packages bring in a group of entry points, sorted."""
    return sorted({entry.name for entry in importlib.metadata.entry_points(group=group)})


def packages_of(group: str, name: str) -> list[str]:
    """The packages that bring something of this name in a group, sorted."""
    return sorted({_package(entry) for entry in importlib.metadata.entry_points(group=group, name=name)})


def brought(group: str, name: str, kind: type[T]) -> T | None:
    """What a package brings under a name; None if none does.

    Raises:
        SpecError: Several do, or it cannot be imported, or it is of another type.
    """
    entries = list(importlib.metadata.entry_points(group=group, name=name))
    if not entries:
        return None
    packages = packages_of(group, name)
    if len(packages) > 1:
        raise SpecError(
            f"{', '.join(packages[:-1])} and {packages[-1]} both bring {name!r} in {group}",
            "uninstall all of them but one",
        )
    entry = entries[0]
    said = f"what {packages[0]} brings as {name!r} in {group}"
    try:
        value: object = entry.load()
    except Exception as error:
        raise SpecError(f"{said} cannot be loaded: {type(error).__name__}: {error}", REMEDY) from error
    if not isinstance(value, kind):
        found = f"{entry.value} is a {type(value).__name__}"
        raise SpecError(f"{said} is no {kind.__name__}: {found}", REMEDY)
    return value


def _package(entry: importlib.metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "a package"
