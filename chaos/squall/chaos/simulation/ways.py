"""The ways of a simulated run, and probes that go them; see `squall.chaos.inject.way`."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from squall.chaos.inject.probe import Outcome, ProbeResult
from squall.chaos.model.frames import Ping, Pong
from squall.chaos.simulation.loop import Process, VirtualLoop
from squall.chaos.simulation.network import END, Way
from squall.chaos.simulation.venues import HEALTH_QUESTION, Venues
from squall.chaos.simulation.wire import HELLO_BYTES, Hello, size_of
from squall.services.patterns.pattern import VENUE

if TYPE_CHECKING:
    from squall.chaos.simulation.brokers import SimulatedBroker

PROBE = "probe"
"""Who is at the near end of a probe's channel."""


class SimulatedWays:
    """A way of each node, made when it is first asked for.

    Attributes:
        by_node: Those there are.
    """

    broker: SimulatedBroker
    venues: Venues

    def __init__(self, loop: VirtualLoop, chance: random.Random) -> None:
        self._loop = loop
        self._chance = chance
        self.by_node: dict[str, Way] = {}

    async def route(self, node: str, url: str, host: str) -> str:
        """The way is found by the node's name, so its URL is the broker's, or the venue's."""
        self.way(node)
        return url

    def way(self, node: str) -> Way:
        if node not in self.by_node:
            self.by_node[node] = Way(node, self._loop, self._chance, node)
        return self.by_node[node]

    def to_venue(self) -> Way:
        """The way to the venue."""
        return self.way(VENUE)

    def closed(self, process: Process) -> None:
        """A process has ended, so its connections end."""
        for way in self.by_node.values():
            way.closed(process)

    async def probe(self, node: str, timeout_s: float) -> ProbeResult:
        """What somebody feels who goes the node's way to the broker, or the way to the venue."""
        if node == VENUE:
            return await self._probe_venue(timeout_s)
        return await self._probe_broker(node, timeout_s)

    async def _probe_broker(self, node: str, timeout_s: float) -> ProbeResult:
        way, begun_s = self.way(node), self._loop.time()
        heard: asyncio.Queue[Any] = asyncio.Queue()
        channel = way.dial(heard.put_nowait, self.broker.listener(PROBE))
        if channel is None:
            return ProbeResult("refused")
        try:
            first = await _next(heard, timeout_s)
            if not isinstance(first, Hello):
                return ProbeResult("closed" if first is END else "silent")
            heard_s, torn = self._loop.time() - begun_s, way.cuts(HELLO_BYTES)
            asked_s = self._loop.time()
            channel.up.send(Ping(), size_of)
            answer = await _next(heard, timeout_s)
            outcome: Outcome = "answered" if isinstance(answer, Pong) else "deaf"
            answered_s = self._loop.time() - asked_s if outcome == "answered" else None
            return ProbeResult(outcome, heard_s, answered_s, torn=torn, bytes=HELLO_BYTES)
        finally:
            channel.abort()

    async def _probe_venue(self, timeout_s: float) -> ProbeResult:
        """The venue is asked twice whether it is there."""
        way, begun_s = self.to_venue(), self._loop.time()
        heard: asyncio.Queue[Any] = asyncio.Queue()
        channel = way.dial(heard.put_nowait, self.venues.listener)
        if channel is None:
            return ProbeResult("refused")
        try:
            times_s: list[float] = []
            size = 0
            for _ in range(2):
                channel.up.send(HEALTH_QUESTION, lambda question: 100)
                answer = await _next(heard, timeout_s)
                if answer is END or answer is _Nothing:
                    first = ProbeResult("closed" if answer is END else "silent")
                    return first if not times_s else ProbeResult("answered", times_s[0], bytes=size)
                status, body = answer
                if status >= 500:
                    return ProbeResult("error")
                times_s.append(self._loop.time() - begun_s)
                size = len(body) + 200
            return ProbeResult(
                "answered", times_s[0], times_s[1] - times_s[0], torn=way.cuts(size), bytes=size
            )
        finally:
            channel.abort()


class _Nothing:
    """Nothing was heard in time."""


async def _next(heard: asyncio.Queue[Any], timeout_s: float) -> Any:
    try:
        async with asyncio.timeout(timeout_s):
            return await heard.get()
    except TimeoutError:
        return _Nothing
