"""Headers that mean something to JetStream, and what headers take. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from squall.chaos.model.errors import Unmodelled
from squall.chaos.model.frames import Headers

MESSAGE_ID = "Nats-Msg-Id"
EXPECTED_ON = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
EXPECTED_LAST = "Nats-Expected-Last-Sequence"
EXPECTED_STREAM = "Nats-Expected-Stream"
BATCH = "Nats-Batch-Id"
BATCH_SEQUENCE = "Nats-Batch-Sequence"
BATCH_COMMIT = "Nats-Batch-Commit"
SOURCE = "Nats-Stream-Source"

_KNOWN = {
    MESSAGE_ID,
    EXPECTED_ON,
    EXPECTED_SUBJECT,
    EXPECTED_LAST,
    EXPECTED_STREAM,
    BATCH,
    BATCH_SEQUENCE,
    BATCH_COMMIT,
    SOURCE,
}


def check(subject: str, headers: Mapping[str, str]) -> None:
    """See that all headers of a message to a stream are modelled.

    Raises:
        Unmodelled: One is not.
    """
    if headers.keys() <= _KNOWN:
        return
    for name in headers:
        if name.startswith("Nats-") and name not in _KNOWN:
            raise Unmodelled(f"header {name} of a message to {subject}")


def size(headers: Headers) -> int:
    """The bytes that headers take as they are sent and stored."""
    if not headers:
        return 0
    text = "".join([*headers, *headers.values()])
    return 12 + 4 * len(headers) + (len(text) if text.isascii() else len(text.encode()))


def number(headers: Mapping[str, str], name: str) -> int | None:
    """The number in a header, if it is there.

    Raises:
        Unmodelled: It is no number.
    """
    text = headers.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise Unmodelled(f"header {name} is {text!r}, which is no number")
    return int(text)


def raw(headers: Mapping[str, str]) -> bytes:
    """Headers as they are sent."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"NATS/1.0\r\n{lines}\r\n".encode()
