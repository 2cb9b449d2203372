"""What travels between a client and the broker, once bytes are parsed.

Headers are as nats-py hands them over: a status line is in them as ``Status`` and ``Description``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

Headers = Mapping[str, str] | None


class Pub(msgspec.Struct, frozen=True):
    """A client publishes. Without a reply subject, ``reply`` is empty."""

    subject: str
    reply: str
    headers: Headers
    data: bytes


class Sub(msgspec.Struct, frozen=True):
    """A client listens, and will be told what it hears under this number of its own."""

    sid: int
    subject: str


class Unsub(msgspec.Struct, frozen=True):
    """A client listens no more."""

    sid: int


class Ping(msgspec.Struct, frozen=True):
    """Either side asks whether the other is there."""


class Pong(msgspec.Struct, frozen=True):
    """It is."""


class Msg(msgspec.Struct, frozen=True):
    """A client hears a message."""

    sid: int
    subject: str
    reply: str
    headers: Headers
    data: bytes


class Denied(msgspec.Struct, frozen=True):
    """The broker's ``-ERR``, in its words, for instance ``Permissions Violation for Publish to "x"``."""

    text: str


class End(msgspec.Struct, frozen=True):
    """The broker's end of the connection is closed."""


ToBroker = Pub | Sub | Unsub | Ping | Pong
ToClient = Msg | Ping | Pong | Denied | End

Deliver = Callable[[ToClient], None]
"""The way to a client. It must not call back into the broker before it returns."""
