"""Stages in a row on virtual time: instances die or stand still, lanes move, ways are cut, the broker ends.

python -m tests.simulation.test_stages 1000 2000    with these seeds
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
from tests.integration.staged import AGENTS, STAGES, TOPOLOGY, Staged, in_order, instances_of
from tests.simulation.simulated import SimulatedBus

from squall.bus.connection import Connection
from squall.bus.ended import Done, Failed
from squall.bus.errors import RequestError
from squall.bus.messages import RunTask
from squall.bus.subjects import lane_for

TASKS = 150
GIVE_UP_S = 900.0


class World(SimulatedBus):
    """A broker, three stages of two instances, and somebody who moves their lanes."""

    def __init__(self, seed: int, *, strict: bool = True) -> None:
        super().__init__(seed, TOPOLOGY)
        self.rig = Staged(self.connected, self.handle, 0.1, strict, chance=random.Random(f"{seed}/instances"))
        self.running: dict[str, asyncio.Task[None]] = {}
        self.deaths = 0
        self.results: list[Any] = []

    async def handle(self, stage: int, task: RunTask, attempt: int) -> Done | Failed:
        """Some attempts fail; one that hangs for long is a process that stands still."""
        if self.chance.random() < 0.1:
            return Failed("no luck")
        if self.chance.random() < 0.01:
            await asyncio.sleep(self.chance.uniform(1.0, 5.0))
        return Done((task.task.encode(),), task.body + b"%d" % stage)

    async def keep(self, name: str) -> None:
        """An instance, which dies now and then, and is started anew."""
        while True:
            with contextlib.suppress(RequestError):  # nothing answers where the way is cut
                async with self.rig.instance(name) as serving:
                    await asyncio.wait({serving}, timeout=self.chance.expovariate(0.1))
                    assert not serving.done(), serving.exception()
                    self.deaths += 1
            await asyncio.sleep(self.chance.uniform(0.0, 2.0))

    async def move(self, mover: Connection) -> None:
        while True:
            stage = self.chance.randint(1, STAGES)
            there = instances_of(stage)
            members = self.chance.sample(there, self.chance.randint(1, len(there)))
            moving = asyncio.create_task(self.rig.route(mover, stage, *members))
            await asyncio.wait({moving}, timeout=self.chance.choice([0.05, 0.5, 5.0]))
            moving.cancel()
            await asyncio.wait({moving})
            await asyncio.sleep(self.chance.uniform(0.0, 2.0))

    async def trouble(self) -> None:
        while True:
            await asyncio.sleep(self.chance.expovariate(0.5))
            if self.chance.random() < 0.1:
                self.broker.signal(signal.SIGKILL)
                continue
            way = self.ways.way(self.chance.choice((*AGENTS, "router-1", "producer")))
            await self.strike(way, most_s=4.0)

    async def live(self) -> None:
        async with self.connected("router-1") as mover, self.connected("producer") as producer:
            await self.rig.make()
            await self.rig.route_all(mover)
            works = [self.move(mover), self.trouble(), *map(self.keep, AGENTS)]
            beside = [asyncio.create_task(work) for work in works]
            async with asyncio.timeout(GIVE_UP_S):
                await self.rig.submit(producer, TASKS, pause_s=0.1)
            for task in beside:
                assert not task.done(), task.exception()
                task.cancel()
            await asyncio.wait(set(beside))
            for name in (*AGENTS, "router-1", "producer"):
                await self.ways.way(name).recreate()
            await self.end(mover)

    async def end(self, mover: Connection) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for name in AGENTS:
                await stack.enter_async_context(self.rig.instance(name))
            async with asyncio.timeout(GIVE_UP_S):
                while True:
                    with contextlib.suppress(RequestError):
                        await self.rig.route_all(mover)
                        break
                    await asyncio.sleep(0.2)
            async with self.connected("observer") as observer:
                self.results = await self.rig.all_done(observer, GIVE_UP_S)

    def run(self) -> None:
        self.live_through(self.live())
        assert Counter(task for task, _ in self.results).most_common(1)[0][1] == 1
        assert len(self.results) == self.rig.submitted
        ok = [result for _, result in self.results if result.status == "ok"]
        assert len(ok) > 0.9 * len(self.results)
        assert all(result.value == b"0123" for result in ok)
        assert all(result.lane == lane_for(result.key) for _, result in self.results)
        if self.rig.strict:
            assert in_order(self.results)


@pytest.mark.parametrize("seed", range(6))
def test_what_comes_in_comes_out_once_and_in_the_order_of_its_key(seed: int) -> None:
    World(seed).run()


@pytest.mark.parametrize("seed", range(2))
def test_where_any_order_will_do_all_comes_out_once(seed: int) -> None:
    World(seed, strict=False).run()


if __name__ == "__main__":
    for number in range(*map(int, sys.argv[1:3])):
        world = World(number)
        world.run()
        print(number, world.deaths, dict(world.rig.counters))  # noqa: T201
