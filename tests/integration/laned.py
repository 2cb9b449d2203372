"""A broker with a work queue of lanes, agents that pull their own, and movers that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.brokers import running

from squall.bus.connection import Connection, connect
from squall.bus.errors import RequestError
from squall.bus.jetstream import create_stream, publish
from squall.bus.lane_moves import LOOK_S, look, settle
from squall.bus.lanes import ALL, Holder, LaneQueue, Route, is_settled
from squall.bus.pull import Delivery, Puller
from squall.bus.subjects import ANY, LANES, Subjects, every_ack, lane_of, last_token, next_message
from squall.bus.tasks import task_group, wait_until
from squall.bus.topology.administration import lane_mover, launcher
from squall.bus.topology.link import Node
from squall.bus.topology.model import Topology
from squall.bus.topology.rights import Permissions

SWARM = Subjects("laned")
WK = SWARM.stream("WK")
AGENTS = tuple(f"agent-{n}" for n in range(1, 5))
ACK_WAIT_S = 5.0

STREAM = {
    "name": WK,
    "subjects": [SWARM.queued(ANY, ANY, ANY)],
    "retention": "workqueue",
    "storage": "file",
    "max_bytes": 1 << 26,
}

QUEUE = LaneQueue(
    stream=WK,
    tasks=lambda lane: SWARM.queued(lane, ANY, ANY),
    config={"ack_policy": "explicit", "ack_wait": int(ACK_WAIT_S * 1e9), "max_ack_pending": 8},
)


def topology() -> Topology:
    mover = lane_mover(SWARM, "WK")
    pulls = Permissions((next_message(WK, ANY), every_ack(WK, ANY)))
    return Topology(
        pattern="laned",
        swarm=SWARM.swarm,
        nodes=(
            Node("launcher", "launcher"),
            Node("producer", "producer"),
            Node("mover", "mover"),
            *(Node(name, "agent") for name in AGENTS),
        ),
        links=(),
        administration={
            "launcher": launcher(),
            "producer": Permissions((SWARM.queued(ANY, ANY, ANY),)),
            "mover": mover,
            "agent": pulls,
        },
    )


class Killed(Exception):
    """A mover ended where it was to end."""


@dataclass
class Laned:
    """The queue and what became of its tasks.

    Attributes:
        done: How often each agent has done a task.
        order: By lane, the tasks in the order in which they were begun.
        crowded: Lanes that were seen with two owners.
        published: How many tasks are stored.
        enough: Set once no more is to be published.
    """

    url: str
    connect: Callable[[str], Any]
    done: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    order: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    crowded: set[str] = field(default_factory=set)
    published: int = 0
    enough: bool = False

    async def produce(self, producer: Connection, tasks: int, *, pause_s: float = 0.0) -> None:
        for _ in range(tasks):
            if self.enough:
                break
            number = self.published
            subject = SWARM.queued(str(number % LANES), "key", f"t-{number}")
            outcome = await publish(producer, subject, b"x", timeout_s=20)
            assert outcome.accepted
            self.published += 1
            if pause_s:
                await asyncio.sleep(pause_s)

    @contextlib.asynccontextmanager
    async def agent(self, name: str, *, work_s: float = 0.0) -> AsyncIterator[None]:
        """Somebody who does what its consumer delivers, once, and says so until the broker has heard it."""
        chance = random.Random(name)
        held: dict[int, Delivery] = {}
        finished: dict[int, None] = {}

        async def work(connection: Connection, delivery: Delivery) -> None:
            if delivery.sequence not in finished:
                self.order[lane_of(delivery.subject)].append(last_token(delivery.subject))
                await asyncio.sleep(chance.uniform(0, work_s))
                self.done[last_token(delivery.subject)][name] += 1
                finished[delivery.sequence] = None
            with contextlib.suppress(RequestError):
                newest = held[delivery.sequence].reply
                await connection.request(newest, b"+ACK", timeout_s=0.5)
            held.pop(delivery.sequence, None)
            puller.wake()

        async with self.connect(name) as connection, task_group() as tasks:

            def take(delivery: Delivery) -> None:
                if delivery.sequence in held:
                    held[delivery.sequence] = delivery
                    return
                held[delivery.sequence] = delivery
                tasks.start(work(connection, delivery))

            puller = Puller(connection, WK, name, take, lambda: 8 - len(held))
            tasks.daemon(puller.run())
            yield

    @contextlib.asynccontextmanager
    async def silent(self, name: str, count: int) -> AsyncIterator[tuple[Connection, list[Delivery]]]:
        """Somebody who does nothing with what it is delivered; as much as is to be published."""
        held: list[Delivery] = []

        async def delivered() -> int:
            return len(held)

        async with self.connect(name) as connection, task_group() as tasks:
            tasks.daemon(Puller(connection, WK, name, held.append, lambda: 8 - len(held)).run())
            async with self.connect("producer") as producer:
                await self.produce(producer, count)
            await wait_until(delivered, lambda there: there >= count, timeout_s=20, what="what it is to hold")
            yield connection, held

    async def watch(self, watcher: Connection) -> None:
        """See from the broker's own configurations that no lane has two owners, one look after the other."""
        while True:
            owners = Counter(lane for holder in await look(watcher, QUEUE) for lane in holder.lanes)
            self.crowded |= {lane for lane, count in owners.items() if count > 1}

    async def move(self, mover: Connection, route: Route, *, patience_s: float = 20.0) -> None:
        async with asyncio.timeout(60):
            assert await settle(mover, QUEUE, route, patience_s=patience_s)
        holders = await look(mover, QUEUE)
        assert is_settled(route, holders)
        assert sum(len(holder.lanes) for holder in holders) == len(ALL)

    async def move_until_killed(self, mover: Connection, route: Route, calls: int, *, after: bool) -> bool:
        """Move until the mover has changed so many things, and end it before or after the next; whether it
        ended itself before that."""
        request, changed = mover.request, 0

        async def counted(subject: str, *what: Any, **how: Any) -> Any:
            nonlocal changed
            if ".CONSUMER.CREATE." not in subject and ".CONSUMER.DELETE." not in subject:
                return await request(subject, *what, **how)
            changed += 1
            if changed > calls and not after:
                raise Killed
            answer = await request(subject, *what, **how)
            if changed > calls:
                raise Killed
            return answer

        mover.request = counted  # type: ignore[method-assign]
        try:
            await settle(mover, QUEUE, route, patience_s=20.0)
        except Killed:
            return False
        finally:
            mover.request = request  # type: ignore[method-assign]
        return True

    async def looks(self, watcher: Connection, count: int) -> list[list[Holder]]:
        """What so many looks show; between any two a mover that waits has had time for one of its own."""
        looked: list[list[Holder]] = []

        async def again() -> int:
            looked.append(await look(watcher, QUEUE))
            return len(looked)

        await wait_until(
            again, lambda done: done >= count, timeout_s=20, what="all looks", every_s=2 * LOOK_S
        )
        return looked

    async def some_done(self, least: int) -> None:
        async def count() -> int:
            return len(self.done)

        await wait_until(count, lambda done: done >= least, timeout_s=60, what="some tasks done")

    async def all_done(self) -> None:
        async def count() -> int:
            return len(self.done)

        await wait_until(count, lambda done: done >= self.published, timeout_s=60, what="all tasks done")


@contextlib.asynccontextmanager
async def laned(directory: Path) -> AsyncIterator[Laned]:
    async with running(directory, topology=topology()) as (broker, authority):

        def connected(node: str) -> contextlib.AbstractAsyncContextManager[Connection]:
            return connect(broker.url, node, authority.credentials(node, None))

        async with connected("launcher") as launches:
            await create_stream(launches, STREAM)
        yield Laned(broker.url, connected)
