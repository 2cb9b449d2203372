"""What tests of workers on a queue have in common: a pool of them, tasks, and what became of these."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from msgspec import UNSET, UnsetType

from squall.bus import log
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection
from squall.bus.ended import Done, Ended
from squall.bus.jetstream import Entry, publish_batch
from squall.bus.messages import Address, RunTask, TaskResult
from squall.bus.tasks import task_group, wait_until
from squall.bus.work_queue import WorkQueue
from squall.services.patterns import hierarchical

FAST = {"ack_wait_s": 1.0, "attempts": 3, "retry_base_s": 0.1, "retry_cap_s": 0.3, "agents": 2}
GIVE_UP_S = 40.0
Run = Callable[[RunTask, int], Awaitable[Ended]]


class Seen:
    """What workers told of, as a history would hold it."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, op: str, kind: Any, /, **facts: Any) -> None:
        self.lines.append((op, kind, facts))

    def runs(self, task: str) -> list[int]:
        return [f["attempt"] for op, _, f in self.lines if op == "run" and f["task"] == task]

    def commits(self, kind: str) -> list[str]:
        return [f["task"] for op, k, f in self.lines if op == "commit" and k == kind]


async def dispatch(
    b: Any, *tasks: str, data: bytes | None = None, address: Address | UnsetType = UNSET
) -> None:
    async with b.connect("coordinator-1") as coordinator:
        for task in tasks:
            message = RunTask(task=task, key="k", job="j", body=b"in", address=address)
            outcome = await publish_batch(
                coordinator,
                [Entry(b.swarm.dispatch("j", "k", task), data or encode(message), None if address else 0)],
                timeout_s=5,
            )
            assert outcome.accepted


@contextlib.asynccontextmanager
async def worker(b: Any, run: Run, seen: Seen, name: str = "agent-1") -> AsyncIterator[asyncio.Task[None]]:
    """A member of the pool; cancelling the task it yields is its death."""
    async with b.connect(name) as connection, task_group() as tasks:
        yield tasks.daemon(serve(b, connection, run, seen))


async def serve(b: Any, connection: Connection, run: Run, seen: Seen) -> None:
    await queue_of(b, connection, run, seen).serve(asyncio.Event(), grace_s=1)


async def passed(step: str) -> None:
    """No step is one to halt at."""


def queue_of(b: Any, connection: Connection, run: Run, seen: Seen, **more: Any) -> WorkQueue:
    return WorkQueue(
        connection,
        b.swarm,
        hierarchical.pool(b.swarm),
        run,
        agent=connection.name,
        slots=2,
        pacing=b.spec.pacing,
        observer=seen,
        at=passed,
        counters=Counter(),
        chance=random.Random(1),
        **more,
    )


async def registered(b: Any, observer: Connection, task: str) -> TaskResult:
    """The register of a task, once it is there."""

    async def look() -> log.Record | None:
        return await log.last(observer, b.swarm.stream("RES"), b.swarm.register("*", task))

    record = await wait_until(look, bool, timeout_s=GIVE_UP_S, what=f"the register of {task}")
    assert record is not None
    return decode(record.data, TaskResult)


async def emptied(b: Any, observer: Connection) -> None:
    """Wait until the queue holds nothing: every task was acknowledged."""

    async def look() -> int:
        return int((await log.state(observer, b.swarm.stream("WK")))["messages"])

    await wait_until(look, lambda left: left == 0, timeout_s=GIVE_UP_S, what="an empty queue")


async def succeed(task: RunTask, attempt: int) -> Done:
    return Done((task.task.encode(),))
