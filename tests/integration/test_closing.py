"""Closed stages on a real broker: it copies each lap to the next, none out of the last, and never stalls."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.brokers import running

from squall.bus import log, register
from squall.bus.codec import encode
from squall.bus.connection import Connection, connect
from squall.bus.errors import ForbiddenError
from squall.bus.jetstream import call, create_stream, publish
from squall.bus.messages import RunTask, TaskResult
from squall.bus.stages import AGAIN, Stages
from squall.bus.subjects import Subjects, lane_for
from squall.bus.tasks import wait_until
from squall.bus.topology.ring import ring
from squall.services.patterns.ring import RingSpec, streams

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

SPEC = RingSpec(swarm="closed", agents=2, stages=("mine:one", "mine:two"), closed=True, laps_max=2, tasks=10)
SWARM = Subjects(SPEC.swarm)
CHAIN = Stages(swarm=SWARM, count=2, laps=2)
TOPOLOGY = ring(SPEC.swarm, stages=2, instances=1, laps=2)
LANE = lane_for("k")


@contextlib.asynccontextmanager
async def nodes(directory: Path) -> AsyncIterator[dict[str, Connection]]:
    async with (
        running(directory, topology=TOPOLOGY) as (broker, authority),
        contextlib.AsyncExitStack() as stack,
    ):
        found = {
            name: await stack.enter_async_context(
                connect(broker.url, name, authority.credentials(name, None))
            )
            for name in ("launcher", "producer", "agent-1", "agent-2", "observer")
        }
        for config in streams(SPEC):
            await create_stream(found["launcher"], config)
        yield found


async def subjects_in(launcher: Connection, plane: str) -> Counter[str]:
    """The subjects of all that is in a stream, and how often each is there."""
    asked = {"subjects_filter": ">"}
    told = await call(launcher, "STREAM", "INFO", SWARM.stream(plane), request=asked)
    return Counter(told["state"].get("subjects", {}))


async def written(node: Connection, task: str, lap: int, **facts: Any) -> str:
    """What comes of the last stage's result of a lap."""
    result = TaskResult(task=task, key="k", job="j", lane=LANE, lap=lap, status="ok", **facts)
    subject, alone = CHAIN.queue(2, node.name).place(result)
    return (await register.write(node, subject, result, timeout_s=5, alone=alone))[0]


async def test_the_broker_takes_each_lap_to_the_next_and_none_out_of_the_last(tmp_path: Path) -> None:
    async with nodes(tmp_path) as by_name:
        last, producer, launcher = by_name["agent-2"], by_name["producer"], by_name["launcher"]

        async def has(plane: str, *expected: str) -> None:
            await wait_until(
                lambda: subjects_in(launcher, plane),
                lambda found: found == Counter(expected),
                timeout_s=5,
                what=f"what {plane} should have",
            )

        for job in ("one", "two"):  # the same task twice, which is to hold up nobody
            task = RunTask(task="t", key="k", job=job)
            await publish(producer, SWARM.submit_in(job, "k", "t"), encode(task), timeout_s=5)
        first = CHAIN.tasks(1, LANE, "t", 1)
        await has("S1", first, first)
        assert await written(last, "t", 1, again=True) == "won"
        await has("S1", first, first, CHAIN.tasks(1, LANE, "t", 2))
        # In one lap it cannot end as well, nor in whatever lap go round again when it has ended there.
        assert await written(last, "t", 1) == "already"
        assert await written(last, "t", 2) == "won"
        assert await written(last, "t", 2, again=True) == "already"
        await has("RES", SWARM.register(LANE, "t"))
        # Somebody who keeps to nothing: an end in a second lap, and a way out of the last one.
        assert await written(last, "t", 1, again=True) == "already"
        assert await written(last, "u", 1) == "won"
        assert await written(last, "u", 2) == "won"
        assert await written(last, "v", 2, again=True) == "won"
        assert await written(last, "w", 1) == "won"
        await has("RES", *(SWARM.register(LANE, task) for task in ("t", "u", "u", "w")))
        assert await written(last, "w", 2, again=True) == "won"
        assert await written(last, "x", 1, again=True) == "won"
        await has("D0", *(CHAIN.register(0, LANE, *of) for of in (("t", 1), ("t", 1), ("t", 2), ("x", 2))))
        with pytest.raises(ForbiddenError):
            await written(by_name["agent-1"], "y", 1, again=True)
        result = TaskResult(task="y", key="k", job="j", status="ok")
        with pytest.raises(ForbiddenError):
            await register.write(last, SWARM.register(LANE, "y"), result, timeout_s=5)
        reader = log.read(by_name["observer"], SWARM.stream(CHAIN.done(2)), CHAIN.last(AGAIN), until=9)
        async with contextlib.aclosing(reader) as records:
            assert CHAIN.last(AGAIN, LANE, "t", 1) in [record.subject async for record in records]
