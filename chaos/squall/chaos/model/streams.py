"""A stream: what it stores, by place and by subject, and what its limits remove."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from squall.chaos.model import headers as known
from squall.chaos.model.clock import Alarms, Handle
from squall.chaos.model.configs import StreamConfig
from squall.chaos.model.frames import Headers
from squall.chaos.model.subjects import Matches, is_literal, matcher

if TYPE_CHECKING:
    from squall.chaos.model.batches import Batches
    from squall.chaos.model.consumers import Consumer
    from squall.chaos.model.sources import Source

OVERHEAD = {"file": 30, "memory": 16}
"""Bytes that a record takes beside subject, headers and payload; four more of a file with headers."""


class Stored:
    """A message of a stream.

    Attributes:
        stamp_ns: When it was stored, in nanoseconds since the epoch.
        size: What it counts for the stream's bound.
    """

    __slots__ = ("data", "header_bytes", "headers", "seq", "size", "stamp_ns", "subject")

    def __init__(self, seq: int, subject: str, headers: Headers, data: bytes, stamp_ns: int) -> None:
        self.seq = seq
        self.subject = subject
        self.headers = headers
        self.data = data
        self.stamp_ns = stamp_ns
        self.header_bytes = 0
        self.size = 0


class Stream:
    """One stream.

    Args:
        identity: Tells it from another of its name, made earlier or later.
        on_store: Called with each message that is stored, once it is, and with the sequence of the one before
            it on its subject, or 0.

    Attributes:
        told_config: Its configuration, as it is told.
        messages: By sequence, in order.
        first, last, bytes: As in its state. ``first`` is 0 until there was a message.
        last_stamp_ns: When its last message was stored, though that may be gone; 0 until there was one.
        feeds: What other streams copy of it.
        sources: What it copies of others.
    """

    __slots__ = (
        "_age_alarm",
        "_by_subject",
        "_ids",
        "_on_store",
        "_overhead",
        "alarms",
        "batches",
        "bytes",
        "config",
        "consumers",
        "created_ns",
        "feeds",
        "first",
        "identity",
        "last",
        "last_stamp_ns",
        "messages",
        "name",
        "sources",
        "told_config",
    )

    def __init__(
        self,
        config: StreamConfig,
        alarms: Alarms,
        identity: str,
        on_store: Callable[[Stream, Stored, int], None],
    ) -> None:
        self.config = config
        self.name = config.name
        self.told_config = config.told()
        self.identity = identity
        self.created_ns = alarms.stamp_ns()
        self.messages: dict[int, Stored] = {}
        self.first = self.last = self.bytes = self.last_stamp_ns = 0
        self.consumers: dict[str, Consumer] = {}
        self.feeds: list[Source] = []
        self.sources: list[Source] = []
        self.batches: Batches | None = None
        self.alarms = alarms
        self._on_store = on_store
        self._overhead = OVERHEAD[config.storage]
        self._by_subject: dict[str, list[int]] = {}
        self._ids: dict[str, tuple[int, float]] = {}
        self._age_alarm: Handle | None = None

    # Looking.

    @property
    def subjects_count(self) -> int:
        return len(self._by_subject)

    def count_on(self, subject: str) -> int:
        """How many messages one subject has."""
        return len(self._by_subject.get(subject, ()))

    def first_on(self, subject: str) -> Stored:
        """The oldest message of a subject that has some."""
        return self.messages[self._by_subject[subject][0]]

    def last_on(self, pattern: str) -> int:
        """The newest sequence on a subject or a pattern of them; 0 if there is none."""
        seqs = self._by_subject.get(pattern)
        if seqs is not None:
            return seqs[-1]
        if is_literal(pattern):
            return 0
        matches, messages = matcher(pattern), self.messages
        # From the end, as it is mostly near; but where few subjects are left they are looked at instead.
        for seq in range(self.last, max(self.first, self.last - len(self._by_subject)) - 1, -1):
            message = messages.get(seq)
            if message is not None and matches(message.subject):
                return seq
        return max((seqs[-1] for subject, seqs in self._by_subject.items() if matches(subject)), default=0)

    def totals(self, pattern: str) -> dict[str, int]:
        """How many messages each subject has that falls under a pattern."""
        matches = matcher(pattern)
        return {subject: len(seqs) for subject, seqs in self._by_subject.items() if matches(subject)}

    def next_on(self, pattern: str, start: int) -> Stored | None:
        """The oldest message from a sequence on, on a subject or a pattern of them."""
        seq = next(self.matching(matcher(pattern), start), 0)
        return self.messages.get(seq)

    def matching(self, matches: Matches, start: int) -> Iterator[int]:
        """The sequences from one on whose subjects match, in order."""
        messages = self.messages
        if self.last - start < len(messages):
            for seq in range(max(start, self.first), self.last + 1):
                message = messages.get(seq)
                if message is not None and matches(message.subject):
                    yield seq
        else:
            for seq, message in messages.items():
                if seq >= start and matches(message.subject):
                    yield seq

    def size_of(self, subject: str, header_bytes: int, data: bytes) -> int:
        """What a message would count for the stream's bound."""
        size = self._overhead + len(subject) + header_bytes + len(data)
        return size + 4 if header_bytes and self._overhead == 30 else size

    # Message ids.

    def place_of(self, message_id: str) -> int:
        """Where the message with this id is, or was, if the window still has it; else 0."""
        found = self._ids.get(message_id)
        if found is None or self.alarms.time() - found[1] >= self.config.duplicate_window / 1e9:
            return 0
        return found[0]

    def remember(self, message_id: str, seq: int) -> None:
        window_ns = self.config.duplicate_window
        if not window_ns:
            return
        now = self.alarms.time()
        ids = self._ids
        ids.pop(message_id, None)  # so that the order is that of time
        ids[message_id] = (seq, now)
        if len(ids) % 64 == 0:
            old = now - window_ns / 1e9
            gone = []
            for name, (_, since) in ids.items():
                if since > old:
                    break
                gone.append(name)
            for name in gone:
                del ids[name]

    def recall_ids(self) -> None:
        """Know again only the ids of messages that are stored, as a server does that was started again."""
        self._ids.clear()
        window_s = self.config.duplicate_window / 1e9
        now = self.alarms.time()
        for message in self.messages.values():
            since = self.alarms.time_of(message.stamp_ns)
            if message.headers and now - since < window_s:
                message_id = message.headers.get(known.MESSAGE_ID)
                if message_id:
                    self._ids[message_id] = (message.seq, since)

    # Storing and removing.

    def store(self, subject: str, headers: Headers, header_bytes: int, data: bytes) -> Stored:
        """Store a message for which there is room, and remove what the limits no longer hold.

        Args:
            header_bytes: What `headers.size` tells of its headers.
        """
        config = self.config
        seq = self.last = self.last + 1
        stamp_ns = self.last_stamp_ns = self.alarms.stamp_ns()
        message = Stored(seq, subject, headers, data, stamp_ns)
        if headers:
            message.header_bytes = header_bytes
            message_id = headers.get(known.MESSAGE_ID)
            if message_id:
                self.remember(message_id, seq)
        message.size = self.size_of(subject, header_bytes, data)
        if not self.messages:
            self.first = seq
        self.messages[seq] = message
        self.bytes += message.size
        before = 0
        seqs = self._by_subject.get(subject)
        if seqs is None:
            self._by_subject[subject] = [seq]
        else:
            before = seqs[-1]
            seqs.append(seq)
            if 0 < config.max_msgs_per_subject < len(seqs):
                self.remove(seqs[0])
        if config.discard == "old":
            while 0 < config.max_msgs < len(self.messages) or 0 < config.max_bytes < self.bytes:
                self.remove(self.first)
        if config.max_age and self._age_alarm is None and self.messages:
            self._watch_age()
        self._on_store(self, message, before)
        for consumer in list(self.consumers.values()):
            consumer.stored(message)
        for feed in self.feeds:
            feed.wake()
        return message

    def remove(self, seq: int) -> bool:
        """Remove one message; whether it was there."""
        message = self.messages.get(seq)
        if message is None:
            return False
        self._take_out(message)
        if seq == self.first:
            self._find_first()
        for consumer in list(self.consumers.values()):
            consumer.removed(message)
        return True

    def _take_out(self, message: Stored) -> None:
        del self.messages[message.seq]
        self.bytes -= message.size
        seqs = self._by_subject[message.subject]
        if len(seqs) == 1:
            del self._by_subject[message.subject]
        else:
            del seqs[bisect.bisect_left(seqs, message.seq)]

    def _find_first(self) -> None:
        if not self.messages:
            self.first = self.last + 1
            return
        first = self.first
        while first not in self.messages:
            first += 1
        self.first = first

    def _watch_age(self) -> None:
        due = self.alarms.time_of(self.messages[self.first].stamp_ns) + self.config.max_age / 1e9
        self._age_alarm = self.alarms.at(due, self._remove_old)

    def _remove_old(self) -> None:
        self._age_alarm = None
        oldest = self.alarms.stamp_ns() - self.config.max_age
        while self.messages and self.messages[self.first].stamp_ns <= oldest + 1000:
            self.remove(self.first)
        if self.messages:
            self._watch_age()

    def restart(self) -> None:
        """The server was started again: its timers begin anew; batches that were not complete are gone."""
        self._age_alarm = None
        if not self.last:
            self.first = 0  # that it was purged while nothing had been in it is not kept
        self.recall_ids()
        if self.batches is not None:
            self.batches.clear()
        if self.config.max_age and self.messages:
            self._watch_age()

    def purge(self, *, below: int = 0, pattern: str = "", keep: int = 0) -> int:
        """Remove many messages; how many there were.

        Args:
            below: Only those before this sequence; 0 is all.
            pattern: Only those on these subjects; empty is all.
            keep: Leave that many of the newest.
        """
        removed = 0 if below == 1 else self._purge(below, pattern, keep)
        self._purged(pattern)
        return removed

    def _purge(self, below: int, pattern: str, keep: int) -> int:
        matches = matcher(pattern) if pattern else None
        gone: list[Stored] = []
        for message in self.messages.values():
            if below and message.seq >= below:
                break
            if matches is None or matches(message.subject):
                gone.append(message)
        if keep:
            gone = gone[: max(0, len(gone) - keep)]
        for message in gone:
            self._take_out(message)
        if pattern in ("", ">") and not keep and (not below or below > self.last):
            self.last = max(self.last, below - 1)
            self.first = self.last + 1
        elif gone:
            self._find_first()
        for consumer in self.consumers.values():
            consumer.dropped(gone)
        if gone and pattern in ("", ">"):
            for source in self.sources:
                source.keep_place()
        return len(gone)

    def _purged(self, pattern: str) -> None:
        """Tell consumers where there is something left for them to deliver."""
        first_of_pattern: int | None = None
        for consumer in self.consumers.values():
            within, wider = consumer.relation(pattern)
            if not within and not wider:
                continue
            start = self.first
            if within and pattern and consumer.next <= self.last:
                if first_of_pattern is None:
                    first_of_pattern = next(self.matching(matcher(pattern), self.first), 0)
                start = first_of_pattern
            elif within and pattern:
                start = 0
            consumer.purged(start, wider=wider and not within)
