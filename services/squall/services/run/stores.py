"""Stores: a stream that nears its bound is told of before it is reached.

What then happens is each stream's own: the coordinator's log makes it wait, registers refuse results until
there is room, and of marks and dead letters the oldest go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from squall.bus import log as bus_log
from squall.bus.connection import Connection
from squall.bus.errors import RequestError

LOOK_S = 2.0

NEAR = 0.8
"""Share of its bound from which a stream is told of."""

AWAY = 0.7
"""Share below which it has to fall before it is told of again."""


class Nearness:
    """Which streams are near their bounds. Pure."""

    def __init__(self) -> None:
        self._near: set[str] = set()

    def look(self, stream: str, share: float) -> bool:
        """Whether this is news: the stream has come near its bound since it was last away from it."""
        if share < AWAY:
            self._near.discard(stream)
        if share < NEAR or stream in self._near:
            return False
        self._near.add(stream)
        return True


async def watch(connection: Connection, streams: Sequence[str], tell: Callable[[str, float], None]) -> None:
    """Look at streams every few seconds, for as long as this is not cancelled.

    Args:
        tell: Told of a stream that has come near its bound, and which share of it is used.
    """
    nearness = Nearness()
    while True:
        for stream in streams:
            with contextlib.suppress(RequestError):
                share = await bus_log.fullness(connection, stream)
                if nearness.look(stream, share):
                    tell(stream, share)
        await asyncio.sleep(LOOK_S)
