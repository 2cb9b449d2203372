"""Strict order within a lane: a task begins once everything before it in its lane is done.

    delivered ─► first of its lane among those in hand? ── not yet ─► waits here
                          │ yes
                 first of its lane in the stream? ── no ─► given back, for a moment later
                          │ yes
                       its turn

A message leaves a work queue when it is acknowledged, which is after its result is written. So who is first
of a lane in the stream comes after nothing that is unfinished, whoever delivered what to whom, and however
often. That is asked of the broker for each task, and does not rest on who owns the lane: an owner that wakes
late can do again what was first when it asked, and nothing else.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Callable
from typing import Protocol

import msgspec

from squall.bus import subjects
from squall.bus.connection import Connection
from squall.bus.errors import RejectedError
from squall.bus.pull import Delivery

ASK_S = 3.0

WAIT_S = (0.05, 1.0)
"""For how long a task is given back that is not first: to begin with, and at most, while its lane stands."""


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
    """

    def __init__(self, connection: Connection, stream: str, tasks: Callable[[str], str]) -> None:
        self._connection = connection
        self._stream = stream
        self._tasks = tasks
        self._in_hand: dict[str, list[int]] = {}
        self._moved: dict[str, asyncio.Event] = {}
        self._waits_s: dict[str, float] = {}

    def enter(self, delivery: Delivery) -> None:
        """A task is in hand."""
        lane = subjects.lane_of(delivery.subject)
        bisect.insort(self._in_hand.setdefault(lane, []), delivery.sequence)

    def leave(self, delivery: Delivery) -> None:
        """A task is not in hand any more, whatever came of it."""
        lane = subjects.lane_of(delivery.subject)
        there = self._in_hand[lane]
        there.remove(delivery.sequence)
        if not there:
            del self._in_hand[lane]
        self._moved.pop(lane, asyncio.Event()).set()

    async def wait(self, delivery: Delivery) -> float:
        """Wait for a task's turn.

        Returns:
            0 when it has come, or for how many seconds to give the task back.

        Raises:
            RequestError: The broker does not say what is first.
        """
        lane = subjects.lane_of(delivery.subject)
        while self._in_hand[lane][0] != delivery.sequence:
            await self._moved.setdefault(lane, asyncio.Event()).wait()
        if await self._first(lane) == delivery.sequence:
            self._waits_s.pop(lane, None)
            return 0.0
        wait_s = self._waits_s.get(lane, WAIT_S[0])
        self._waits_s[lane] = min(2 * wait_s, WAIT_S[1])
        return wait_s

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
