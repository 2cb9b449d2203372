"""A broker, a coordinator that leads on it, and hands on the bus that stand for agents."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from squall.bus import log
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection
from squall.bus.jetstream import EXPECT_NEW, Outcome, publish, publish_once
from squall.bus.messages import (
    CloseJob,
    CoordinatorState,
    DeadLetter,
    RunTask,
    TaskResult,
)
from squall.bus.pull import Delivery
from squall.bus.subjects import lane_for, lane_of, last_token
from squall.bus.tasks import task_group, wait_until
from squall.services.node.history import History
from squall.services.node.points import Points
from squall.services.node.service import NodeStart, Service
from squall.services.patterns import hierarchical
from squall.services.roles import coordinator

PATIENT_S = 60.0


@dataclasses.dataclass
class Swarm:
    """A broker, a coordinator that leads, and hands on the bus."""

    bus: Any
    service: Service
    producer: Connection
    agent: Connection
    observer: Connection
    pulled: asyncio.Queue[Delivery]

    def __post_init__(self) -> None:
        self.names = self.bus.swarm

    async def submit(self, task: str, *, key: str = "k", job: str = "j", body: bytes = b"in") -> Outcome:
        message = RunTask(task=task, key=key, job=job, body=body)
        subject = self.names.submit(last_token(f".{key}"))
        return await publish(
            self.producer, subject, msgspec.msgpack.encode(message), message_id=task, timeout_s=30
        )

    async def close(self, job: str = "j") -> None:
        await publish(self.producer, self.names.close(job), encode(CloseJob(job=job)), timeout_s=30)

    async def pull(self) -> Delivery:
        async with asyncio.timeout(PATIENT_S):
            return await self.pulled.get()

    async def acknowledge(self, delivery: Delivery) -> None:
        await self.agent.request(delivery.reply, b"+ACK", timeout_s=10)

    async def write(self, task: str, data: bytes, *, lane: str = "") -> Outcome:
        subject = self.names.register(lane or lane_for("k"), task)
        return await publish_once(self.agent, subject, data, timeout_s=10, headers=EXPECT_NEW)

    async def finish(self, delivery: Delivery, status: str = "ok") -> None:
        """Do what an honest agent does."""
        result = TaskResult(task="t", key="k", job="j", status=status, reason="as told")  # type: ignore[arg-type]
        await self.write(last_token(delivery.subject), encode(result), lane=lane_of(delivery.subject))
        await self.acknowledge(delivery)

    async def state(self) -> CoordinatorState:
        record = await log.last(self.observer, self.names.stream("JOB"), self.names.coordinator_seat.snapshot)
        return decode(record.data, CoordinatorState) if record else CoordinatorState(write="")

    async def until(self, good: Callable[[CoordinatorState], object]) -> CoordinatorState:
        return await wait_until(self.state, good, timeout_s=PATIENT_S, what="the coordinator's state")

    async def done(self, job: str = "j") -> CoordinatorState:
        return await self.until(lambda state: job in state.jobs and state.jobs[job].done)

    async def letters(self, count: int) -> list[DeadLetter]:
        stream = self.names.stream("DLQ")
        state = await wait_until(
            lambda: log.state(self.observer, stream),
            lambda state: state["last_seq"] >= count,
            timeout_s=PATIENT_S,
            what="dead letters",
        )
        reading = log.read(
            self.observer, stream, self.names.dead_letters, after=state["first_seq"] - 1, until=count
        )
        async with contextlib.aclosing(reading) as records:
            return [decode(record.data, DeadLetter) async for record in records]


def service_of(bus: Any, connection: Connection, node: str = "coordinator-1") -> Service:
    start = NodeStart(spec=bus.spec, node=node, role="coordinator", incarnation=1)
    return Service(
        start,
        hierarchical.PATTERN,
        connection,
        History(None, node, 1),
        Points(lambda point: None),
        lambda: None,
    )


@contextlib.asynccontextmanager
async def leading(bus: Any) -> AsyncIterator[Service]:
    """A coordinator that leads inside the block, and gives the lead up after it."""
    async with bus.connect("coordinator-1") as connection, task_group() as tasks:
        service = service_of(bus, connection)
        serving = tasks.start(coordinator.serve(service))
        yield service
        service.stop.set()
        await serving
