"""Atomic batches: messages that are stored together, without a gap, or not at all.

message 1 … n, numbered ──► staged ──commit──► each is checked as if those before it were stored
                               │                    ├─► one is refused: nothing is stored
                               │                    └─► all are stored
                               └── a gap, or nothing for 10 s: forgotten
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from squall.chaos.model import headers as known
from squall.chaos.model import refusals
from squall.chaos.model.clock import Handle
from squall.chaos.model.errors import Unmodelled
from squall.chaos.model.headers import EXPECTED_LAST, EXPECTED_ON, EXPECTED_STREAM, EXPECTED_SUBJECT, number
from squall.chaos.model.refusals import Refusal
from squall.chaos.model.streams import Stream

MESSAGES_MAX = 1000
STAGED_MAX = 50
"""Batches of one stream that may be incomplete at a time."""

IDLE_S = 10.0


class _Message(NamedTuple):
    subject: str
    headers: Mapping[str, str]
    header_bytes: int
    data: bytes


class _Batch:
    __slots__ = ("messages", "timer")

    def __init__(self) -> None:
        self.messages: list[_Message] = []
        self.timer: Handle | None = None


class Batches:
    """The batches of one stream that are not complete yet."""

    __slots__ = ("_staged", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._staged: dict[str, _Batch] = {}

    def take(
        self, subject: str, headers: Mapping[str, str], header_bytes: int, data: bytes
    ) -> bytes | Refusal:
        """Take one message of a batch; the answer is empty until the one that commits it."""
        config = self._stream.config
        if 0 < config.max_msg_size < header_bytes + len(data):
            return refusals.TOO_LARGE
        if not config.allow_atomic:
            return refusals.BATCH_DISABLED
        name = headers[known.BATCH]
        if len(name) > 64:
            return refusals.BATCH_NAME
        if not name:
            raise Unmodelled("a batch without a name")
        place = headers.get(known.BATCH_SEQUENCE, "")
        if not place.isdecimal():
            return refusals.BATCH_UNNUMBERED
        commit = headers.get(known.BATCH_COMMIT)
        if commit == "eob":
            raise Unmodelled("a batch that ends with a message of its own")
        batch = self._staged.get(name)
        if batch is None:
            if int(place) != 1:
                return refusals.BATCH_TOO_LARGE if int(place) > MESSAGES_MAX else refusals.BATCH_INCOMPLETE
            if len(self._staged) >= STAGED_MAX:
                return refusals.BATCHES_IN_FLIGHT
            batch = self._staged[name] = _Batch()
        if commit not in (None, "1"):
            self._forget(name)
            return refusals.BATCH_COMMIT
        if int(place) != len(batch.messages) + 1:
            self._forget(name)
            return refusals.BATCH_INCOMPLETE
        if int(place) > MESSAGES_MAX:
            self._forget(name)
            return refusals.BATCH_TOO_LARGE
        batch.messages.append(_Message(subject, headers, header_bytes, data))
        if commit is None:
            if batch.timer is not None:
                batch.timer.cancel()
            batch.timer = self._stream.alarms.after(IDLE_S, self._forget, name)
            return b""
        self._forget(name)
        return self._commit(name, batch.messages)

    def clear(self) -> None:
        for name in list(self._staged):
            self._forget(name)

    def _forget(self, name: str) -> None:
        timer = self._staged.pop(name).timer
        if timer is not None:
            timer.cancel()

    def _commit(self, name: str, messages: list[_Message]) -> bytes | Refusal:
        check = _Check(self._stream)
        for message in messages:
            refusal = check.refusal(message)
            if refusal is not None:
                return refusal
        seq = 0
        for message in messages:
            seq = self._stream.store(*message).seq
        told = self._stream.name.encode(), seq, name.encode(), len(messages)
        return b'{"stream":"%s", "seq":%d,"batch":"%s","count":%d}' % told


class _Check:
    """Goes through the messages of one batch, and knows those it has passed."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._ids: set[str] = set()
        self._subjects: Counter[str] = Counter()
        self._newest: dict[str, int] = {}
        self._messages = 0
        self._bytes = 0

    def refusal(self, message: _Message) -> Refusal | None:
        """Why this message, and so the batch, is refused; None if it passes."""
        return self._repeats(message) or self._expectations(message) or self._room(message)

    def _repeats(self, message: _Message) -> Refusal | None:
        expected = message.headers.get(EXPECTED_STREAM)
        if expected and expected != self._stream.name:
            return refusals.WRONG_STREAM
        message_id = message.headers.get(known.MESSAGE_ID)
        if message_id:
            if message_id in self._ids or self._stream.place_of(message_id):
                return refusals.BATCH_DUPLICATE
            self._ids.add(message_id)
        return refusals.SOURCE_HEADER if known.SOURCE in message.headers else None

    def _expectations(self, message: _Message) -> Refusal | None:
        headers = message.headers
        expected = number(headers, EXPECTED_LAST)
        if expected is not None:
            if expected != self._stream.last + self._messages:
                return refusals.wrong_last(self._stream.last + self._messages)
            if self._messages:
                return refusals.WRONG_LAST_IN_BATCH
        on = headers.get(EXPECTED_SUBJECT)
        expected = number(headers, EXPECTED_ON)
        if expected is None:
            return refusals.SEQUENCE_MISSING if on else None
        on = on or message.subject
        if on in self._subjects:
            return refusals.WRONG_LAST_IN_BATCH
        newest = self._newest.get(on)
        if newest is None:
            newest = self._stream.last_on(on)
        if newest != expected:
            return refusals.wrong_last(newest)
        self._newest[on] = newest
        return None

    def _room(self, message: _Message) -> Refusal | None:
        stream, config = self._stream, self._stream.config
        self._subjects[message.subject] += 1
        self._messages += 1
        self._bytes += stream.size_of(message.subject, message.header_bytes, message.data)
        if config.discard == "new":
            # What the batch would replace is not counted off.
            if 0 < config.max_msgs < len(stream.messages) + self._messages:
                return refusals.MESSAGES_FULL
            if 0 < config.max_bytes < stream.bytes + self._bytes:
                return refusals.BYTES_FULL
        if config.discard_new_per_subject:
            if self._subjects[message.subject] > 1 and (config.max_bytes > 0 or config.max_msgs > 0):
                # nats-server 2.15.1 looks at the count of any subject of the batch: it may refuse it, or
                # store some of it and say nothing.
                raise Unmodelled(f"a batch with several messages on {message.subject}")
            there = stream.count_on(message.subject) + self._subjects[message.subject]
            if there > config.max_msgs_per_subject:
                return refusals.SUBJECT_FULL
        return None
