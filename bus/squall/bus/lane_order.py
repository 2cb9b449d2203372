"""Strict order within a lane: a task begins once everything before it in its lane is done.

    delivered ─► first of its lane among those in hand? ── not yet ─► waits here, if few of its lane do
                          │ yes                                            └─ given back, for some turns
                 first of its lane in the stream? ── no ─► waits here for a while, or is given back
                          │ yes
                       its turn

A message leaves a work queue when it is acknowledged, which is after its result is written. So who is first
of a lane in the stream comes after nothing that is unfinished, whoever delivered what to whom, and however
often. That is asked of the broker for each task, and does not rest on who owns the lane: an owner that wakes
late can do again what was first when it asked, and nothing else.

Waiting here takes no slot, so that a lane goes on without a pause. Only a few of a lane wait, so that none of
them, standing because its first one fails, leaves the others without room.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
from collections.abc import Callable
from typing import Protocol

import msgspec

from squall.bus import subjects
from squall.bus.connection import Connection
from squall.bus.errors import RejectedError
from squall.bus.pull import Delivery

ASK_S = 3.0

HANDS_PER_SLOT = 4
"""Tasks that may be in hand for each slot. Higher lets more lanes go on without a pause; lower holds less."""

LANE_HELD = 4
"""Of these, tasks of one lane."""

HOLD_S = 2.0
"""How long the first one of a lane in hand waits for what comes before it and is not here."""

LOOK_S = (0.02, 0.4)
"""Between two looks whether that has ended: to begin with, and at most."""

STANDS_S = (0.05, 1.0)
"""How much longer a task is given back where its lane stands: to begin with, and at most."""

TURN_S = (0.005, 0.25)
"""What a turn is taken to last: at least, and at most. Lower has a task come again more often than it can be
its turn; higher leaves a lane idle."""

BACK_S_MAX = 2.0
AWAY_MAX = 2000
"""For how long a task is given back for those before it, at most; and how many of a lane are known to be."""


class Turns(Protocol):
    """Says when the tasks that a worker has in hand may begin."""

    def enter(self, delivery: Delivery) -> None:
        """A task is in hand."""

    def leave(self, delivery: Delivery) -> None:
        """A task is not in hand any more, whatever came of it."""

    async def wait(self, delivery: Delivery) -> float:
        """Wait for a task's turn; 0 when it has come, or for how many seconds to give the task back.

        Raises:
            RequestError: It cannot be said.
        """
        ...


class LaneTurns:
    """The order of one worker's tasks in its lanes.

    Args:
        stream: Where they wait.
        tasks: The subjects of the tasks of a lane, given its token.
        hands: How many there may be in hand.
    """

    def __init__(
        self, connection: Connection, stream: str, tasks: Callable[[str], str], *, hands: int
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._tasks = tasks
        self._hands = hands
        self._in_hand: dict[str, list[int]] = {}
        self._total = 0
        self._moved: dict[str, asyncio.Event] = {}
        self._away: dict[str, set[int]] = {}
        self._elsewhere: dict[str, int] = {}
        self._stands_s: dict[str, float] = {}
        self._began_s: dict[int, float] = {}
        self._turn_s = TURN_S[0]

    def enter(self, delivery: Delivery) -> None:
        """A task is in hand."""
        lane = subjects.lane_of(delivery.subject)
        bisect.insort(self._in_hand.setdefault(lane, []), delivery.sequence)
        self._total += 1
        self._away.get(lane, set()).discard(delivery.sequence)
        self._has_moved(lane)

    def leave(self, delivery: Delivery) -> None:
        """A task is not in hand any more, whatever came of it."""
        lane = subjects.lane_of(delivery.subject)
        there = self._in_hand[lane]
        there.remove(delivery.sequence)
        self._total -= 1
        if not there:
            del self._in_hand[lane]
        began_s = self._began_s.pop(delivery.sequence, None)
        if began_s is not None:
            took_s = asyncio.get_running_loop().time() - began_s
            self._turn_s += 0.1 * (min(max(took_s, TURN_S[0]), TURN_S[1]) - self._turn_s)
        self._has_moved(lane)

    def _has_moved(self, lane: str) -> None:
        self._moved.pop(lane, asyncio.Event()).set()

    async def wait(self, delivery: Delivery) -> float:
        """Wait for a task's turn.

        Returns:
            0 when it has come, or for how many seconds to give the task back.

        Raises:
            RequestError: The broker does not say what is first.
        """
        loop, lane, sequence = (
            asyncio.get_running_loop(),
            subjects.lane_of(delivery.subject),
            delivery.sequence,
        )
        until_s, look_s = loop.time() + HOLD_S, LOOK_S[0]
        while True:
            moved = self._moved.setdefault(lane, asyncio.Event())
            place = bisect.bisect_left(self._in_hand[lane], sequence)
            if place >= LANE_HELD:
                return self._back_after_s(lane, sequence, place)
            if place:
                await moved.wait()
                until_s, look_s = loop.time() + HOLD_S, LOOK_S[0]
                continue
            first = await self._first(lane)
            if self._in_hand[lane][0] != sequence:
                continue
            if first == sequence:
                self._stands_s.pop(lane, None)
                self._elsewhere.pop(lane, None)
                self._began_s[sequence] = loop.time()
                return 0.0
            if first == self._elsewhere.get(lane) or self._is_crowded or loop.time() >= until_s:
                self._elsewhere[lane] = first
                self._stands_s[lane] = min(2 * self._stands_s.get(lane, STANDS_S[0] / 2), STANDS_S[1])
                return self._back_after_s(lane, sequence, 0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(look_s):
                    await moved.wait()
            look_s = min(2 * look_s, LOOK_S[1])

    @property
    def _is_crowded(self) -> bool:
        """Whether there is little room left for what others wait for."""
        return 4 * self._total >= 3 * self._hands

    def _back_after_s(self, lane: str, sequence: int, place: int) -> float:
        """For how long to give back a task, which has so many of its lane before it in hand."""
        away = self._away.setdefault(lane, set())
        if len(away) >= AWAY_MAX:  # they have gone to another owner
            away.clear()
        before = place + sum(other < sequence for other in away)
        away.add(sequence)
        return self._stands_s.get(lane, 0.0) + min((before + 1) * self._turn_s, BACK_S_MAX)

    async def _first(self, lane: str) -> int:
        """The place of the first task of a lane in the stream; 0 if there is none."""
        question = msgspec.json.encode({"next_by_subj": self._tasks(lane), "seq": 1})
        answer = await self._connection.request(subjects.fetch(self._stream), question, timeout_s=ASK_S)
        headers = answer.headers or {}
        if headers.get("Nats-Stream") == self._stream and headers.get("Nats-Sequence", "").isdecimal():
            return int(headers["Nats-Sequence"])
        if headers.get("Status") == "404":
            return 0
        raise RejectedError(self._stream, f"{headers.get('Description', 'no answer')} on {self._stream}", 0)
