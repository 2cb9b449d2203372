"""Who proposes: each peer decides it for itself, and the log takes the first. Pure.

    key, members of the epoch ──rendezvous──► an order of members
                                   │
        suspects are passed over ──┴──► a turn: after so many deadlines without a proposal, I make one

Two that propose the same task do no harm: the log counts the first. So a peer that takes another for dead, or
was taken for dead itself, costs a record and nothing else.
"""

from __future__ import annotations

import functools
import hashlib
import heapq
from collections.abc import Collection
from typing import NamedTuple

OPEN_MAX = 16
"""Proposals of one peer that may be open at a time. Higher feeds fast voters; lower bounds what waits for
slow ones, whose votes must come within the deadline."""


@functools.lru_cache(maxsize=65_536)
def ranking(key: str, members: tuple[str, ...]) -> tuple[str, ...]:
    """The members in the order in which they are to propose what belongs to a key.

    One that joins or leaves moves no key between two others.

    Source: rendezvous hashing (Thaler, Ravishankar, 1998).
    """
    return tuple(sorted(members, key=lambda member: (_score(key, member), member), reverse=True))


def _score(key: str, member: str) -> bytes:
    return hashlib.blake2b(f"{key}\0{member}".encode(), digest_size=8).digest()


def turn(me: str, ranked: tuple[str, ...], suspects: Collection[str]) -> int | None:
    """How many deadlines without a proposal a peer waits before it makes one; None if it makes none.

    Args:
        ranked: The members of the epoch in force, in the order for the task's key.
        suspects: Whom this peer does not take to be there; itself it always does.
    """
    if me not in ranked:
        return None
    return [member for member in ranked if member == me or member not in suspects].index(me)


AGAIN_DEADLINES = 2
"""For how many deadlines a task waits that is to be proposed again. Higher outlasts longer times without a
quorum; lower finds out sooner that there is none."""


class Due(NamedTuple):
    """A task that waits to be proposed.

    Attributes:
        place: Where it stands in the log; the earlier goes first.
        since_s: Since when it has had no open proposal, as this peer saw it.
    """

    place: int
    task: str
    key: str
    attempt: int
    since_s: float


class Turns:
    """Which task a peer proposes next: what is its own first, then what others seem to leave.

    Args:
        deadline_s: See `turn`.
    """

    def __init__(self, me: str, deadline_s: float) -> None:
        self._me = me
        self._deadline_s = deadline_s
        self._members: tuple[str, ...] = ()
        self._suspects: Collection[str] = ()
        self._waiting: dict[str, Due] = {}
        self._own: list[Due] = []
        self._others: list[tuple[float, Due]] = []

    def among(self, members: tuple[str, ...], suspects: Collection[str]) -> None:
        """Who the members are, and whom of them this peer does not take to be there."""
        if (members, suspects) == (self._members, self._suspects):
            return
        self._members, self._suspects = members, suspects
        self._own, self._others = [], []
        for due in self._waiting.values():
            self._queue(due)

    def add(self, due: Due) -> None:
        """A task has no open proposal. Told again, it waits since when it was first."""
        known = self._waiting.get(due.task)
        if known is None or known.attempt != due.attempt:
            self._waiting[due.task] = due
            self._queue(due)

    def remove(self, task: str) -> None:
        """A task has an open proposal, or is settled."""
        self._waiting.pop(task, None)

    def next(self, now_s: float) -> Due | None:
        """The task to propose now, which then waits no more; None if there is none."""
        while self._own:
            due = heapq.heappop(self._own)
            if self._waiting.get(due.task) == due:
                return self._waiting.pop(due.task)
        while self._others and self._others[0][0] <= now_s:
            _, due = heapq.heappop(self._others)
            if self._waiting.get(due.task) == due:
                return self._waiting.pop(due.task)
        return None

    def next_s(self) -> float | None:
        """When there may be one again, if nothing changes."""
        if self._own:
            return 0.0
        return self._others[0][0] if self._others else None

    def _queue(self, due: Due) -> None:
        mine = turn(self._me, ranking(due.key, self._members), self._suspects)
        if mine is None:
            return
        waits = mine + (AGAIN_DEADLINES if due.attempt > 1 else 0)
        if waits == 0:
            heapq.heappush(self._own, due)
        else:
            heapq.heappush(self._others, (due.since_s + waits * self._deadline_s, due))
