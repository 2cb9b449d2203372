"""Lanes move on virtual time: movers die anywhere, ways are cut, the broker ends, and no task is lost.

python -m tests.simulation.test_lane_moves 1000 2000    with these seeds
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections import Counter

import pytest
from tests.integration.laned import ACK_WAIT_S, AGENTS, QUEUE, STREAM, WK, Laned, topology
from tests.simulation.simulated import SimulatedBus

from squall.bus.connection import Connection
from squall.bus.errors import RequestError
from squall.bus.jetstream import create_stream
from squall.bus.lane_moves import settle
from squall.bus.lanes import Route, spread

TASKS = 300
GIVE_UP_S = 900.0


class World(SimulatedBus):
    """A broker with a work queue of lanes, four agents, and one mover after the other."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, topology())
        self.rig = Laned("", self.connected)
        self.epoch = 0
        self.deaths = 0
        self.looks = 0

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
        while True:
            await asyncio.sleep(self.chance.expovariate(0.5))
            if self.chance.random() < 0.15:
                self.broker.signal(signal.SIGKILL)
                continue
            way = self.ways.way(self.chance.choice((*AGENTS, "mover", "producer")))
            await self.strike(way, most_s=6.0)

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
        self.live_through(self.live())
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
