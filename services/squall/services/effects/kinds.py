"""The kinds of sinks, told by how a name begins. A new one is a file in here, and a line below.

A file of a kind has ``load(sending, origin)``, which says what cannot work, and returns what can be opened;
it is imported only where a sink of its kind is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

from squall.bus.border import printable
from squall.services.errors import SpecError
from squall.services.kind import NAME_LENGTH_MAX, Kind, check_variables
from squall.services.rules.header_templates import HEADER, OURS, template
from squall.services.users_broker import is_subject

if TYPE_CHECKING:
    from squall.services.effects.port import Opener, Sending


@dataclass(frozen=True, kw_only=True)
class SinkKind(Kind):
    """A kind of sink.

    Attributes:
        is_outside: Whether it is somebody else's, who is not in the swarm's hands.
    """

    is_outside: bool = True


VENUE = SinkKind(name="venue", prefix="venue", module="venue", example="venue", is_outside=False)
NONE = SinkKind(name="sink that is none", prefix="none", module="none", example="none", is_outside=False)

HTTP = SinkKind(
    name="service",
    prefix="http:",
    module="http",
    example="https://orders.example/effects",
    takes=("headers", "templates", "journal", "together", "batch"),
)
HTTPS = replace(HTTP, prefix="https:")

NATS = SinkKind(
    name="stream",
    prefix="nats:",
    module="nats",
    example="nats:orders.new",
    takes=("server", "credentials", "journal", "together"),
)

PYTHON = SinkKind(
    name="Python function", prefix="", module="python", example="mine:send", takes=("journal", "together")
)

WORDS = (VENUE, NONE)
"""Kinds of which there is one, by a name of its own."""

KINDS: Mapping[str, SinkKind] = {kind.prefix: kind for kind in (VENUE, HTTP, HTTPS, NATS, NONE, PYTHON)}

FIELDS = ("headers", "templates", "server", "credentials", "journal", "together", "batch")
"""What ``[effects]`` may say beside ``use``."""


def kind_of(name: str) -> SinkKind:
    """The kind of sink that a name is of."""
    for kind in KINDS.values():
        if name == kind.prefix if kind in WORDS else kind.prefix and name.startswith(kind.prefix):
            return kind
    return PYTHON


def is_outside(name: str | None) -> bool:
    """Whether effects go to somebody who is not in the swarm's hands; runs of before they could do not."""
    return name is not None and kind_of(name).is_outside


def check(sending: Sending, said: Collection[str]) -> None:
    """See that a sink is one that its kind could find, and is told nothing that its kind cannot use.

    Args:
        said: The fields of ``[effects]`` that are not as they are by themselves.

    Raises:
        SpecError: It is not.
    """
    name, kind = sending.name, kind_of(sending.name)
    shown = repr(printable(name, NAME_LENGTH_MAX))
    if kind is PYTHON:
        _check_function(name, shown)
    if kind in (HTTP, HTTPS):
        check_url(name, "effects")
    if kind is NATS:
        subject = name.removeprefix(NATS.prefix)
        if not is_subject(subject):
            raise SpecError(f"effects = {shown} names no subject", f"for instance {NATS.example}")
    for field in FIELDS:
        if field in said and field not in kind.takes:
            takes = " and ".join(kind.takes) or "nothing"
            raise SpecError(
                f"{field} is of no use to effects = {shown}, a {kind.name}", f"leave it out; it takes {takes}"
            )
    check_variables(f"effects = {shown}", (*sending.headers.values(), *filter(None, (sending.credentials,))))
    for header, text in sending.templates.items():
        _check_template(sending, header, text)
    if sending.journal.startswith(("http:", "https:")):
        check_url(sending.journal, "the journal of effects")


def _check_template(sending: Sending, header: str, text: str) -> None:
    shown = printable(header, NAME_LENGTH_MAX)
    try:
        made = template(text)
    except ValueError as error:
        raise SpecError(
            f"the header {shown} that effects are to have {error}",
            'for instance templates = {X-Symbol = "{effect.symbol}"}',
        ) from error
    check_variables(f"the header {shown}", made.variables)
    if not HEADER.fullmatch(header) or header.lower() in OURS:
        raise SpecError(
            f"effects cannot be sent with a header {shown} of yours", "leave it out, or rename it"
        )
    if header.lower() in {each.lower() for each in sending.headers}:
        raise SpecError(
            f"the header {shown} is both in headers and in templates of effects", "leave one of them out"
        )
    if sending.batch > 1 and made.is_of_one_effect:
        raise SpecError(
            f"the header {shown} is made from each effect, and a batch has many",
            "leave batch out, or the header",
        )


def _check_function(name: str, shown: str) -> None:
    prefixes = [kind.prefix for kind in KINDS.values() if kind.prefix]
    found = re.match(r"[A-Za-z_][\w+.-]*:", name)
    rest = name[found.end() :] if found else name
    is_function = bool(found) and all(part.isidentifier() for part in rest.split("."))
    if is_function or (".py:" in name and name.rsplit(":", 1)[1]):
        return
    near = difflib.get_close_matches(found[0] if found else name, prefixes, 1)
    raise SpecError(
        f"effects = {shown} is of no kind that there is",
        f"did you mean {near[0]}?"
        if near
        else f"there are {', '.join(prefixes)} and package.module:function",
    )


def check_url(url: str, what: str) -> None:
    """See that a URL is one, and holds no credentials.

    Args:
        what: What it is named for, at the beginning of a sentence.

    Raises:
        SpecError: It is not, or does.
    """
    try:
        parts = urlsplit(url)
        port, host, user = parts.port, parts.hostname, parts.username or parts.password
    except ValueError:
        port, host, user, parts = 0, None, None, urlsplit("")
    if user:
        raise SpecError(
            f"{what}: credentials do not belong in a URL, which is logged",
            "name the variable that holds them: [effects.headers] Authorization = 'SINK_TOKEN'",
        )
    if not host or port == 0 or parts.fragment or not url.isprintable():
        shown = printable(url, NAME_LENGTH_MAX)
        raise SpecError(f"{what}: {shown} is no URL", f"for instance {HTTP.example}")


NOWHERE = 'effects = "none": what handlers intend is carried out nowhere, and stands in the results alone'

NO_JOURNAL = (
    "the outside: effects go to {sink}, which keeps no journal that could be read, so how many were lost or "
    "carried out twice is not known"
)

ONE_WINDOW = (
    "one message an effect for ever: the stream of {sink} tells repeats from new messages within its "
    "window of duplicates, so an effect that is sent again after a longer outage is stored twice"
)

OWN_WORD = "an outside that is nobody's: the journal of {sink} is kept by that sink itself, and believed"


def limits_of(sending: Sending) -> list[str]:
    """What is not known, or not held to, for where effects go, in words."""
    kind, sink = kind_of(sending.name), printable(sending.name, NAME_LENGTH_MAX)
    if kind is NONE:
        return [NOWHERE]
    if not kind.is_outside:
        return []
    found = [OWN_WORD if sending.journal else NO_JOURNAL]
    if kind is NATS:
        found.append(ONE_WINDOW)
    return [limit.format(sink=sink) for limit in found]


class _File(Protocol):
    def load(self, sending: Sending, origin: Any) -> Opener: ...


def load(sending: Sending, origin: Any = None) -> Opener:
    """Find a sink.

    Args:
        origin: How the process that names it has imported its module; see `Origin`.

    Raises:
        SpecError: It cannot work.
    """
    return cast(_File, kind_of(sending.name).file("squall.services.effects")).load(sending, origin)
