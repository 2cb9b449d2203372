"""The name by which agents, which are processes of their own, find the handler that a test names. Pure.

a function, a class's method, what a decorator made ──► where its own module has it
a partial, an object that can be called, a lambda ────► where a module has given it a name
what has a name nowhere ──────────────────────────────► refused, before anything starts
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any

from squall.bus.border import printable
from squall.services.errors import SpecError
from squall.services.handlers.loading import check
from squall.services.node.service import Origin

SHOWN_LENGTH_MAX = 80


def named(handler: object, test_module: ModuleType | None) -> tuple[str, Origin]:
    """A handler's name, and where it comes from.

    Args:
        handler: What the test names: a name as ``--handler`` takes it, or whatever can be called with a task.
        test_module: The module of the test.

    Raises:
        SpecError: It has no name by which it can be found, or cannot be called with one argument.
    """
    path = tuple(str(Path(entry).absolute()) for entry in sys.path)
    if isinstance(handler, str):
        return handler, Origin(path=path)
    for module in _homes(handler, test_module):
        place = _place(module, handler)
        if place:
            name = f"{module.__name__}:{place}"
            check(name, handler)
            file = getattr(module, "__file__", None)
            return name, Origin(path=path, file=str(Path(file).absolute()) if file else "")
    if not callable(handler):
        raise SpecError(
            f"the handler {_shown(handler)} is not a function", "name the function: handler=decide"
        )
    raise SpecError(
        f"the handler {_shown(handler)} has no name at the top of a file, by which the agents, which are "
        "processes of their own, could find it",
        "define it there with def, or give it a name there: decide = …",
    )


def _homes(handler: object, test_module: ModuleType | None) -> Iterator[ModuleType]:
    """The modules that may have a name for it, the one that it says it is of first; then the test's, and
    those that the test has imported."""
    inner = handler
    while isinstance(inner, functools.partial):
        inner = inner.func
    for of in (handler, test_module, _unwrapped(inner), type(inner), getattr(inner, "__self__", None)):
        if isinstance(of, ModuleType):
            yield of
            yield from [value for value in vars(of).values() if isinstance(value, ModuleType)]
            continue
        name = getattr(of, "__module__", None)
        module = sys.modules.get(name) if isinstance(name, str) else None
        if module is not None:
            yield module


def _unwrapped(handler: Any) -> object:
    """What a decorator that says so has wrapped."""
    try:
        return inspect.unwrap(handler)
    except ValueError:  # it wraps itself
        return handler


def _place(module: ModuleType, handler: object) -> str:
    """Where a module has it: a name, or names with dots between; empty if it has it nowhere."""
    said = getattr(handler, "__qualname__", "")
    if isinstance(said, str) and said and _is(_at(module, said), handler):
        return said
    owner = handler.__self__ if isinstance(handler, MethodType) else None
    for name, value in list(vars(module).items()):
        if value is handler:
            return name
        if owner is not None and value is owner and isinstance(handler, MethodType):
            return f"{name}.{handler.__name__}"
    return ""


def _at(module: ModuleType, place: str) -> object:
    found: object = module
    for name in place.split("."):
        found = getattr(found, name, None)
    return found


def _is(found: object, handler: object) -> bool:
    """Whether this is it; a method is made anew each time that it is asked for."""
    return found is handler or (isinstance(found, MethodType) and found == handler)


def _shown(handler: object) -> str:
    name = getattr(handler, "__qualname__", None)
    return printable(name if isinstance(name, str) else repr(handler), SHOWN_LENGTH_MAX)
