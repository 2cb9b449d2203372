"""Stages in a row whose lanes move, on whatever broker: instances that are killed, and what comes out."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from squall.bus import attempts, log, register
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection
from squall.bus.ended import Done, Failed
from squall.bus.jetstream import create_stream, publish
from squall.bus.lane_moves import settle
from squall.bus.lane_order import HANDS_PER_SLOT, LaneTurns
from squall.bus.lanes import Route, spread
from squall.bus.messages import RunTask, TaskResult
from squall.bus.queue import Pacing
from squall.bus.stages import Stages, at_stage
from squall.bus.subjects import Subjects, lane_of, last_token
from squall.bus.tasks import wait_until
from squall.bus.topology.ring import ring, stage_of
from squall.bus.work_queue import WorkQueue
from squall.services.roles.guarded import Guarded

STAGES, INSTANCES = 3, 2
SWARM = Subjects("staged")
CHAIN = Stages(swarm=SWARM, count=STAGES)
TOPOLOGY = ring(SWARM.swarm, stages=STAGES, instances=INSTANCES)
PACING = Pacing(ack_wait_s=1.0, attempts=4, retry_base_s=0.05, retry_cap_s=0.2)
AGENTS = tuple(f"agent-{n}" for n in range(1, STAGES * INSTANCES + 1))
SLOTS = 4
KEYS = tuple(f"k{n}" for n in range(7))

STREAMS: list[dict[str, Any]] = [
    {
        "name": SWARM.stream("IN"),
        "subjects": [SWARM.ingress],
        "storage": "file",
        "max_bytes": 1 << 26,
        "duplicate_window": 120 * 10**9,
    },
    *CHAIN.streams(queue_bytes_max=1 << 26, register_bytes_max=1 << 26),
    register.stream_config(SWARM.stream("RES"), SWARM.registers, bytes_max=1 << 26),
    attempts.stream_config(SWARM, marks_max=10_000),
]

Handle = Callable[[int, RunTask, int], Awaitable[Done | Failed]]


async def passed(step: str) -> None:
    """No step is one to halt at."""


@dataclass
class Staged:
    """The stages, and what was seen.

    Attributes:
        connect: Connects a node.
        handle: Makes an attempt at a stage.
        work_s: The longest that one takes.
        begun: By stage and lane, the tasks whose attempts were begun, in order.
        counters: What the workers counted, all together.
        guard: Makes what is before the attempts of an instance of a stage, given its turns.
    """

    connect: Callable[[str], Any]
    handle: Handle | None = None
    work_s: float = 0.02
    strict: bool = True
    endless: bool = False
    begun: dict[tuple[int, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    counters: Counter[str] = field(default_factory=Counter)
    guard: Callable[[str, int, LaneTurns | None], Guarded | None] | None = None
    epoch: int = 0
    submitted: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    async def make(self) -> None:
        async with self.connect("launcher") as launches:
            for config in STREAMS:
                await create_stream(launches, config)

    async def submit(self, producer: Connection, tasks: int, *, pause_s: float = 0.0) -> None:
        for _ in range(tasks):
            key, number = KEYS[self.submitted % len(KEYS)], self.submitted // len(KEYS) + 1
            task = RunTask(task=f"{key}-{number}", key=key, job="j", number=number, body=b"0")
            subject = SWARM.submit_in("j", key, task.task)
            outcome = await publish(producer, subject, encode(task), timeout_s=60, message_id=task.task)
            assert outcome.accepted
            self.submitted += 1
            if pause_s:
                await asyncio.sleep(pause_s)

    @contextlib.asynccontextmanager
    async def instance(self, name: str) -> AsyncIterator[asyncio.Task[None]]:
        """An instance at work; cancelling the task is its death."""
        async with self.connect(name) as connection:
            serving = asyncio.create_task(self.serve(connection, asyncio.Event()))
            try:
                yield serving
            finally:
                serving.cancel()
                await asyncio.wait({serving})

    async def serve(self, connection: Connection, stop: asyncio.Event) -> None:
        stage = stage_of(connection.name, STAGES)

        async def run(task: RunTask, attempt: int) -> Done | Failed:
            self.begun[stage, task.key].append(task.task)
            await asyncio.sleep(self.chance.uniform(0, self.work_s))
            if self.handle is not None:
                return await self.handle(stage, task, attempt)
            return Done((task.task.encode(),), task.body + b"%d" % stage)

        waiting = SWARM.stream(CHAIN.waiting(stage))
        hands = HANDS_PER_SLOT * SLOTS if self.strict else SLOTS
        turns = None
        if self.strict:
            turns = LaneTurns(connection, waiting, lambda lane: CHAIN.tasks(stage, lane), hands=hands)
        guarded = None if self.guard is None else self.guard(connection.name, stage, turns)
        work = WorkQueue(
            connection,
            SWARM,
            CHAIN.queue(stage, connection.name),
            guarded.around(run) if guarded else run,
            agent=connection.name,
            slots=SLOTS,
            hands=hands,
            pacing=PACING,
            observer=lambda op, kind, **facts: None,
            at=passed,
            counters=self.counters,
            chance=self.chance,
            complete=lambda result: at_stage(result, stage, STAGES),
            turns=guarded or turns,
            endless=self.endless,
        )
        await work.serve(stop, grace_s=2.0)

    async def route(self, mover: Connection, stage: int, *members: str, patience_s: float = 3.0) -> bool:
        """Give the lanes of a stage to some of its instances."""
        self.epoch += 1
        to = Route(epoch=self.epoch, owners=spread(members))
        return await settle(mover, CHAIN.lanes(stage, PACING, pending_max=64), to, patience_s=patience_s)

    async def route_all(self, mover: Connection) -> None:
        for stage in range(1, STAGES + 1):
            assert await self.route(mover, stage, *instances_of(stage))

    async def results(self, observer: Connection) -> list[tuple[str, TaskResult]]:
        """What stands in the registers of the last stage, in order."""
        state = await log.state(observer, SWARM.stream("RES"))
        found: list[tuple[str, TaskResult]] = []
        reading = log.read(observer, SWARM.stream("RES"), SWARM.registers, until=int(state["last_seq"]))
        async with contextlib.aclosing(reading) as records:
            async for record in records:
                assert lane_of(record.subject).isdecimal()
                found.append((last_token(record.subject), decode(record.data, TaskResult)))
        return found

    async def all_done(self, observer: Connection, within_s: float) -> list[tuple[str, TaskResult]]:
        await wait_until(
            lambda: log.messages(observer, SWARM.stream("RES")),
            lambda ended: ended >= self.submitted,
            timeout_s=within_s,
            what="a register of each task",
        )
        return await self.results(observer)


def instances_of(stage: int) -> list[str]:
    return [name for name in AGENTS if stage_of(name, STAGES) == stage]


def in_order(results: list[tuple[str, TaskResult]]) -> bool:
    """Whether the tasks of each key ended in the order of their numbers, without a gap."""
    by_key: defaultdict[str, list[int]] = defaultdict(list)
    for task, _ in results:
        key, number = task.rsplit("-", 1)
        by_key[key].append(int(number))
    return all(numbers == [*range(1, len(numbers) + 1)] for numbers in by_key.values())
