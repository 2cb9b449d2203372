"""Publish to a stream and know what became of it; ask JetStream's API.

A publish has four outcomes:

    stored      the broker has it, and had not before
    duplicate   the broker has it from an earlier try with the same message id
    refused     the broker said no, with an error code: it does not have it
    unknown     no answer: it may have it, or may get it yet

Only *unknown* is tried again, with the same id.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from squall.bus import subjects
from squall.bus.backoff import Backoff
from squall.bus.border import printable
from squall.bus.connection import Connection
from squall.bus.errors import (
    ForbiddenError,
    NoRespondersError,
    NotConnectedError,
    RejectedError,
    RequestError,
)

WRONG_LAST_SEQUENCE = 10071
FENCE_BUSY = 10164
STORE_REFUSED = 10077
"""The stream, or the subject, holds as much as it may; the description says which."""
BATCH_INCOMPLETE = 10176
"""A part of an atomic batch was lost on its way, as where the broker ends in between; nothing is stored."""
NO_MESSAGE_FOUND = 10037
CONSUMER_NOT_FOUND = 10014
CONSUMER_EXISTS = 10148
CONSUMER_MISSING = 10149
"""Of a request that was to create a consumer and not change it, or the other way."""
FILTERS_OVERLAP = 10100
"""Another consumer of a work queue has, under its filters, what this one was to have."""

RETRY_PAUSE_S = (0.05, 2.0)
"""Bounds of the pause between two tries of an unknown publish; full jitter."""

EXPECT_NEW: Mapping[str, str] = {"Nats-Expected-Last-Subject-Sequence": "0"}
"""Headers of a message that must be the first on its subject."""

EXPECT_ON = "Nats-Expected-Last-Subject-Sequence-Subject"
"""Of which subject, or of which pattern of subjects, a sequence is expected; of its own, without."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a publish.

    Attributes:
        kind: See the module's docstring.
        sequence: Where the stream holds it; 0 when refused or unknown.
        code: The error code of a refusal, else 0.
        reason: The broker's or the connection's words, when there were any.
        tries: How often it was sent. One that is refused after the first may have been stored by an earlier
            try, which can even be why it is refused.
    """

    kind: Literal["stored", "duplicate", "refused", "unknown"]
    sequence: int = 0
    code: int = 0
    reason: str = ""
    tries: int = 1

    @property
    def accepted(self) -> bool:
        return self.kind in ("stored", "duplicate")


class _ApiError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _PubAck(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    count: int = 0
    error: _ApiError | None = None


_acks = msgspec.json.Decoder(_PubAck)


def outcome_of(answer: bytes) -> Outcome:
    """What an answer to a publish says; one that cannot be read is an unknown."""
    try:
        ack = _acks.decode(answer)
    except msgspec.DecodeError as error:
        return Outcome("unknown", reason=f"unreadable answer: {printable(str(error))}")
    if ack.error is not None:
        return Outcome("refused", code=ack.error.err_code, reason=printable(ack.error.description))
    return Outcome("duplicate" if ack.duplicate else "stored", sequence=ack.seq)


async def publish_once(
    connection: Connection,
    subject: str,
    data: bytes,
    *,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
) -> Outcome:
    """Publish to a stream once.

    Raises:
        ForbiddenError: These credentials do not reach the subject; no repeat would help.
    """
    try:
        answer = await connection.request(subject, data, timeout_s=timeout_s, headers=headers)
    except ForbiddenError:
        raise
    except (NotConnectedError, NoRespondersError) as error:
        # It did not happen this time, but the broker did not refuse it either, so it is tried again like any
        # unknown.
        return Outcome("unknown", reason=str(error), tries=0)
    except RequestError as error:
        return Outcome("unknown", reason=str(error))
    return outcome_of(answer.data)


async def publish(
    connection: Connection,
    subject: str,
    data: bytes,
    *,
    timeout_s: float,
    message_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    try_s: float = 2.0,
    chance: random.Random | None = None,
) -> Outcome:
    """Publish to a stream, and while the outcome is unknown try again with the same id.

    Args:
        timeout_s: When to give up, in all.
        message_id: Deduplicated by the stream within its window; without, ``headers`` must make a repeat
            harmless.
        try_s: When to give up one try.

    Returns:
        The outcome; ``unknown`` only when ``timeout_s`` ran out.

    Raises:
        ForbiddenError: These credentials do not reach the subject.
    """
    wanted = headers if message_id is None else {**(headers or {}), "Nats-Msg-Id": message_id}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    backoff: Backoff | None = None
    tries = 0
    while True:
        outcome = await publish_once(
            connection, subject, data, timeout_s=min(try_s, max(0.05, deadline - loop.time())), headers=wanted
        )
        tries += outcome.tries
        if outcome.kind != "unknown" or loop.time() >= deadline:
            return msgspec.structs.replace(outcome, tries=tries)
        if backoff is None:
            backoff = Backoff(*RETRY_PAUSE_S, floor_s=RETRY_PAUSE_S[0], chance=chance)
        await asyncio.sleep(min(backoff.pause_s(), max(0.0, deadline - loop.time())))


async def call(
    connection: Connection, *tokens: str, request: Mapping[str, Any] | None = None, timeout_s: float = 5.0
) -> dict[str, Any]:
    """Ask JetStream's API, for instance ``call(c, "STREAM", "INFO", name)``.

    Raises:
        RejectedError: It answered with an error; ``code`` is its ``err_code``.
        RequestError: It did not answer.
    """
    subject = subjects.api(*tokens)
    data = msgspec.json.encode(request) if request is not None else b""
    answer = await connection.request(subject, data, timeout_s=timeout_s)
    decoded: dict[str, Any] = msgspec.json.decode(answer.data)
    error = decoded.get("error")
    if error is not None:
        raise RejectedError(
            subject, f"{error.get('description', 'refused')} on {subject}", error.get("err_code", 0)
        )
    return decoded


def sourced(stream: str, *transforms: tuple[str, str]) -> dict[str, Any]:
    """The part of a stream's configuration that has the broker feed it from another stream.

    Args:
        stream: The other one.
        transforms: Which of its subjects, and what they become; what falls under none is not copied.
    """
    renamed = [{"src": source, "dest": destination} for source, destination in transforms]
    return {"sources": [{"name": stream, "subject_transforms": renamed}]}


async def create_stream(connection: Connection, config: Mapping[str, Any]) -> None:
    """Create a stream, or find it there with the same configuration."""
    await call(connection, "STREAM", "CREATE", config["name"], request=config)


async def create_consumer(
    connection: Connection, stream: str, name: str, config: Mapping[str, Any]
) -> dict[str, Any]:
    """Create a named consumer and return what the broker says of it.

    With one filter, the filter is part of the API subject and so of the permission.

    Args:
        config: As JetStream takes it, without its name.
    """
    tokens = ["CONSUMER", "CREATE", stream, name]
    wanted = {"name": name, **config}
    if filter_subject := config.get("filter_subject"):
        tokens.append(filter_subject)
    return await call(connection, *tokens, request={"stream_name": stream, "config": wanted})


class Entry(msgspec.Struct, frozen=True):
    """One message of an atomic batch.

    Attributes:
        subject: Its subject.
        data: Its payload.
        expected: Sequence of the newest message on its subject, checked by the broker; 0: there is none.
        among: A pattern of subjects of which that is expected, instead of its own.
    """

    subject: str
    data: bytes
    expected: int | None = None
    among: str = ""


BATCH_MAX = 1000
"""Messages the broker takes in one batch."""


async def publish_batch(
    connection: Connection,
    entries: Sequence[Entry],
    *,
    timeout_s: float,
    fence: tuple[str, int] | None = None,
) -> Outcome:
    """Publish messages to one stream: all of them or none. Tried once.

    Args:
        entries: 1 to `BATCH_MAX` messages; the first has no ``expected`` where there is a fence.
        fence: A subject and the sequence its newest message must have; else all is refused.

    Returns:
        The outcome; the sequence is the last message's, and the others precede it without a gap.
    """
    batch = secrets.token_hex(8)
    for number, entry in enumerate(entries, 1):
        # One message is whole anyway; as a batch it would take the broker ten times as long.
        headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)} if len(entries) > 1 else {}
        if number == 1 and fence is not None:
            headers[EXPECT_ON] = fence[0]
            headers["Nats-Expected-Last-Subject-Sequence"] = str(fence[1])
        elif entry.expected is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(entry.expected)
            if entry.among:
                headers[EXPECT_ON] = entry.among
        if number == len(entries):
            if headers.get("Nats-Batch-Id"):
                headers["Nats-Batch-Commit"] = "1"
            return await publish_once(
                connection, entry.subject, entry.data, timeout_s=timeout_s, headers=headers
            )
        try:
            await connection.publish(entry.subject, entry.data, headers=headers, confirm=False)
        except RequestError as error:
            return Outcome("unknown", reason=str(error))
    raise ValueError("an empty batch")
