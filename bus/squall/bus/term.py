"""Term: at most one leader's writes are accepted, enforced by the broker and not by clocks.

Two subjects in the stream that the leader writes:

    term    who leads; the sequence of the newest record *is* the term, and the fence
    lease   renewals, themselves fenced by the term

A candidate that has seen no new lease for one lease length, by its own monotonic
clock, takes over by one atomic batch: both subjects, each expecting what the
candidate saw last. If the leader renewed in between, all of it is refused. Every
write of a leader is an atomic batch that begins with a renewal fenced by the
term, so a deposed leader can write nothing, however late it wakes. The lease
only tunes how soon a dead leader is replaced; safety does not rest on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from squall.bus import log
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection
from squall.bus.errors import DeposedError, RejectedError, RequestError, RequestTimeoutError
from squall.bus.jetstream import FENCE_BUSY, WRONG_LAST_SEQUENCE, Entry, Outcome, publish_batch
from squall.bus.messages import LeaseRenewed, TermClaimed
from squall.bus.subjects import Seat
from squall.bus.tasks import task_group

BUSY_TRIES = 5
BUSY_PAUSE_S = (0.001, 0.02)
WRITE_TRY_S = 2.0

LOOK_S = 0.2
"""The longest time between two looks of a candidate: a leader that steps down is followed that soon."""


class Sight(msgspec.Struct, frozen=True):
    """What a candidate saw of a seat: the newest sequences, 0 where there is nothing."""

    term: int = 0
    lease: int = 0
    released: bool = False


class Patience:
    """When a candidate may take over. Pure: told what was seen and when, by a monotonic clock."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._sight: Sight | None = None
        self._since_s = 0.0

    def observe(self, sight: Sight, now_s: float) -> bool:
        """Take in what was seen; True when the seat is free, given up, or silent for a lease length."""
        if sight != self._sight:
            self._sight, self._since_s = sight, now_s
        return sight.term == 0 or sight.released or now_s - self._since_s >= self._lease_s


Event = Literal["claim", "defeat", "lead", "resign", "fenced"]
"""``claim``: the seat looks free, and is claimed. ``defeat``: it was not to be had. ``lead``: the term is
ours, a first fenced write has shown. ``resign``: it is over. ``fenced``: a write of it was refused."""

Observer = Callable[[Event, int, int], None]
"""Called with what happened, the term it concerns (0 of a claim), and the broker's error code or 0."""


class Leadership:
    """One term of one holder.

    Attributes:
        term: The fencing token.
    """

    def __init__(
        self, connection: Connection, seat: Seat, holder: str, term: int, lease_s: float, observer: Observer
    ) -> None:
        self._connection = connection
        self._seat = seat
        self._holder = holder
        self._lease_s = lease_s
        self._observer = observer
        self._one_at_a_time = asyncio.Lock()
        self._renewed_s = 0.0
        self.term = term

    def may_act(self) -> bool:
        """Whether it may do what the broker cannot fence: the lease, by our own clock, has a margin left."""
        return asyncio.get_running_loop().time() - self._renewed_s < self._lease_s * 2 / 3

    async def write(self, entries: Sequence[Entry] = (), *, timeout_s: float, released: bool = False) -> int:
        """Write to the seat's stream, all or nothing, and renew the lease with it.

        Each entry must expect something of its own subject, so that a repeat after an unknown outcome
        cannot store it twice.

        Returns:
            The sequence of the last record; those before it precede it without a gap.

        Raises:
            DeposedError: A newer term exists; nothing was written and nothing ever will be.
            RejectedError: The term holds but an entry's expectation does not (10071), perhaps because an
                earlier try of this very write was stored; or the stream is full.
            RequestTimeoutError: The outcome is still unknown after ``timeout_s``.
        """
        renewal = encode(LeaseRenewed(holder=self._holder, write=secrets.token_hex(8), released=released))
        batch = [Entry(self._seat.lease, renewal), *entries]
        fence = (self._seat.term, self.term)
        loop = asyncio.get_running_loop()
        async with self._one_at_a_time:
            deadline = loop.time() + timeout_s
            busy = 0
            while True:
                sent_s = loop.time()
                outcome = await publish_batch(
                    self._connection,
                    batch,
                    fence=fence,
                    timeout_s=min(WRITE_TRY_S, max(0.05, deadline - sent_s)),
                )
                if outcome.accepted:
                    self._renewed_s = sent_s
                    return outcome.sequence
                if outcome.code == FENCE_BUSY and busy < BUSY_TRIES:
                    busy += 1
                    await asyncio.sleep(random.uniform(*BUSY_PAUSE_S))
                    continue
                if outcome.kind == "refused":
                    await self._refused(outcome)
                if loop.time() >= deadline:
                    raise RequestTimeoutError(self._seat.stream, f"unknown write: {outcome.reason}")
                await asyncio.sleep(random.uniform(0.02, 0.2))

    async def _refused(self, outcome: Outcome) -> None:
        if outcome.code == WRONG_LAST_SEQUENCE:
            newest = await log.last(self._connection, self._seat.stream, self._seat.term)
            if newest is None or newest.sequence != self.term:
                self._observer("fenced", self.term, outcome.code)
                now = newest.sequence if newest else 0
                raise DeposedError(self._seat.stream, f"term {self.term} was followed by {now}", outcome.code)
        raise RejectedError(self._seat.stream, outcome.reason, outcome.code)

    async def keep(self) -> None:
        """Renew every third of a lease.

        Raises:
            DeposedError: A newer term exists.
        """
        while True:
            pause_s = self._lease_s / 3
            try:
                await self.write(timeout_s=self._lease_s)
            except DeposedError:
                raise
            except RequestError:
                pause_s = random.uniform(0.02, 0.2)  # only the broker can say that it is over
            await asyncio.sleep(pause_s)


async def _look(connection: Connection, seat: Seat) -> Sight:
    term = await log.last(connection, seat.stream, seat.term)
    lease = await log.last(connection, seat.stream, seat.lease)
    released = lease is not None and decode(lease.data, LeaseRenewed).released
    return Sight(term.sequence if term else 0, lease.sequence if lease else 0, released)


async def _take_over(connection: Connection, seat: Seat, holder: str, sight: Sight) -> int | None:
    """Claim the next term; the term if it is ours, None if it is not or may not be."""
    write = secrets.token_hex(8)
    outcome = await publish_batch(
        connection,
        [
            Entry(seat.term, encode(TermClaimed(holder=holder, write=write)), sight.term),
            Entry(seat.lease, encode(LeaseRenewed(holder=holder, write=write)), sight.lease),
        ],
        timeout_s=WRITE_TRY_S,
    )
    if outcome.accepted:
        return outcome.sequence - 1
    if outcome.kind == "refused":
        return None
    # It may have been stored. If the newest claim is this one, leading begins with a renewal fenced by it.
    newest = await log.last(connection, seat.stream, seat.term)
    if newest is not None and decode(newest.data, TermClaimed).write == write:
        return newest.sequence
    return None


async def campaign(
    connection: Connection,
    seat: Seat,
    holder: str,
    *,
    lease_s: float,
    lead: Callable[[Leadership], Awaitable[None]],
    observer: Observer,
    stop: asyncio.Event,
) -> None:
    """Stand for a seat until asked to stop: follow, take over when it is free, lead, follow again.

    Args:
        lease_s: How long a silent leader is left in office; longer means fewer needless take-overs and a
            slower fail-over.
        lead: Run while leading; cancelled when a newer term exists. If it returns, the seat is given up, and
            not stood for again for one lease length, so that somebody else gets it.
        observer: Told of each claim, take-over, resignation and refused write.
        stop: When set, a leader's ``lead`` is expected to return; a follower just ends.
    """
    patience = Patience(lease_s)
    loop = asyncio.get_running_loop()
    stands_s = loop.time()
    while not stop.is_set():
        term: int | None = None
        claims = False
        try:
            sight = await _look(connection, seat)
            claims = patience.observe(sight, loop.time()) and loop.time() >= stands_s
            if claims:
                observer("claim", 0, 0)
                term = await _take_over(connection, seat, holder, sight)
        except RequestError:
            pass  # the broker is away
        if term is None:
            if claims:
                observer("defeat", 0, 0)
            await _pause(stop, random.uniform(0, 0.02) + min(LOOK_S, lease_s / 5))
            continue
        leadership = Leadership(connection, seat, holder, term, lease_s, observer)
        try:
            await leadership.write(timeout_s=lease_s)
            observer("lead", term, 0)
            async with task_group() as tasks:
                tasks.daemon(leadership.keep())
                await lead(leadership)
            await leadership.write(timeout_s=lease_s, released=True)
            observer("resign", term, 0)
            # It watches meanwhile, so that its patience need not begin only then.
            stands_s = _stands_again_s(loop.time(), lease_s)
        except* RequestError as errors:
            # Several, where a write of the role was refused and the renewal that waited behind it was, too.
            deposed = errors.subgroup(DeposedError) is not None
            observer("resign", term, WRONG_LAST_SEQUENCE if deposed else 0)


def _stands_again_s(left_s: float, lease_s: float) -> float:
    """When who has left a seat stands for it again: one lease later, so that somebody else gets it. Pure."""
    return left_s + lease_s


async def _pause(stop: asyncio.Event, length_s: float) -> None:
    """Wait, but not for longer than until asked to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(length_s):
            await stop.wait()
