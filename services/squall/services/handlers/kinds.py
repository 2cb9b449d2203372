"""The kinds of handlers, told by how a name begins. A new one is a file in here, and a line below.

A file of a kind has ``load(handling, origin)``, which says what cannot work, and returns what can be opened;
it is imported only where a handler of its kind is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import msgspec

from squall.bus.border import printable
from squall.services.errors import SpecError
from squall.services.handlers import guests
from squall.services.handlers.port import Handling, Loaded
from squall.services.kind import NAME_LENGTH_MAX, Kind, check_variables


@dataclass(frozen=True, kw_only=True)
class HandlerKind(Kind):
    """A kind of handler.

    Attributes:
        outside: What it needs that no simulated world has; empty if nothing.
    """

    outside: str = ""


PYTHON = HandlerKind(
    name="Python handler", prefix="", module="python", example="mine:decide", takes=("parameters",)
)

EXEC = HandlerKind(
    name="program",
    prefix="exec:",
    module="exec",
    example="exec:./agent.sh",
    takes=("environment",),
    outside="a process of its own",
)

HTTP = HandlerKind(
    name="service",
    prefix="http:",
    module="http",
    example="http://127.0.0.1:8080/decide",
    takes=("headers", "answer"),
    outside="a network",
)

HTTPS = replace(HTTP, prefix="https:", example="https://agent.example/decide")

NATS = HandlerKind(
    name="responder",
    prefix="nats:",
    module="nats",
    example="nats:prices.decide",
    takes=("server", "credentials", "guest", "answer"),
    outside="a network",
)

AGENT = HandlerKind(
    name="agent of the Synadia Agent Protocol",
    prefix="agent:",
    module="agent_protocol",
    example="agent:pricer/me/main",
    takes=("server", "credentials", "guest", "answer"),
    outside="a network",
)

KINDS: Mapping[str, HandlerKind] = {kind.prefix: kind for kind in (PYTHON, AGENT, EXEC, HTTP, HTTPS, NATS)}

FIELDS = ("parameters", "environment", "headers", "server", "credentials", "guest", "answer")
"""What ``[handler]`` may say beside ``use``."""


class _File(Protocol):
    def load(self, handling: Handling, origin: Any) -> Loaded: ...


def kind_of(name: str) -> HandlerKind:
    """The kind of handler that a name is of."""
    return next((kind for kind in KINDS.values() if kind.prefix and name.startswith(kind.prefix)), PYTHON)


def check(handling: Handling) -> None:
    """See that a handler is one that its kind could find, and is told nothing that its kind cannot use.

    Raises:
        SpecError: It is not.
    """
    kind, shown = kind_of(handling.name), repr(printable(handling.name, NAME_LENGTH_MAX))
    if kind is PYTHON and (scheme := _scheme(handling.name)):
        known = [each.prefix for each in KINDS.values() if each.prefix]
        near = difflib.get_close_matches(scheme, known, 1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise SpecError(f"the handler {shown} is of no kind that there is: {scheme}", meant)
    if kind.prefix and not handling.name[len(kind.prefix) :].strip():
        raise SpecError(f"the handler {shown} names nothing", f"for instance {kind.example}")
    if kind is PYTHON and (":" not in handling.name or not all(handling.name.rsplit(":", 1))):
        raise SpecError(
            f"the handler {shown} names no function",
            "a handler is package.module:function or path/to/file.py:function, for instance mine:decide",
        )
    for field in FIELDS:
        if getattr(handling, field) not in ({}, (), "", "json") and field not in kind.takes:
            raise SpecError(
                f"{field} {_be(field)} of no use to the handler {shown}, a {kind.name}",
                f"leave them out; it takes {' and '.join(kind.takes) or 'nothing'}",
            )
    try:
        told = msgspec.json.decode(msgspec.json.encode(handling.parameters))
    except (TypeError, UnicodeEncodeError):
        told = None
    if told != handling.parameters:
        raise SpecError(
            f"a parameter of the handler {shown} is nothing that JSON has",
            "give texts, finite numbers, true, false, lists and tables of these",
        )
    if handling.guest:
        guests.check(handling, shown)
    named = (*handling.environment, *handling.headers.values(), *filter(None, (handling.credentials,)))
    check_variables(f"the handler {shown}", named)


def _be(field: str) -> str:
    return "is" if field in ("server", "guest", "answer") else "are"


def _scheme(name: str) -> str:
    """What a name begins with that looks like a kind, and is none; empty if it looks like a function's."""
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", name)
    rest = name[found.end() :] if found else ""
    is_function = all(part.isidentifier() for part in rest.split("."))
    return found[0] if found and rest and not is_function and ".py:" not in name else ""


CUT_SHORT = (
    "whole answers: the handler {handler} answers with text, in parts without numbers, so that one which is "
    "stopped in the middle is taken for whole"
)


def limits_of(handling: Handling) -> list[str]:
    """What is not known of what a handler answers, in words."""
    if kind_of(handling.name) is AGENT and handling.answer == "text":
        return [CUT_SHORT.format(handler=printable(handling.name, NAME_LENGTH_MAX))]
    return []


def load(handling: Handling, origin: Any = None) -> Loaded:
    """Find a handler.

    Args:
        origin: How the process that names it has imported its module; see `Origin`.

    Raises:
        SpecError: It cannot work.
    """
    check(handling)
    return cast(_File, kind_of(handling.name).file("squall.services.handlers")).load(handling, origin)
