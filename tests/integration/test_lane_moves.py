"""Lanes move on a real broker: under load, wherever whoever moves them ends, and no task is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.integration.laned import AGENTS, QUEUE, WK, laned

from squall.bus.errors import RejectedError
from squall.bus.jetstream import FILTERS_OVERLAP, call
from squall.bus.lane_moves import look, pause, settle, take
from squall.bus.lanes import ALL, Make, Route, Shrink, spread
from squall.bus.pull import MISSING_CONSUMER_PAUSE_S, Puller
from squall.bus.tasks import task_group, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

SOME, MOVES = 20, 50
"""Moves of lanes from some to others, of which every second one is broken off, each time one step later."""


def route(epoch: int, *names: str, fast: bool = False) -> Route:
    return Route(epoch=epoch, owners=spread(names), fast=fast)


async def test_a_lane_moves_under_load_and_nobody_else_is_given_what_is_in_flight(tmp_path: Path) -> None:
    async with (
        laned(tmp_path) as rig,
        rig.connect("mover") as mover,
        rig.connect("producer") as producer,
        rig.connect("mover") as watcher,
    ):
        await rig.move(mover, route(1, AGENTS[0]))
        async with rig.agent(AGENTS[0], work_s=0.05), rig.agent(AGENTS[1]), task_group() as tasks:
            tasks.daemon(rig.watch(watcher))
            load = tasks.start(rig.produce(producer, 600, pause_s=0.002))
            await rig.some_done(60)
            await rig.move(mover, route(2, *AGENTS[:2]))
            await load
            await rig.all_done()
    assert rig.crowded == set()
    assert {name for by in rig.done.values() for name in by} == {*AGENTS[:2]}
    assert all(sum(by.values()) == 1 for by in rig.done.values())
    # In each lane they were begun in the order in which they were published.
    for begun in rig.order.values():
        assert begun == sorted(begun, key=lambda task: int(task[2:]))


@pytest.mark.parametrize("least", [SOME, pytest.param(MOVES, marks=pytest.mark.everything)])
async def test_wherever_a_mover_is_killed_the_next_one_goes_on_and_no_task_is_lost(
    tmp_path: Path, least: int
) -> None:
    turns = itertools.cycle([AGENTS[:2], AGENTS[1:]])
    async with (
        laned(tmp_path) as rig,
        rig.connect("mover") as mover,
        rig.connect("producer") as producer,
        rig.connect("mover") as watcher,
    ):
        await rig.move(mover, route(1, AGENTS[0]))
        async with contextlib.AsyncExitStack() as stack, task_group() as tasks:
            for name in AGENTS:
                await stack.enter_async_context(rig.agent(name, work_s=0.02))
            tasks.daemon(rig.watch(watcher))
            load = tasks.start(rig.produce(producer, 100_000, pause_s=0.004))
            epoch, points, moves = 1, 0, 0
            for before, after in pairwise(turns):
                if moves >= least:
                    break
                for calls in itertools.count():
                    await rig.move(mover, route(epoch + 1, *before))
                    epoch, moves = epoch + 2, moves + 2
                    to = route(epoch, *after)
                    if await rig.move_until_killed(mover, to, calls // 2, after=calls % 2 == 1):
                        break
                    points += 1
                    await rig.move(mover, to)
            rig.enough = True
            await load
            await rig.all_done()
    assert points >= 2 * 3  # each move changes a giver, a taker and one more
    assert moves >= least
    assert rig.crowded == set()
    assert len(rig.done) == rig.published


async def test_a_fast_move_waits_for_nobody_and_what_is_done_twice_is_known(tmp_path: Path) -> None:
    async with laned(tmp_path) as rig, rig.connect("mover") as mover:
        await rig.move(mover, route(1, AGENTS[0]))
        async with rig.silent(AGENTS[0], 8) as (_, held):
            await rig.move(mover, route(2, AGENTS[1], fast=True))
            async with rig.agent(AGENTS[1]):
                await rig.all_done()
    assert len(held) == 8
    assert all(by == {AGENTS[1]: 1} for by in rig.done.values())


async def test_one_that_holds_messages_is_waited_for_as_long_as_the_patience_lasts(tmp_path: Path) -> None:
    async with laned(tmp_path) as rig, rig.connect("mover") as mover, rig.connect("producer") as producer:
        await rig.move(mover, route(1, AGENTS[0]))
        async with rig.silent(AGENTS[0], 2) as (silent, held), task_group() as tasks:
            moving = tasks.start(rig.move(mover, route(2, AGENTS[1])))
            async with rig.connect("mover") as watcher:
                await wait_until(
                    lambda: look(watcher, QUEUE),
                    lambda holders: any(holder.left for holder in holders),
                    timeout_s=20,
                    what="somebody who leaves",
                )
                looked = await rig.looks(watcher, 5)
                assert not any(holder.name == AGENTS[1] for holders in looked for holder in holders)
                for delivery in held:
                    await silent.request(delivery.reply, b"+ACK", timeout_s=5)
                await moving
            await rig.produce(producer, 1)
            await rig.move(mover, route(3, AGENTS[2]), patience_s=0.2)
            # Nobody has acknowledged the last one, and its time is over.
            assert [holder.name for holder in await look(mover, QUEUE)] == [AGENTS[2]]


async def test_who_has_no_lane_is_delivered_none_and_the_broker_refuses_a_second_owner(
    tmp_path: Path,
) -> None:
    async with laned(tmp_path) as rig, rig.connect("mover") as mover, rig.connect("producer") as producer:
        await rig.move(mover, route(1, *AGENTS[:2]))
        wanted = route(1, *AGENTS[:2]).wanted()
        assert not await take(mover, QUEUE, Make(name=AGENTS[2], lanes=wanted[AGENTS[0]]), 1)
        assert {holder.name for holder in await look(mover, QUEUE)} == {*AGENTS[:2]}
        await take(mover, QUEUE, Shrink(name=AGENTS[0], lanes=frozenset()), 1)
        await rig.produce(producer, 100)
        infos = await call(mover, "CONSUMER", "LIST", WK)
        waiting = {info["name"]: info["num_pending"] for info in infos["consumers"]}
        assert waiting == {AGENTS[0]: 0, AGENTS[1]: len(wanted[AGENTS[1]])}


async def test_a_consumer_without_a_filter_is_put_right_by_whoever_looks_next(tmp_path: Path) -> None:
    async with laned(tmp_path) as rig, rig.connect("mover") as mover:
        await rig.move(mover, route(1, *AGENTS[:2]))
        config = {**QUEUE.config, "name": AGENTS[0], "durable_name": AGENTS[0], "filter_subjects": []}
        request = {"stream_name": WK, "config": config}
        await call(mover, "CONSUMER", "CREATE", WK, AGENTS[0], request=request)
        assert {holder.name: holder.lanes for holder in await look(mover, QUEUE)}[AGENTS[0]] == ALL
        await rig.move(mover, route(1, *AGENTS[:2]))


async def test_who_has_no_consumer_asks_for_it_now_and_then(tmp_path: Path) -> None:
    async with laned(tmp_path) as rig, rig.connect(AGENTS[0]) as agent, task_group() as tasks:
        publish, asked = agent.publish, asyncio.Queue[float]()
        loop = asyncio.get_running_loop()

        async def told(subject: str, data: bytes, **how: Any) -> None:
            asked.put_nowait(loop.time())
            await publish(subject, data, **how)

        agent.publish = told  # type: ignore[method-assign]
        tasks.daemon(Puller(agent, WK, AGENTS[0], lambda delivery: None, lambda: 1).run())
        async with asyncio.timeout(20):
            times = [await asked.get() for _ in range(5)]
    assert times[-1] - times[0] >= 4 * MISSING_CONSUMER_PAUSE_S


async def test_a_mover_that_may_not_act_any_more_changes_nothing(tmp_path: Path) -> None:
    async with laned(tmp_path) as rig, rig.connect("mover") as mover:
        await rig.move(mover, route(2, *AGENTS[:2]))
        before = await look(mover, QUEUE)
        assert not await settle(mover, QUEUE, route(1, AGENTS[2]), patience_s=1, may_act=lambda: False)
        assert await look(mover, QUEUE) == before
        # One that does not know it does no more harm than that its route is followed until the next look.
        assert await settle(mover, QUEUE, route(1, AGENTS[2]), patience_s=1)
        await rig.move(mover, route(2, *AGENTS[:2]))


async def test_a_broker_that_refuses_for_another_reason_is_heard(tmp_path: Path) -> None:
    async with laned(tmp_path) as rig, rig.connect("mover") as mover:
        wrong = QUEUE.__class__(stream=WK, tasks=QUEUE.tasks, config={"ack_policy": "none"})
        with pytest.raises(RejectedError) as refused:
            await settle(mover, wrong, route(1, *AGENTS), patience_s=1)
    assert refused.value.code not in (0, FILTERS_OVERLAP)


async def test_who_is_made_anew_while_lanes_are_paused_is_paused_until_the_same_time(tmp_path: Path) -> None:
    async with (
        laned(tmp_path) as rig,
        rig.connect("mover") as mover,
        rig.connect("producer") as producer,
    ):
        until_s = time.time() + 3.0
        queue = replace(QUEUE, paused_until_s=lambda: until_s)
        await rig.move(mover, route(1, AGENTS[0]))
        assert [await pause(mover, QUEUE, until_s), await pause(mover, QUEUE, until_s)] == [1, 0]
        assert await settle(mover, queue, route(2, *AGENTS[:2]), patience_s=1.0)
        listed = await call(mover, "CONSUMER", "LIST", WK, request={"offset": 0})
        left_s = [info["pause_remaining"] / 1e9 for info in listed["consumers"]]
        assert len(left_s) == 2
        assert max(left_s) - min(left_s) < 0.05
        async with rig.agent(AGENTS[0]), rig.agent(AGENTS[1]):
            await rig.produce(producer, 200)
            assert not rig.done or time.time() >= until_s
            await rig.all_done()
            assert time.time() >= until_s - 0.05
        assert await pause(mover, QUEUE, until_s) == 0  # it is over, and is not begun again
