"""Handlers of somebody's own in simulated worlds.

before any world ─► imported as it is, with the libraries that it needs
each process ─────► its own files once more: none knows what another has left in a module
"""

from __future__ import annotations

import sys

from squall.bus.border import printable
from squall.services.errors import SpecError
from squall.services.handlers.kinds import kind_of, load
from squall.services.handlers.mistakes import own_files
from squall.services.handlers.port import Handling, Loaded
from squall.services.node.service import Origin

_own: set[str] = set()
"""Modules of a handler's own, as they were last imported."""


def is_of_ours(handler: str) -> bool:
    """Whether a handler is one that comes with Squall."""
    return handler.startswith("squall.")


def anew(handling: Handling, origin: Origin | None = None) -> Loaded:
    """A handler, as a process has it that has just begun.

    Raises:
        SpecError: It cannot be imported, is no function of one argument, or needs what no world has.
    """
    kind = kind_of(handling.name)
    if kind.outside:
        raise SpecError(
            f"the handler {printable(handling.name, 100)} needs {kind.outside}, which no simulated world has",
            "name a Python function, or break the real swarm with squall chaos",
        )
    if is_of_ours(handling.name):
        return load(handling, origin)
    forget()
    before = set(sys.modules)
    try:
        return load(handling, origin)
    finally:
        is_own = own_files(None)
        for module in set(sys.modules) - before:
            file = getattr(sys.modules[module], "__file__", None)
            if file and is_own(file):
                _own.add(module)


def forget() -> None:
    """Let go of modules that were imported in a world: what they have of its clock and chance keeps it."""
    for module in _own:
        sys.modules.pop(module, None)
    _own.clear()
