"""Named points of the services at which a fault can strike, each between two steps.

Most stand between two steps; some, between asking the broker for something and hearing its answer.

A node told to halt at a point stops itself there as SIGSTOP stops it, and says so first. Whoever asked then
finds it exactly between the two steps, and kills it, cuts it off, or lets it go on. Before it stops, what it
has sent has left it, so that a kill does not take back what the step before it did. A node that was told
nothing pays one look at an empty table.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

POINT: Final = re.compile(r"[a-z][a-z-]{0,30}\.[a-z][a-z-]{0,30}")
"""How a point is written: the role, and what has happened. The points of a role are in its module."""

ASKED_TURNS = 2
"""Turns of the loop in which what is asked is written, and its answer cannot have come."""

T = TypeVar("T")

Reach = Callable[[str], None]
"""Told of each point that is passed."""

LetGo = Callable[[], Awaitable[None]]
"""Returns once what was sent has left the process."""


async def _nothing_sent() -> None:
    """Of a node that sends nothing."""


async def stand_still() -> None:
    """Stop this process here, as SIGSTOP does."""
    os.kill(os.getpid(), signal.SIGSTOP)


class Points:
    """The points of one node.

    Args:
        report: Told the point just before the node stops there.
        let_go: Awaited before.
        stand_still: Stops the node where it is, until somebody has it go on.
    """

    def __init__(
        self,
        report: Reach,
        let_go: LetGo = _nothing_sent,
        stand_still: Callable[[], Awaitable[None]] = stand_still,
    ) -> None:
        self._report = report
        self._let_go = let_go
        self._stand_still = stand_still
        self._halts: dict[str, int] = {}

    def halt(self, point: str, nth: int) -> None:
        """Stop at the nth passing of a point from now, once; at none of them, if it is 0."""
        if nth > 0:
            self._halts[point] = nth
        else:
            self._halts.pop(point, None)

    def stops_at(self, point: str) -> bool:
        """Whether it is to stop at some passing of a point."""
        return point in self._halts

    async def __call__(self, point: str) -> None:
        """Pass a point."""
        if point not in self._halts:
            return
        self._halts[point] -= 1
        if self._halts[point] <= 0:
            del self._halts[point]
            await self._let_go()
            self._report(point)
            await self._stand_still()

    async def asked(self, point: str, asking: Coroutine[Any, Any, T]) -> T:
        """Ask for something, pass a point once it was asked, and only then take the answer."""
        if not self.stops_at(point):
            return await asking
        answer = asyncio.ensure_future(asking)
        try:
            for _ in range(ASKED_TURNS):
                await asyncio.sleep(0)
            if not answer.done():
                await self(point)
            return await answer
        finally:
            answer.cancel()
            await asyncio.wait({answer})
