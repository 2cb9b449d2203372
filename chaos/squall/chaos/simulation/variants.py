"""Known-bad variants in a simulated world, where all nodes share one interpreter.

A variant's ``install(node, role)`` changes the code of one process. Here it is asked once for a node of each
role, always from the code as it was, and what it changed for any of them holds for all: the code of one role
is run by no other.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

CHANGED = ("squall.bus", "squall.services")
"""Where variants change anything."""

_Place = tuple[Any, str]
_MISSING = object()


@contextlib.contextmanager
def installed(preload: str, nodes: Mapping[str, str]) -> Iterator[None]:
    """The variant of a module in force inside the block; none, if it has no name.

    Args:
        nodes: The role of each node by its name.
    """
    if not preload:
        yield
        return
    install = importlib.import_module(preload).install
    before = _attributes()
    changes: dict[_Place, Any] = {}
    try:
        for role in dict.fromkeys(nodes.values()):
            install(next(node for node, its in nodes.items() if its == role), role)
            changes |= _differing(before)
            _restore(before)
        for (owner, name), value in changes.items():
            setattr(owner, name, value)
        yield
    finally:
        _restore(before)


def _attributes() -> dict[_Place, Any]:
    """Every attribute of our modules and of their classes, by where it is."""
    found: dict[_Place, Any] = {}
    for name, module in list(sys.modules.items()):
        if name.startswith(CHANGED) and isinstance(module, ModuleType):
            owners = [module, *(value for value in vars(module).values() if _is_ours(value))]
            for owner in owners:
                found |= {(owner, each): value for each, value in list(vars(owner).items())}
    return found


def _is_ours(value: object) -> bool:
    return isinstance(value, type) and value.__module__.startswith(CHANGED)


def _differing(before: dict[_Place, Any]) -> dict[_Place, Any]:
    """What is otherwise now. What was imported meanwhile is as it was written."""
    known = {owner for owner, _ in before}
    return {
        (owner, name): value
        for (owner, name), value in _attributes().items()
        if owner in known and before.get((owner, name), _MISSING) is not value
    }


def _restore(before: dict[_Place, Any]) -> None:
    for owner, name in _differing(before):
        value = before.get((owner, name), _MISSING)
        if value is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, value)
