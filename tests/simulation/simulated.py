"""A simulated broker that tests connect to as if it were a real one, and what is done to the ways to it.

Time and chance are the world's for as long as it runs, so that a seed means one run, always.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from squall.bus.connection import Connection, connect
from squall.bus.topology.model import Topology
from squall.chaos.inject.toxiproxy.toxics import Latency, ResetPeer, Timeout, Toxic
from squall.chaos.model.broker import Broker
from squall.chaos.model.rights import rights_of
from squall.chaos.simulation.brokers import URL, SimulatedBroker
from squall.chaos.simulation.loop import VirtualLoop
from squall.chaos.simulation.nature import EPOCH_S, Nature
from squall.chaos.simulation.network import Channel, Sink, Way
from squall.chaos.simulation.ways import SimulatedWays
from squall.chaos.simulation.wire import SimulatedWire

T = TypeVar("T")

TOXICS: tuple[type[Toxic], ...] = (Timeout, ResetPeer, Latency)

PATIENCE_S = 10.0
"""How long whoever connects waits for a broker that has just been killed."""


class SimulatedBus:
    """A broker on virtual time, and a way to it for each node of a topology."""

    def __init__(self, seed: int, topology: Topology) -> None:
        self.chance = random.Random(seed)
        self.loop = VirtualLoop()
        self.nature = Nature(self.loop, seed, lambda process, status: pytest.fail("a process ended itself"))
        self.ways = SimulatedWays(self.loop, random.Random(f"{seed}/network"))
        self.broker = SimulatedBroker(
            self.loop,
            lambda clock: Broker(clock, random.Random(f"{seed}/broker"), epoch_s=EPOCH_S),
            lambda name: rights_of(topology, name),
            self.ways.by_node,
            lambda starts: None,
            lambda: self.chance.uniform(0.05, 0.4),
        )
        self.ways.broker = self.broker

    def live_through(self, life: Coroutine[Any, Any, T]) -> T:
        """Run something in this world to its end."""
        with self.nature.holding():
            return self.loop.run(life)

    def dial(self, name: str, sink: Sink) -> Channel | None:
        return self.ways.way(name).dial(sink, self.broker.listener(name))

    def connected(self, name: str) -> contextlib.AbstractAsyncContextManager[Connection]:
        return connect(URL, name, None, patience_s=PATIENCE_S, wire=lambda: SimulatedWire(self))

    async def strike(self, way: Way, *, most_s: float) -> None:
        """Lose, cut or delay what is on a way, in one direction or both, for a while."""
        kind = self.chance.choice(TOXICS)
        fields = {"latency_ms": 700, "jitter_ms": 300} if kind is Latency else {"timeout_ms": 0}
        streams = self.chance.choice([["downstream"], ["upstream"], ["upstream", "downstream"]])
        toxics: list[Any] = [kind(stream=stream, **fields) for stream in streams]  # type: ignore[arg-type]
        for toxic in toxics:
            await way.add(toxic)
        await asyncio.sleep(self.chance.uniform(0.1, most_s))
        for toxic in toxics:
            await way.remove(toxic)
