"""Attempts of a task, counted where the death of a worker cannot lose them; and suspects set apart.

    first delivery ──► attempt 1, no mark
    repeat ──► mark read ──► attempt n + 1 marked ──► handler ──┬─► failed: marked as ended
                                                                └─► not there: marked as not made

The broker's own count is of deliveries, and a delivery need not be an attempt: it may have waited in a worker
that died or stood still. So from the first repeat on a task has a mark, written with the sequence that was
read, before the handler begins. The broker's count also begins anew when the pool is made anew, as it is when
all workers stand still. So a worker that is younger than a task has its first attempt marked as well: then a
task that ends every worker is counted, however often the pool is made anew.

A worker takes all it runs down with it. Of the tasks that were running any may be the cause, so one that was
there at two deaths runs alone from then on: what kills a worker then is that task, and nothing but it ends
as a dead letter.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from typing import Any, NamedTuple

from msgspec.structs import replace

from squall.bus import log
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection
from squall.bus.errors import DecodeError, RejectedError, RequestTimeoutError
from squall.bus.jetstream import WRONG_LAST_SEQUENCE, publish
from squall.bus.messages import TaskTried
from squall.bus.subjects import Subjects

MARK_TIMEOUT_S = 20.0

MARK_BYTES_MAX = 1024
"""Of one mark with its headers; ours take about 300."""

DEATHS_TOGETHER = 2
"""Deaths at which a task may have been before it runs alone."""

DOUBTED_MAX = 10_000
"""Tasks of which it is known that a delivery of theirs was given back for being old."""

FIRST = TaskTried(attempts=1, deaths=0, running=True)
"""What a task without a mark has behind it when it is delivered again."""

ALONGSIDE = replace(FIRST, running=False)
"""What a task without a mark has behind it that is tried beside a first attempt, which is no death."""


def begin(before: TaskTried | None, attempts_max: int) -> TaskTried | None:
    """The mark of the next attempt of a task that is delivered again; None if it has had all."""
    before = before or FIRST
    if before.attempts >= attempts_max:
        return None
    return TaskTried(
        attempts=before.attempts + 1,
        deaths=before.deaths + before.running,
        running=True,
        write=secrets.token_hex(8),
    )


def first_counted() -> TaskTried:
    """The mark of a first attempt that has to be counted, because its delivery is no proof that it is one."""
    return replace(FIRST, write=secrets.token_hex(8))


def not_made(tried: TaskTried) -> TaskTried:
    """The mark of a task of which this attempt was to be made, and nobody was there to make it."""
    return replace(tried, attempts=tried.attempts - 1, running=False, write=secrets.token_hex(8))


def is_suspect(tried: TaskTried, attempts_max: int) -> bool:
    """Whether an attempt is to run alone: its task has been there when workers died, and may be why.

    Where there are few attempts, the last one is spent alone.
    """
    return tried.deaths >= max(1, min(DEATHS_TOGETHER, attempts_max - 1))


def stream_config(swarm: Subjects, *, marks_max: int, replicas: int = 1) -> dict[str, Any]:
    """The stream behind the marks.

    Args:
        marks_max: Tasks that may have one at a time; the oldest mark goes first, and that task's count begins
            anew.
    """
    return {
        "name": swarm.stream("TRY"),
        "description": "how often a task was tried, from its second attempt on",
        "subjects": [swarm.tries],
        "storage": "file",
        "retention": "limits",
        "num_replicas": replicas,
        "max_msgs_per_subject": 1,
        "max_msgs": marks_max,
        "max_bytes": marks_max * MARK_BYTES_MAX,
        "max_msg_size": MARK_BYTES_MAX,
        "discard": "old",
        "allow_direct": True,
        "deny_delete": True,
        "deny_purge": True,
    }


class Mark(NamedTuple):
    """What is on record of a task's attempts.

    Attributes:
        tried: What it says; None if there is none that could be read.
        sequence: Its place; 0 if there is none.
        stored_s: When it was stored, by the broker's clock.
    """

    tried: TaskTried | None
    sequence: int
    stored_s: float

    def open_s(self, ack_wait_s: float, now_s: float) -> float:
        """How long an attempt that it tells of may yet be under way, though nobody has said so; 0 if not.

        Whoever makes it tells the broker of it within an ack wait. A worker that stood still begins late what
        it was given long before, and the task is given to somebody else in that very moment.

        Args:
            now_s: By our own clock, which may differ from the broker's: never longer than an ack wait, so.
        """
        if self.tried is None or not self.tried.running:
            return 0.0
        return min(ack_wait_s, max(0.0, self.stored_s + ack_wait_s - now_s))


class Doubts:
    """Which deliveries are older than the newest attempt of their task, and so do not say that it is over.

    One may have lain in a link that stood still while its task was given to somebody else, who is at work on
    it. It is given back for an ack wait: whoever is at work says so meanwhile, and then it does not come
    again. One that does come again is believed.
    """

    def __init__(self) -> None:
        self._given_back: OrderedDict[int, int] = OrderedDict()

    def has(self, sequence: int, order: int, mark: Mark) -> bool:
        """Whether to give a delivery back that finds all attempts used up.

        Args:
            sequence: The place of its message in the stream.
            order: Its own place among the deliveries of its consumer.
        """
        if mark.tried is None or order > mark.tried.order or self._given_back.get(sequence) == mark.sequence:
            return False
        self._given_back[sequence] = mark.sequence
        if len(self._given_back) > DOUBTED_MAX:
            self._given_back.popitem(last=False)
        return True


class Marks:
    """Reads and writes the marks of a queue's tasks.

    Args:
        queue: The name of its consumer.
    """

    def __init__(self, connection: Connection, swarm: Subjects, queue: str) -> None:
        self._connection = connection
        self._swarm = swarm
        self._queue = queue

    async def read(self, lane: str, task: str) -> Mark:
        """A task's mark.

        One that cannot be read, which any worker of the queue may write, counts as none; it is written over.

        Raises:
            RequestError: No answer.
        """
        subject = self._swarm.tried(self._queue, lane, task)
        record = await log.direct(self._connection, self._swarm.stream("TRY"), subject)
        if record is None:
            return Mark(None, 0, 0.0)
        try:
            return Mark(decode(record.data, TaskTried), record.sequence, record.stored_s)
        except DecodeError:
            return Mark(None, record.sequence, record.stored_s)

    async def write(self, lane: str, task: str, tried: TaskTried, expected: int) -> bool:
        """Write a task's mark, if the newest is still the one that was read.

        Args:
            expected: The sequence that was read.

        Returns:
            Whether it is the newest now; False if somebody else wrote one meanwhile.

        Raises:
            RequestError: It is not known, or the broker refuses it for another reason.
        """
        subject = self._swarm.tried(self._queue, lane, task)
        outcome = await publish(
            self._connection,
            subject,
            encode(tried),
            timeout_s=MARK_TIMEOUT_S,
            headers={"Nats-Expected-Last-Subject-Sequence": str(expected)},
        )
        if outcome.accepted:
            return True
        if outcome.kind == "unknown":
            raise RequestTimeoutError(subject, f"unknown mark: {outcome.reason}")
        if outcome.code != WRONG_LAST_SEQUENCE:
            raise RejectedError(subject, f"{outcome.reason} on {subject}", outcome.code)
        if outcome.tries == 1:
            return False
        # An earlier try of this very write may have been stored.
        newest = (await self.read(lane, task)).tried
        return newest is not None and newest.write == tried.write

    async def end(self, lane: str, task: str, attempt: int) -> None:
        """Mark that an attempt failed in good order, so that it is no death. A newer attempt's mark stays.

        Raises:
            RequestError: It is not known.
        """
        newest, sequence, _ = await self.read(lane, task)
        tried = newest or FIRST
        if tried.attempts == attempt and tried.running:
            ended = replace(tried, running=False, write=secrets.token_hex(8))
            await self.write(lane, task, ended, sequence)

    async def clear(self, lane: str, task: str, attempt: int) -> None:
        """Mark that an attempt ended well: what came before is nothing to its blame. A newer one's stays.

        Raises:
            RequestError: It is not known.
        """
        newest, sequence, _ = await self.read(lane, task)
        if newest is not None and newest.attempts == attempt and newest.running:
            cleared = TaskTried(attempts=0, running=False, write=secrets.token_hex(8))
            await self.write(lane, task, cleared, sequence)

    async def take_back(self, lane: str, task: str, tried: TaskTried) -> None:
        """Mark that an attempt was not made, so that the next one has its number. A newer mark stays.

        Args:
            tried: What was marked for it, or would have been.

        Raises:
            RequestError: It is not known.
        """
        newest, sequence, _ = await self.read(lane, task)
        if newest is None or newest.write == tried.write:
            await self.write(lane, task, not_made(tried), sequence)


class Quarantine:
    """Lets attempts run side by side, and a suspect alone."""

    def __init__(self) -> None:
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._open = asyncio.Event()
        self._open.set()
        self._suspects = asyncio.Lock()

    @property
    def closed(self) -> bool:
        """Whether a suspect runs or waits to."""
        return not self._open.is_set()

    async def enter(self, *, alone: bool) -> None:
        """Wait for room. Each is followed by a `leave`, unless it is cancelled."""
        if alone:
            await self._suspects.acquire()
            self._open.clear()
            try:
                await self._idle.wait()
            except BaseException:
                self._release()
                raise
        while not alone and not self._open.is_set():
            await self._open.wait()
        self._running += 1
        self._idle.clear()

    def leave(self, *, alone: bool) -> None:
        """Give the room back."""
        self._running -= 1
        if self._running == 0:
            self._idle.set()
        if alone:
            self._release()

    def _release(self) -> None:
        self._open.set()
        self._suspects.release()
