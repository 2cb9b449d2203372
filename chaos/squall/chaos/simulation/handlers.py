"""Handlers of somebody's own in simulated worlds.

before any world ─► imported as it is, with the libraries that it needs
each process ─────► its own files once more: none knows what another has left in a module
"""

from __future__ import annotations

import sys

from squall.services.handlers import Handler
from squall.services.handlers.loading import load
from squall.services.handlers.mistakes import own_files
from squall.services.node.service import Origin

_own: set[str] = set()
"""Modules of a handler's own, as they were last imported."""


def is_of_ours(handler: str) -> bool:
    """Whether a handler is one that comes with Squall."""
    return handler.startswith("squall.")


def anew(name: str, origin: Origin | None = None) -> Handler:
    """A handler, as a process has it that has just begun.

    Raises:
        SpecError: It cannot be imported, or is no function of one argument.
    """
    if is_of_ours(name):
        return load(name, origin)
    forget()
    before = set(sys.modules)
    try:
        return load(name, origin)
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
