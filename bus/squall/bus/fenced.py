"""Fenced writes: what a leader stores is stored once and in one piece, or not at all.

    entries, snapshot ──► batch behind the fence ──► stored ─────────────────────────► Stored
                           ▲      ▲            ├─► a newer term ─────────────────────► DeposedError
                           │      │            ├─► unknown, or the stream is full: again
                           │      └────────────┘
                           │                   └─► an expectation does not hold: read back
                           └── none of it is there ◄──┼──► this very batch is there ─► Stored
                                                      └──► a subject was written ────► Taken

Every entry expects something of its own subject, so a batch whose outcome is unknown can be sent again as it
is. One writer stores all that a leader writes beside its lease, one batch after the other. So a record on the
subject of an entry that lies behind everything this writer has stored before can only be the entry itself,
from an earlier try whose answer was lost; any other record was stored long ago, perhaps by an earlier term.

A snapshot is stored in the batch that it covers, so a successor finds both or neither. `replay` is how that
successor reads: what a snapshot needs, and all that came after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from squall.bus import log
from squall.bus.backoff import Backoff
from squall.bus.connection import Connection
from squall.bus.errors import DeposedError, RejectedError, RequestError
from squall.bus.jetstream import BATCH_INCOMPLETE, BATCH_MAX, WRONG_LAST_SEQUENCE, Entry
from squall.bus.log import Record
from squall.bus.subjects import Seat
from squall.bus.term import Leadership

T = TypeVar("T")

ENTRIES_MAX = BATCH_MAX - 2
"""Of one batch, beside the renewal of the lease and a snapshot."""

WRITE_TIMEOUT_S = 10.0
PAUSE_S = (0.1, 1.0)
"""Of the pauses between two tries while the stream refuses or the broker does not answer: base and cap."""

READ_PER_FETCH = 4
"""Records that can be read one after the other in the time in which one is fetched by its place."""

_said = logging.getLogger("squall")


class Stored(msgspec.Struct, frozen=True):
    """All of a batch is stored, without a gap.

    Attributes:
        first, last: The sequences of its first entry and of its last, the snapshot included.
    """

    first: int
    last: int


class Taken(msgspec.Struct, frozen=True):
    """Nothing of a batch is stored, nor will be: subjects of it do not stand as their entries expect.

    Attributes:
        records: By subject, what is there; None where a record was expected and there is none.
    """

    records: Mapping[str, Record | None]


class FencedWriter:
    """Stores what a leader writes, for one term. Nothing else may write on the subjects of its entries.

    Args:
        snapshot_sequence: Where the newest snapshot is stored; 0 if there is none.
        refused: Called each time the stream refuses a whole batch, as a full one does; it may make room.

    Attributes:
        snapshot_sequence: Where the newest snapshot is stored.
    """

    def __init__(
        self,
        connection: Connection,
        seat: Seat,
        leadership: Leadership,
        *,
        snapshot_sequence: int = 0,
        refused: Callable[[RejectedError], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._seat = seat
        self._leadership = leadership
        self._refused = refused
        self._last = leadership.term
        self._trimmed: dict[tuple[str, str], int] = {}
        self.snapshot_sequence = snapshot_sequence

    async def store(self, entries: Sequence[Entry], snapshot: bytes | None = None) -> Stored | Taken:
        """Store entries and a snapshot in one batch, however long it takes.

        Args:
            entries: Each expects something of its own subject.
            snapshot: A record for the seat's snapshot subject, which covers the entries too.

        Returns:
            `Stored`, or `Taken` if something was there before. Then it is for the caller to say what the
            batch is to be now: a snapshot, for one, tells of what is not to be stored any more.

        Raises:
            DeposedError: A newer term exists; nothing was stored.
            ValueError: There is nothing to store, or more than a batch holds, or an entry expects nothing.
        """
        if not entries and snapshot is None:
            raise ValueError("nothing to store")
        if len(entries) > ENTRIES_MAX:
            raise ValueError(f"{len(entries)} entries, and the broker takes {ENTRIES_MAX} in a batch")
        if any(entry.expected is None for entry in entries):
            raise ValueError("an entry expects nothing of its subject, so a repeat could store it twice")
        pauses = _pauses()
        while True:
            batch = list(entries)
            if snapshot is not None:
                batch.append(Entry(self._seat.snapshot, snapshot, self.snapshot_sequence))
            last: int | None = None
            try:
                last = await self._leadership.write(batch, timeout_s=WRITE_TIMEOUT_S)
            except DeposedError:
                raise
            except RejectedError as error:
                if error.code != WRONG_LAST_SEQUENCE:
                    await asyncio.sleep(pauses.pause_s())
                    # What was lost on its way says nothing of the stream, and what is trimmed is gone.
                    if error.code != BATCH_INCOMPLETE:
                        await self._refused(error)
                    continue
                found = await self._read_back(batch)
                if isinstance(found, Taken) and found.records:
                    return found
                if isinstance(found, Stored):
                    last = found.last
            except RequestError as error:
                _said.info("batch unknown, written again: %s", error)
            if last is not None:
                self._last = last
                if snapshot is not None:
                    self.snapshot_sequence = last
                return Stored(last - len(batch) + 1, last)

    async def _read_back(self, batch: Sequence[Entry]) -> Stored | Taken:
        """What there is of a batch after a refusal that was not a deposition."""
        taken: dict[str, Record | None] = {}
        for place, entry in enumerate(batch):
            record = await patiently(
                functools.partial(log.last, self._connection, self._seat.stream, entry.among or entry.subject)
            )
            if (record.sequence if record else 0) == entry.expected:
                continue
            if record is not None and record.sequence > self._last and record.data == entry.data:
                first = record.sequence - place
                return Stored(first, first + len(batch) - 1)
            if entry.subject == self._seat.snapshot:
                self.snapshot_sequence = record.sequence if record else 0
            else:
                taken[entry.subject] = record
        return Taken(taken)

    async def trim(self, *, below: int, stream: str = "", subject: str = "") -> bool:
        """Remove the records before a sequence, which a stored snapshot must cover.

        The broker cannot fence it, and need not: what it removes was covered by this term or an earlier one,
        so it is right however late it comes. It does not wait for a margin of the lease either: a leader
        whose renewals are answered late has none, and would leave the ingress full for as long as it leads.

        Args:
            stream: Another stream than the seat's own, for instance the one that the leader reads.
            subject: A pattern of subjects; without, all of them.

        Returns:
            Whether nothing is left of it; if not, it is for the next time.
        """
        key = (stream or self._seat.stream, subject)
        if below <= self._trimmed.get(key, 0):
            return True
        try:
            await log.trim(self._connection, key[0], below=below, subject=subject)
        except RequestError as error:
            _said.info("not trimmed: %s", error)
            return False
        self._trimmed[key] = below
        return True


class CopiedTrim:
    """Removes records of the seat's stream once the broker has copied them into another.

    It copies in order, so that once it has one it has those before. Which one was the newest at the last look
    is remembered, because the newest of now is often on its way. Where records hold the input of tasks, they
    would fill the stream that holds the term without this.

    Args:
        subject: The pattern of their subjects.
        copies: The stream they are copied to.
        copy_of: The subject of a record's copy.
    """

    def __init__(
        self,
        connection: Connection,
        seat: Seat,
        writer: FencedWriter,
        subject: str,
        *,
        copies: str,
        copy_of: Callable[[Record], str],
    ) -> None:
        self._connection = connection
        self._seat = seat
        self._writer = writer
        self._subject = subject
        self._copies = copies
        self._copy_of = copy_of
        self._newest: tuple[int, str] | None = None
        self._none_left = False

    def wrote(self) -> None:
        """There may be further ones."""
        self._none_left = False

    async def trim(self) -> None:
        """Remove what was copied since the last call; what cannot be done now is for the next time."""
        if self._none_left:
            return
        try:
            if self._newest is not None:
                sequence, copy = self._newest
                if await log.last(self._connection, self._copies, copy) is None:
                    return
                if not await self._writer.trim(below=sequence + 1, subject=self._subject):
                    return
                self._newest = None
            newest = await log.last(self._connection, self._seat.stream, self._subject)
        except RequestError as error:
            _said.info("not trimmed: %s", error)
            return
        if newest is None:
            self._none_left = True
        else:
            self._newest = newest.sequence, self._copy_of(newest)


async def newest_snapshot(connection: Connection, seat: Seat) -> Record | None:
    """The newest snapshot of a seat, however long the broker takes to answer; None if there is none."""
    return await patiently(functools.partial(log.last, connection, seat.stream, seat.snapshot))


async def replay(
    connection: Connection,
    stream: str,
    subject: str,
    *,
    places: Sequence[int] = (),
    after: int,
    through: int,
) -> AsyncGenerator[Record, None]:
    """What a new leader folds: the records at some places, and all that follow another, in order.

    With ``through`` the leader's own term this is a full read barrier: nothing of an older term comes later.

    Args:
        subject: The pattern of their subjects.
        places: Their sequences, ascending. The first ones are fetched one by one where they are few and far
            back; one that is there no more is left out. Records between the later ones come along.
        after: All records behind this sequence are wanted.
        through: Where to end.
    """
    far = stragglers(places, after)
    for sequence in places[:far]:
        record = await patiently(functools.partial(log.at, connection, stream, sequence))
        if record is not None:
            yield record
    begin = min([after, *(sequence - 1 for sequence in places[far : far + 1])])
    reading = log.read(connection, stream, subject, after=max(0, begin), until=through)
    async with contextlib.aclosing(reading) as deliveries:
        async for delivery in deliveries:
            yield Record(delivery.subject, delivery.sequence, delivery.data, delivery.stored_s)


def stragglers(sequences: Sequence[int], end: int) -> int:
    """How many records, from the first, are better fetched one by one than read together with the rest. Pure.

    Args:
        sequences: Of the records that are wanted, ascending.
        end: Where reading would end.
    """
    for place, sequence in enumerate(sequences):
        if end - sequence <= READ_PER_FETCH * (len(sequences) - place):
            return place
    return len(sequences)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer: the broker may be on its way back."""
    pauses = _pauses()
    while True:
        try:
            return await ask()
        except RequestError as error:
            _said.info("asked again: %s", error)
            await asyncio.sleep(pauses.pause_s())


def _pauses() -> Backoff:
    base_s, cap_s = PAUSE_S
    return Backoff(base_s, cap_s, floor_s=base_s / 2)
