"""A stage that fails for a while, behind breakers, on virtual time: it is left alone, probed, and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random

import pytest
from tests.integration.staged import AGENTS, Staged, in_order, instances_of
from tests.simulation.test_stages import World

from squall.bus.ended import Done, Failed
from squall.bus.lane_order import LaneTurns
from squall.bus.messages import RunTask
from squall.services.roles.guarded import Guarded
from squall.services.rules.breaker import Breaker, Changed, Settings, share

STAGE = 2
SETTINGS = Settings(
    window_s=6.0, calls_min=5, slow_s=1.0, wait_s=2.0, wait_max_s=8.0, probes=3, probe_s=5.0, clean_s=60.0
)
TASKS = 210
FAILS_S = (6.0, 26.0)
"""From when until when the stage fails."""


class Failing(World):
    """Three stages, of which the second depends on something that is away for 20 s."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.rig = Staged(
            self.connected,
            self.handle,
            0.05,
            endless=True,
            guard=self.guard,
            chance=random.Random(f"{seed}/instances"),
        )
        self.changes: list[tuple[str, Changed]] = []
        self.breakers: dict[str, Breaker] = {}
        self.trying: list[float] = []
        self.most = 0
        self.under_way = 0

    def guard(self, name: str, stage: int, turns: LaneTurns | None) -> Guarded | None:
        if stage != STAGE:
            return None
        there = instances_of(stage)
        mine = share(SETTINGS.probes, there, name).probes
        chance = random.Random(name)
        breaker = self.breakers[name] = Breaker(SETTINGS, chance, self.loop.time(), probes=mine)
        changed = lambda change: self.changes.append((name, change))  # noqa: E731
        return Guarded(breaker, turns, now_s=self.loop.time, changed=changed)

    @property
    def fails(self) -> bool:
        return FAILS_S[0] <= self.loop.time() < FAILS_S[1]

    async def handle(self, stage: int, task: RunTask, attempt: int) -> Done | Failed:
        if stage == STAGE and self.fails:
            self.trying.append(self.loop.time())
            opened = any(breaker.state == "half-open" for breaker in self.breakers.values())
            closed = any(breaker.state == "closed" for breaker in self.breakers.values())
            self.under_way += 1
            if opened and not closed:
                self.most = max(self.most, self.under_way)
            try:
                await asyncio.sleep(0.1)
            finally:
                self.under_way -= 1
            return Failed("what it depends on is away")
        return Done((task.task.encode(),), task.body + b"%d" % stage)

    async def live(self) -> None:
        async with (
            self.connected("router-1") as mover,
            self.connected("producer") as producer,
            self.connected("observer") as observer,
            contextlib.AsyncExitStack() as stack,
        ):
            await self.rig.make()
            await self.rig.route_all(mover)
            for name in AGENTS:
                await stack.enter_async_context(self.rig.instance(name))
            await self.rig.submit(producer, TASKS, pause_s=0.15)
            self.results = await self.rig.all_done(observer, 300.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_stage_that_fails_is_left_alone_probed_and_goes_on(seed: int) -> None:
    world = Failing(seed)
    world.loop.run(world.live())
    assert len(world.results) == TASKS
    assert all(result.status == "ok" for _, result in world.results)
    assert in_order(world.results)
    by_name = {name: [change for who, change in world.changes if who == name] for name in instances_of(STAGE)}
    for changes in by_name.values():
        assert [change.event for change in changes][:2] == ["trip", "waited"]
        assert changes[0].at_s - FAILS_S[0] <= SETTINGS.window_s / 2 + 1
        assert changes[-1].after == "closed"
        opened = max(change.opened for change in changes)
        within_s = SETTINGS.longest_s(opened) + SETTINGS.probe_s
        assert changes[-1].at_s - FAILS_S[1] <= within_s
    # While it fails, few are tried once the breakers have opened: as many probes as there may be each time.
    last_trip_s = max(changes[0].at_s for changes in by_name.values())
    opened_times = sum(sum(change.after == "open" for change in changes) for changes in by_name.values())
    assert sum(at_s > last_trip_s for at_s in world.trying) <= 2 * opened_times
    assert world.most <= SETTINGS.probes
    waits = [change.at_s for changes in by_name.values() for change in changes]
    assert all(after >= before for before, after in itertools.pairwise(sorted(waits)))


def test_without_a_breaker_it_is_tried_all_the_time() -> None:
    world = Failing(1)
    world.rig.guard = None
    world.loop.run(world.live())
    assert len(world.results) == TASKS
    assert len(world.trying) > 100
