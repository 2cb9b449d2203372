"""The venue in a simulated world: its own code behind a door that leads through a way.

gateway ─► Knock ─► Channel.up ─► Desk (the venue's) ─► Channel.down ─► gateway
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextvars import Context
from pathlib import Path
from typing import Any

from squall.chaos.simulation.loop import Process, VirtualLoop
from squall.chaos.simulation.network import END, Channel, Sink, Way
from squall.services.node.service import Alone
from squall.services.node.venue_door import Door, ShutError, UnansweredError
from squall.services.roles.venue import Desk, Venue

URL = "http://venue.simulated"

HEALTH_QUESTION = b"GET /healthz"

HEAD_BYTES = 200
"""Of a request or an answer beside its body."""

REFUSED_S = 0.001
"""How long it takes to hear that nobody listens."""


class Venues:
    """The venue that there is at a time, if there is one.

    Args:
        way: Finds the way of a node, by its name.
    """

    def __init__(self, loop: VirtualLoop, way: Callable[[], Way]) -> None:
        self._loop = loop
        self._way = way
        self._desk: Desk | None = None
        self._process: Process | None = None

    async def serve(self, alone: Alone, process: Process) -> None:
        """Take orders until asked to stop."""
        start = alone.start
        venue = Venue(Path(start.path), dumb=start.spec.venue == "dumb", sequenced=start.spec.is_sequenced)
        process.leaves.append(venue.close)
        self._desk, self._process = Desk(venue, alone.at, alone.failing), process
        alone.ready(URL)
        await alone.stop.wait()
        self._desk = None

    @property
    def is_there(self) -> bool:
        """Whether somebody listens."""
        return self._desk is not None and self._process is not None and not self._process.is_dead

    def listener(self, channel: Channel) -> tuple[Sink, Context] | None:
        """Who takes what comes up a channel; None if nobody listens."""
        desk, process = self._desk, self._process
        if desk is None or process is None or process.is_dead:
            return None
        channel.far = process

        async def answer(content: bytes) -> None:
            if content is HEALTH_QUESTION:
                status, body = desk.health()
            else:
                status, body = await desk.orders(content)
            channel.down.send((status, body), lambda answer: len(answer[1]) + HEAD_BYTES)

        def arrived(content: Any) -> None:
            if content is not END:
                self._loop.create_task(answer(content))

        return arrived, process.context()

    @contextlib.asynccontextmanager
    async def door(self, url: str, token: str) -> AsyncIterator[Door]:
        """The way to the venue, open inside the block."""
        yield _Door(self._loop, self._way(), self.listener)


class _Door:
    def __init__(
        self, loop: VirtualLoop, way: Way, listener: Callable[[Channel], tuple[Sink, Context] | None]
    ) -> None:
        self._loop = loop
        self._way = way
        self._listener = listener

    async def exchange(self, content: bytes) -> tuple[int, bytes]:
        answered: asyncio.Future[tuple[int, bytes]] = self._loop.create_future()

        def arrived(answer: Any) -> None:
            if answered.done():
                return
            if answer is END:
                answered.set_exception(UnansweredError("the connection ended"))
            else:
                answered.set_result(answer)

        channel = self._way.dial(arrived, self._listener)
        if channel is None:
            await asyncio.sleep(REFUSED_S)
            raise ShutError("refused")
        channel.up.send(content, lambda question: len(question) + HEAD_BYTES)
        try:
            return await answered
        finally:
            channel.abort()
