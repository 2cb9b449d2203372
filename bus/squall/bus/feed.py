"""Feed: every record of a stream, in order, for those who may have no consumer there.

    stream ──republish──► heard ──────────────┬──► in order, without gap or repeat
       └────direct get, in batches──► asked ──┘

The broker says each record again as it stores it. What is heard is in order but may lack some; each has its
place in a header that the broker sets, so a gap shows, and is closed by asking for records by their places.
That is also how one begins, and what one does after every new link, and whenever nothing was heard for a
while: what was lost last is followed by nothing that would show it. The broker keeps nothing of all this.

The broker's headers follow those of whoever wrote the record, and the last of a name counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import msgspec
from nats.aio.msg import Msg

from squall.bus import subjects
from squall.bus.backoff import Backoff
from squall.bus.connection import Connection
from squall.bus.errors import ForbiddenError, RequestError
from squall.bus.log import Record, seconds

BUFFER = 4096
BUFFER_BYTES = 16 * 1024**2
"""Records heard that may wait for the reader, and what they may hold together; others are asked for."""

BATCH = 256
BATCH_BYTES = 1024**2
"""Records that are asked for at a time, and what they may hold together, the last of them excepted."""

ANSWER_S = 2.0
"""Silence after which a question for records is asked again."""

QUIET_S = 1.0
"""How long it may be quiet before it is asked whether there is more."""

PAUSE_S = (0.02, 1.0)
"""Of the pauses before it is asked again after no answer, or one that leaves the gap: base and cap."""


def republishing(transform: tuple[str, str]) -> dict[str, Any]:
    """The part of a stream's configuration that has the broker say again what it stores.

    Args:
        transform: What of it, and what its subjects become.
    """
    source, destination = transform
    return {"republish": {"src": source, "dest": destination}, "allow_direct": True}


class _Unanswered(Exception):
    """The broker gave no answer, or not all of it has arrived."""


class _Answer(msgspec.Struct, frozen=True):
    """One message of an answer.

    Attributes:
        record: A record; None at the end.
        before: The sequence of the record before it in this answer; 0 if it is the first.
        more: At the end: how many records there are after those.
    """

    record: Record | None
    before: int
    more: int = 0


async def follow(
    connection: Connection, stream: str, feed: str, *, after: int = 0
) -> AsyncGenerator[Record, None]:
    """Every record of a stream that is there, in order, from the one after a sequence; then those that come.

    It goes on over lost links, and ends with its owner. What was removed from the stream before it was read
    is left out.

    Args:
        stream: Its name; it must be readable directly, and its records be said again.
        feed: Where they are: a subject with wildcards.
        after: The last sequence that is not wanted.

    Raises:
        ForbiddenError: These credentials may not hear or ask.
    """
    reader = _Reader(connection, stream, after)
    pauses = Backoff(*PAUSE_S)
    async with reader.listening(feed):
        while True:
            while (record := reader.next_heard()) is not None:
                yield record
            if await reader.has_all():
                continue
            try:
                async with contextlib.aclosing(reader.asked()) as records:
                    async for record in records:
                        pauses.reset()
                        yield record
                lacks = reader.has_gap  # a replica may not have yet what the leader has said already
            except _Unanswered:
                lacks = True
            if lacks:
                await asyncio.sleep(pauses.pause_s())


class _Reader:
    """What was heard and what was answered, and how far it was read."""

    def __init__(self, connection: Connection, stream: str, after: int) -> None:
        self._connection = connection
        self._stream = stream
        self._seen = after
        self._behind = True
        self._heard: deque[Record] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._name = connection.private_name("feed")
        self._questions = itertools.count(1)
        self._question = ""
        self._answers: asyncio.Queue[_Answer | None] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def listening(self, feed: str) -> AsyncIterator[None]:
        """Hear the feed, and answers."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._connection.on_link(self._start_over))
            for stop in (
                await self._connection.subscribe(feed, self._hear, stream=self._stream, pending_max=BUFFER),
                await self._connection.subscribe(
                    f"{self._name}.*", self._take, private=True, pending_max=2 * BATCH
                ),
            ):
                stack.push_async_callback(stop)
            yield

    # What the connection calls. None of these may raise or block.

    def _start_over(self) -> None:
        """What the link before took with it must be asked for; what was asked over it is not answered."""
        self._behind = True
        self._news.set()
        self._answers.put_nowait(None)

    def _hear(self, message: Msg) -> None:
        record = _record(message, self._stream)
        if record is None:
            return
        if len(self._heard) < BUFFER and self._bytes < BUFFER_BYTES:
            self._heard.append(record)
            self._bytes += len(record.data)
        else:
            self._behind = True
        self._news.set()

    def _take(self, message: Msg) -> None:
        if subjects.last_token(message.subject) != self._question:
            return  # the answer to a question that was given up
        headers = message.headers or {}
        before = _number(headers.get("Nats-Last-Sequence"))
        if (record := _record(message, self._stream)) is not None:
            self._answers.put_nowait(_Answer(record, before))
        elif headers.get("Status") == "204":
            self._answers.put_nowait(_Answer(None, before, _number(headers.get("Nats-Num-Pending"))))
        elif headers.get("Status") == "404":
            self._answers.put_nowait(_Answer(None, 0))
        else:
            self._answers.put_nowait(None)

    # What was heard.

    @property
    def has_gap(self) -> bool:
        """Whether what was heard does not follow on what was read."""
        return bool(self._heard) and self._heard[0].sequence > self._seen + 1

    def next_heard(self) -> Record | None:
        """The next record, if it was heard."""
        while self._heard and self._heard[0].sequence <= self._seen + 1:
            record = self._heard.popleft()
            self._bytes -= len(record.data)
            if record.sequence > self._seen:
                self._seen = record.sequence
                return record
        return None

    async def has_all(self) -> bool:
        """Wait until something was heard that follows, which is true, or there is something to ask for."""
        while not self._behind and not self.has_gap:
            if self._heard:
                return True
            self._news.clear()
            try:
                async with asyncio.timeout(QUIET_S):
                    await self._news.wait()
            except TimeoutError:
                self._behind = True
        return False

    # What is asked for.

    async def asked(self) -> AsyncGenerator[Record, None]:
        """The records that follow on what was read, until there are no more.

        Raises:
            _Unanswered: They did not all arrive.
        """
        self._behind = False
        try:
            more = True
            while more:
                await self._ask()
                before = 0
                while True:
                    answer = await self._answer()
                    if answer.before != before:
                        raise _Unanswered
                    if answer.record is None:
                        break
                    before = self._seen = answer.record.sequence
                    yield answer.record
                more = answer.more > 0
        except BaseException:
            self._behind = True
            raise

    async def _ask(self) -> None:
        await self._connection.connected()
        self._question = str(next(self._questions))
        while not self._answers.empty():
            self._answers.get_nowait()
        question = {"seq": self._seen + 1, "batch": BATCH, "max_bytes": BATCH_BYTES}
        try:
            reply = f"{self._connection.private_inbox}.{self._name}.{self._question}"
            await self._connection.publish(
                subjects.fetch(self._stream), msgspec.json.encode(question), reply=reply
            )
        except ForbiddenError:
            raise
        except RequestError as error:
            raise _Unanswered from error

    async def _answer(self) -> _Answer:
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._answers.get()
        except TimeoutError as error:
            raise _Unanswered from error
        if answer is None or (answer.record is not None and answer.record.sequence <= self._seen):
            raise _Unanswered
        return answer


def _number(text: str | None) -> int:
    """The number in a header; 0 where there is none."""
    return int(text) if text and text.isdecimal() and len(text) < 20 else 0


def _record(message: Msg, stream: str) -> Record | None:
    """The record of a stream that the broker says, by its own headers; None if it is none."""
    headers: Mapping[str, str] = message.headers or {}
    sequence = _number(headers.get("Nats-Sequence"))
    if headers.get("Nats-Stream") != stream or not sequence:
        return None
    return Record(headers["Nats-Subject"], sequence, message.data, seconds(headers["Nats-Time-Stamp"]))
