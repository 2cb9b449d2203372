"""Log: an ordered, replayable record, trimmed only below a snapshot.

A decision is a pure function of a log's prefix, so all a reader needs is that
every record arrives once and in order. `read` sees to that with a consumer that
it makes anew, from the sequence after the last record it yielded, whenever the
broker or the connection leaves a gap.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec

from squall.bus import subjects
from squall.bus.backoff import Backoff
from squall.bus.connection import Connection
from squall.bus.errors import ForbiddenError, RejectedError, RequestError
from squall.bus.jetstream import NO_MESSAGE_FOUND, call, create_consumer
from squall.bus.pull import Delivery, Puller

BUFFER = 1024
BUFFER_BYTES = 16 * 1024**2
"""Records that may wait for the reader, and what they may hold together; then no more are asked for."""

PAUSE_S = (0.1, 1.0)
"""Of the pauses before reading goes on after a gap: base and cap."""

LAG_S = 0.2
"""How often a reader that is to end asks whether it has everything, while nothing more arrives."""


class Record(msgspec.Struct, frozen=True):
    """The last message on a subject.

    Attributes:
        subject: Its subject.
        sequence: Its place in the stream.
        data: Its payload.
        stored_s: When the broker stored it, in seconds since the epoch.
    """

    subject: str
    sequence: int
    data: bytes
    stored_s: float


async def last(connection: Connection, stream: str, subject: str, *, timeout_s: float = 3.0) -> Record | None:
    """The newest record on a subject or a pattern of them, from the stream's leader; None without any.

    Raises:
        RequestError: No answer.
    """
    return await _get(connection, stream, {"last_by_subj": subject}, timeout_s)


async def at(connection: Connection, stream: str, sequence: int, *, timeout_s: float = 3.0) -> Record | None:
    """The record at a place of a stream, from the stream's leader; None if it is there no more.

    Raises:
        RequestError: No answer.
    """
    return await _get(connection, stream, {"seq": sequence}, timeout_s)


async def first(
    connection: Connection, stream: str, subject: str, *, timeout_s: float = 3.0
) -> Record | None:
    """The oldest record on a subject or a pattern of them, from the stream's leader; None without any.

    Raises:
        RequestError: No answer.
    """
    return await _get(connection, stream, {"seq": 1, "next_by_subj": subject}, timeout_s)


async def _get(
    connection: Connection, stream: str, wanted: Mapping[str, Any], timeout_s: float
) -> Record | None:
    try:
        answer = await call(connection, "STREAM", "MSG", "GET", stream, request=wanted, timeout_s=timeout_s)
    except RejectedError as error:
        if error.code == NO_MESSAGE_FOUND:
            return None
        raise
    message = answer["message"]
    data = base64.b64decode(message.get("data", ""))
    return Record(message["subject"], message["seq"], data, seconds(message["time"]))


async def direct(
    connection: Connection, stream: str, subject: str, *, timeout_s: float = 3.0
) -> Record | None:
    """The newest record on a subject, from any replica, which may lag; None if there is none.

    Raises:
        RequestError: No answer.
    """
    answer = await connection.request(subjects.newest(stream, subject), b"", timeout_s=timeout_s)
    headers = answer.headers or {}
    # The broker adds these to what is stored; whatever else the headers say is its writer's to choose.
    is_stored = headers.get("Nats-Stream") == stream and "Nats-Sequence" in headers
    if not is_stored and headers.get("Status") == "404":
        return None
    if not is_stored:
        raise RejectedError(subject, f"{headers.get('Description', 'no answer')} on {subject}", 0)
    stored_s = seconds(headers["Nats-Time-Stamp"])
    return Record(headers["Nats-Subject"], int(headers["Nats-Sequence"]), answer.data, stored_s)


def seconds(time: str) -> float:
    """A time of the broker (RFC 3339), in seconds since the epoch."""
    return datetime.datetime.fromisoformat(time).timestamp()


async def state(connection: Connection, stream: str, *, timeout_s: float = 3.0) -> dict[str, Any]:
    """The state of a stream: ``first_seq``, ``last_seq``, ``messages``, ``bytes``.

    Raises:
        RequestError: No answer.
    """
    answer: dict[str, Any] = await call(connection, "STREAM", "INFO", stream, timeout_s=timeout_s)
    described: dict[str, Any] = answer["state"]
    return described


async def messages(connection: Connection, stream: str, subjects: str = "", *, timeout_s: float = 3.0) -> int:
    """How many records a stream holds; of one pattern of subjects, if given. Counts at most 100,000 subjects.

    Raises:
        RequestError: No answer.
    """
    request = {"subjects_filter": subjects} if subjects else None
    answer = await call(connection, "STREAM", "INFO", stream, request=request, timeout_s=timeout_s)
    state = answer["state"]
    return sum((state.get("subjects") or {}).values()) if subjects else int(state["messages"])


async def fullness(connection: Connection, stream: str, *, timeout_s: float = 3.0) -> float:
    """How much of its bounds a stream has used, in bytes or messages, from 0 to 1; 0 without bounds.

    That a stream keeps the newest record and no other is no bound that it nears.

    Raises:
        RequestError: No answer.
    """
    answer = await call(connection, "STREAM", "INFO", stream, timeout_s=timeout_s)
    state, config = answer["state"], answer["config"]
    bounds = [
        ("bytes", "max_bytes"),
        *([("messages", "max_msgs")] if config.get("max_msgs", -1) != 1 else []),
    ]
    return max((state[n] / config[most] for n, most in bounds if config.get(most, -1) > 0), default=0.0)


async def trim(
    connection: Connection, stream: str, *, below: int, subject: str = "", timeout_s: float = 3.0
) -> None:
    """Remove the records before a sequence, which a snapshot must cover; of one subject pattern, if given."""
    request: dict[str, Any] = {"seq": below}
    if subject:
        request["filter"] = subject
    await call(connection, "STREAM", "PURGE", stream, request=request, timeout_s=timeout_s)


class _Gap(Exception):
    pass


async def read(
    connection: Connection, stream: str, subject: str, *, after: int = 0, until: int | None = None
) -> AsyncGenerator[Delivery, None]:
    """Every record on a subject pattern, in order, from the one after a sequence; then wait for more.

    It reads through a consumer that it makes itself, named after the node of the connection, so a node reads
    a stream once at a time. What that takes can be permitted exactly, and nothing of it reaches another's:

        $JS.API.CONSUMER.CREATE.<stream>.<node>.<subject>
        $JS.API.CONSUMER.MSG.NEXT.<stream>.<node>
        $JS.API.CONSUMER.DELETE.<stream>.<node>
        $JS.API.STREAM.MSG.GET.<stream>             with ``until`` only

    An isolated node is not to have the first of these: whoever makes a consumer may have it deliver into any
    subject of the account that owns the stream. Such a node pulls from a durable consumer that is made for it
    and named after it, and so from where it left off; see `pull.py`.

    Args:
        after: The last sequence that is not wanted.
        until: End once all records up to this sequence were yielded; None never ends.

    Raises:
        ForbiddenError: These credentials may not read it.
    """
    seen = after
    pauses = Backoff(*PAUSE_S)
    while True:
        if until is not None and seen >= until:
            return
        try:
            async with contextlib.aclosing(_read_once(connection, stream, subject, seen, until)) as records:
                async for record in records:
                    seen = record.sequence
                    pauses.reset()
                    yield record
            return
        except _Gap:
            await asyncio.sleep(pauses.pause_s())


async def _read_once(
    connection: Connection, stream: str, subject: str, after: int, until: int | None
) -> AsyncGenerator[Delivery, None]:
    """Read with one consumer until it shows a gap."""
    drained = await _make_consumer(connection, stream, subject, after) == 0
    queue: asyncio.Queue[Delivery | None] = asyncio.Queue()
    arrived = waiting = 0

    def take(record: Delivery) -> None:
        nonlocal arrived, waiting
        arrived = record.order
        waiting += len(record.data)
        queue.put_nowait(record)

    def delivered(order: int) -> None:
        # Records that were on their way to a link that died are gone, and the broker goes on after them. If
        # no further record comes, nothing but this shows that they were.
        if order > arrived:
            queue.put_nowait(None)

    puller = Puller(
        connection,
        stream,
        connection.name,
        take,
        lambda: BUFFER - queue.qsize() if waiting < BUFFER_BYTES else 0,
        chunk=BUFFER // 4,
        missing=lambda: queue.put_nowait(None),
        delivered=delivered,
    )
    pulling = asyncio.create_task(puller.run())
    pulling.add_done_callback(lambda _: queue.put_nowait(None))
    order, seen = 0, after
    try:
        while True:
            if until is not None and drained and await _is_newest(connection, stream, subject, seen):
                return
            if until is not None and drained:
                try:
                    async with asyncio.timeout(LAG_S):
                        record = await queue.get()
                except TimeoutError:
                    continue
            else:
                record = await queue.get()
            if record is None or record.order != order + 1:
                if pulling.done() and not pulling.cancelled():
                    pulling.result()
                raise _Gap
            waiting -= len(record.data)
            order, seen, drained = record.order, record.sequence, record.pending == 0
            puller.wake()
            if until is not None and record.sequence > until:
                return
            yield record
            if record.sequence == until:
                return
    finally:
        pulling.cancel()
        await asyncio.wait({pulling})
        with contextlib.suppress(RequestError):
            await call(connection, "CONSUMER", "DELETE", stream, connection.name, timeout_s=1.0)


async def _make_consumer(connection: Connection, stream: str, subject: str, after: int) -> int:
    """Make the reader's consumer anew; how many records it knows of."""
    config = {
        "filter_subject": subject,
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": after + 1,
        "ack_policy": "none",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": int(30e9),
    }
    await connection.connected()
    try:
        with contextlib.suppress(RejectedError):  # there is none; what else is wrong shows when it is made
            await call(connection, "CONSUMER", "DELETE", stream, connection.name)
        created = await create_consumer(connection, stream, connection.name, config)
    except (RejectedError, ForbiddenError):
        raise
    except RequestError as error:
        raise _Gap from error
    return int(created["num_pending"])


async def _is_newest(connection: Connection, stream: str, subject: str, seen: int) -> bool:
    """Whether nothing follows this record, as the stream's leader knows; the consumer's replica may lag."""
    try:
        newest = await last(connection, stream, subject)
    except ForbiddenError:
        raise
    except RequestError:
        return False
    return newest is None or newest.sequence <= seen
