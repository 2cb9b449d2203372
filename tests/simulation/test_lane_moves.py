"""Lanes move on virtual time: movers die anywhere, ways are cut, the broker ends, and no task is lost.

python -m tests.simulation.test_lane_moves 1000 2000    with these seeds
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from collections import Counter
from typing import Any

import pytest
from tests.integration.laned import ACK_WAIT_S, AGENTS, QUEUE, STREAM, WK, Laned, topology

from squall.bus.connection import Connection, connect
from squall.bus.errors import RequestError
from squall.bus.jetstream import create_stream
from squall.bus.lane_moves import settle
from squall.bus.lanes import Route, spread
from squall.chaos.inject.toxiproxy.toxics import Latency, ResetPeer, Timeout, Toxic
from squall.chaos.model.broker import Broker
from squall.chaos.model.rights import rights_of
from squall.chaos.simulation.brokers import URL, SimulatedBroker
from squall.chaos.simulation.loop import VirtualLoop
from squall.chaos.simulation.nature import EPOCH_S
from squall.chaos.simulation.network import Channel, Sink
from squall.chaos.simulation.ways import SimulatedWays
from squall.chaos.simulation.wire import SimulatedWire

TASKS = 300
GIVE_UP_S = 900.0


class World:
    """A broker with a work queue of lanes, four agents, and one mover after the other."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.loop = VirtualLoop()
        self.ways = SimulatedWays(self.loop, random.Random(f"{seed}/network"))
        nodes = topology()
        self.broker = SimulatedBroker(
            self.loop,
            lambda clock: Broker(clock, random.Random(f"{seed}/broker"), epoch_s=EPOCH_S),
            lambda name: rights_of(nodes, name),
            self.ways.by_node,
            lambda starts: None,
            lambda: self.chance.uniform(0.05, 0.4),
        )
        self.ways.broker = self.broker
        self.rig = Laned("", self.connected)
        self.epoch = 0
        self.deaths = 0
        self.looks = 0

    def dial(self, name: str, sink: Sink) -> Channel | None:
        return self.ways.way(name).dial(sink, self.broker.listener(name))

    def connected(self, name: str) -> contextlib.AbstractAsyncContextManager[Connection]:
        return connect(URL, name, None, wire=lambda: SimulatedWire(self))

    async def watch(self) -> None:
        """See in the broker itself that no lane has two owners."""
        while True:
            stream = self.broker.model.jetstream.streams.get(WK)
            consumers = stream.consumers.values() if stream else ()
            owners = Counter(lane for each in consumers for lane in QUEUE.lanes(each.config.filters))
            self.rig.crowded |= {lane for lane, count in owners.items() if count > 1}
            self.looks += 1
            await asyncio.sleep(0.1)

    async def move(self, mover: Connection) -> None:
        """Routes follow each other; whoever follows one dies at some time, or is done with it."""
        while True:
            self.epoch += 1
            members = self.chance.sample(AGENTS, self.chance.randint(1, len(AGENTS)))
            route = Route(epoch=self.epoch, owners=spread(members), fast=self.chance.random() < 0.1)
            settling = asyncio.create_task(settle(mover, QUEUE, route, patience_s=2 * ACK_WAIT_S))
            await asyncio.wait({settling}, timeout=self.chance.choice([0.01, 0.05, 0.5, 5.0]))
            if not settling.done():
                self.deaths += 1
                settling.cancel()
                await asyncio.wait({settling})
            else:
                settling.exception()  # the broker did not answer
            await asyncio.sleep(self.chance.uniform(0.0, 2.0))

    async def trouble(self) -> None:
        """Cut, lose, delay and end, one after the other, for ever."""
        kinds: list[type[Toxic]] = [Timeout, ResetPeer, Latency]
        while True:
            await asyncio.sleep(self.chance.expovariate(0.5))
            if self.chance.random() < 0.15:
                self.broker.signal(signal.SIGKILL)
                continue
            way = self.ways.way(self.chance.choice((*AGENTS, "mover", "producer")))
            kind = self.chance.choice(kinds)
            fields = {"latency_ms": 700, "jitter_ms": 300} if kind is Latency else {"timeout_ms": 0}
            streams = self.chance.choice([["downstream"], ["upstream"], ["upstream", "downstream"]])
            toxics: list[Any] = [kind(stream=stream, **fields) for stream in streams]  # type: ignore[arg-type]
            for toxic in toxics:
                await way.add(toxic)
            await asyncio.sleep(self.chance.uniform(0.1, 6.0))
            for toxic in toxics:
                await way.remove(toxic)

    async def live(self) -> None:
        async with (
            self.connected("launcher") as launcher,
            self.connected("mover") as mover,
            self.connected("producer") as producer,
            contextlib.AsyncExitStack() as agents,
        ):
            await create_stream(launcher, STREAM)
            for name in AGENTS:
                await agents.enter_async_context(self.rig.agent(name, work_s=0.3))
            beside = [asyncio.create_task(work) for work in (self.watch(), self.move(mover), self.trouble())]
            async with asyncio.timeout(GIVE_UP_S):
                await self.rig.produce(producer, TASKS, pause_s=0.1)
            for task in beside[1:]:
                assert not task.done(), task.exception()
                task.cancel()
            await asyncio.wait(set(beside[1:]))
            for name in (*AGENTS, "mover", "producer"):
                await self.ways.way(name).recreate()
            async with asyncio.timeout(GIVE_UP_S):
                await self.settle_in_the_end(mover)
                while len(self.rig.done) < self.rig.published:
                    await asyncio.sleep(0.1)
            beside[0].cancel()
            await asyncio.wait({beside[0]})

    async def settle_in_the_end(self, mover: Connection) -> None:
        route = Route(epoch=self.epoch + 1, owners=spread(AGENTS))
        while True:
            with contextlib.suppress(RequestError):
                await self.rig.move(mover, route, patience_s=2 * ACK_WAIT_S)
                return
            await asyncio.sleep(0.5)

    def run(self) -> None:
        self.loop.run(self.live())
        assert self.rig.crowded == set()
        assert self.rig.published >= TASKS
        assert self.looks > TASKS


@pytest.mark.parametrize("seed", range(8))
def test_lanes_are_owned_once_and_no_task_is_lost(seed: int) -> None:
    World(seed).run()


if __name__ == "__main__":
    for number in range(*map(int, sys.argv[1:3])):
        world = World(number)
        world.run()
        twice = sum(sum(by.values()) > 1 for by in world.rig.done.values())
        print(number, world.epoch, world.deaths, twice)  # noqa: T201
