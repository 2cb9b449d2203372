"""Stages on a real broker: what comes in comes out once and in order, whoever dies and wherever lanes go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.brokers import running
from tests.integration.staged import (
    AGENTS,
    CHAIN,
    KEYS,
    STAGES,
    SWARM,
    TOPOLOGY,
    Staged,
    in_order,
    instances_of,
)

from squall.bus import log
from squall.bus.connection import Connection, connect
from squall.bus.ended import Done, Failed
from squall.bus.errors import ForbiddenError
from squall.bus.jetstream import publish
from squall.bus.messages import RunTask
from squall.bus.stages import DEAD_BEFORE
from squall.bus.tasks import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

GIVE_UP_S = 60.0


@contextlib.asynccontextmanager
async def staged(directory: Path, **how: Any) -> AsyncIterator[Staged]:
    async with running(directory, topology=TOPOLOGY) as (broker, authority):

        def connected(node: str) -> AbstractAsyncContextManager[Connection]:
            return connect(broker.url, node, authority.credentials(node, None))

        rig = Staged(connected, **how)
        await rig.make()
        yield rig


@contextlib.asynccontextmanager
async def instances(rig: Staged, *names: str) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            await stack.enter_async_context(rig.instance(name))
        yield


async def test_tasks_pass_all_stages_in_order_while_instances_die_and_lanes_move(tmp_path: Path) -> None:
    async with (
        staged(tmp_path) as rig,
        rig.connect("router-1") as mover,
        rig.connect("producer") as producer,
        rig.connect("observer") as observer,
    ):
        await rig.route_all(mover)
        submitting = asyncio.create_task(rig.submit(producer, 210, pause_s=0.01))

        async def die_again_and_again(name: str) -> None:
            for life in range(2):
                async with rig.instance(name):
                    await asyncio.sleep(0.6 + 0.2 * life + 0.1 * AGENTS.index(name))

        async def move_again_and_again() -> None:
            for turn in range(3):
                stage = turn % STAGES + 1
                await rig.route(mover, stage, instances_of(stage)[turn % 2], patience_s=1.0)
                await rig.route(mover, stage, *instances_of(stage), patience_s=1.0)

        await asyncio.gather(move_again_and_again(), *map(die_again_and_again, AGENTS))
        await submitting
        async with instances(rig, *AGENTS):
            results = await rig.all_done(observer, GIVE_UP_S)
    assert len(results) == rig.submitted == 210
    assert in_order(results)
    assert {result.value for _, result in results} == {b"0123"}
    assert all(result.effects == (task.encode(),) for task, result in results)
    assert rig.counters["dead"] == 0


async def test_one_that_fails_is_skipped_once_its_attempts_are_used_up_and_is_dead_at_every_stage(
    tmp_path: Path,
) -> None:
    async def handle(stage: int, task: RunTask, attempt: int) -> Done | Failed:
        if task.task == "k0-2" and stage == 2:
            return Failed("cannot be done")
        return Done((b"effect",), task.body)

    async with (
        staged(tmp_path, handle=handle) as rig,
        rig.connect("router-1") as mover,
        rig.connect("producer") as producer,
        rig.connect("observer") as observer,
    ):
        await rig.route_all(mover)
        await rig.submit(producer, 4 * len(KEYS))
        async with instances(rig, *AGENTS):
            results = await rig.all_done(observer, GIVE_UP_S)
        dead = {task: result for task, result in results if result.status == "dead"}
        tries = [task for task in rig.begun[2, "k0"] if task == "k0-2"]
    assert in_order(results)
    assert set(dead) == {"k0-2"}
    assert dead["k0-2"].reason == DEAD_BEFORE + "cannot be done"
    assert len(tries) == 4  # as many as there are attempts
    assert "k0-2" not in rig.begun[3, "k0"]


async def test_one_that_must_not_be_skipped_holds_up_its_lane_and_no_other(tmp_path: Path) -> None:
    healed = asyncio.Event()

    async def handle(stage: int, task: RunTask, attempt: int) -> Done | Failed:
        if task.task == "k0-2" and stage == 2 and not healed.is_set():
            return Failed("cannot be done", final=True)
        return Done((b"effect",), task.body)

    async with (
        staged(tmp_path, handle=handle, endless=True) as rig,
        rig.connect("router-1") as mover,
        rig.connect("producer") as producer,
        rig.connect("observer") as observer,
    ):
        await rig.route_all(mover)
        await rig.submit(producer, 8 * len(KEYS))
        async with instances(rig, *AGENTS):
            others = 8 * (len(KEYS) - 1) + 1  # all of the other keys, and the first of this one

            async def ended() -> int:
                return int((await log.state(observer, SWARM.stream("RES")))["messages"])

            await wait_until(ended, lambda n: n == others, timeout_s=GIVE_UP_S, what="the other lanes")
            tries = rig.begun[2, "k0"].count("k0-2")
            assert {*rig.begun[2, "k0"]} == {"k0-1", "k0-2"}

            async def again() -> int:
                return rig.begun[2, "k0"].count("k0-2")

            await wait_until(again, lambda n: n > max(tries, 5), timeout_s=GIVE_UP_S, what="more attempts")
            healed.set()
            results = await rig.all_done(observer, GIVE_UP_S)
    assert in_order(results)
    assert all(result.status == "ok" for _, result in results)


async def test_an_instance_may_write_for_its_own_stage_only(tmp_path: Path) -> None:
    async with staged(tmp_path) as rig, rig.connect("agent-1") as first:
        assert (await publish(first, CHAIN.register(1, "3", "t"), b"x", timeout_s=5)).accepted
        for subject in (
            CHAIN.register(2, "3", "t"),
            CHAIN.tasks(1, "3", "t"),
            CHAIN.tasks(2, "3", "t"),
            SWARM.register("3", "t"),
        ):
            with pytest.raises(ForbiddenError):
                await publish(first, subject, b"x", timeout_s=5)
