"""A star's broker, hubs that lead on it, and hands on the bus that stand for spokes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from squall.bus import log
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection
from squall.bus.jetstream import EXPECT_NEW, Outcome, publish, publish_once
from squall.bus.messages import DeadLetter, HubState, RunTask, TaskResult
from squall.bus.pull import Delivery, Puller
from squall.bus.subjects import ANY, last_token, matches
from squall.bus.tasks import task_group, wait_until
from squall.services.handlers import Handler
from squall.services.handlers.python import loaded
from squall.services.node.history import History
from squall.services.node.points import Points
from squall.services.node.service import NodeStart, Service
from squall.services.patterns import star
from squall.services.roles import hub

PATIENT_S = 30.0

MINE, ALSO_MINE = "momentum-sp500", "pairs-sp500"
"""Classes of the first of three spokes."""


class KilledError(Exception):
    """Stands for the end of a process between two steps."""


class KillingPoints(Points):
    """Ends the node that passes a point, by an error that nothing catches."""

    def __init__(self, point: str, nth: int = 1) -> None:
        super().__init__(lambda point: None)
        self._point, self._left = point, nth
        self.struck = asyncio.Event()

    def stops_at(self, point: str) -> bool:
        return point == self._point

    async def __call__(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                self.struck.set()
                raise KilledError(point)


class Told(History):
    """A history that is kept in memory."""

    def __init__(self, node: str) -> None:
        super().__init__(None, node, 1)
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, op: str, kind: Any, /, **facts: Any) -> None:
        self.lines.append((op, kind, facts))

    def of(self, op: str, kind: str = "ok") -> list[dict[str, Any]]:
        return [facts for o, k, facts in self.lines if (o, k) == (op, kind)]


def order(side: str, quantity: int, symbol: str = "wti") -> bytes:
    fields = {"account": "a", "symbol": symbol, "n": 1, "side": side, "quantity": quantity, "price": 2.5}
    return msgspec.json.encode(fields)


def service_of(
    bus: Any,
    connection: Connection,
    node: str,
    role: str,
    points: Points | None = None,
    handler: Handler | None = None,
) -> Service:
    start = NodeStart(spec=bus.spec, node=node, role=role, incarnation=1)
    points = points or Points(lambda point: None)
    found = loaded(handler) if handler is not None else None
    return Service(start, star.PATTERN, connection, Told(node), points, lambda: None, found)


@dataclasses.dataclass
class Star:
    """A broker with a star's streams, and hands on the bus."""

    bus: Any
    producer: Connection
    observer: Connection
    spoke: Connection

    def __post_init__(self) -> None:
        self.names = self.bus.swarm
        self.log = self.names.hub_seat.stream

    # What spokes and the producer do.

    async def submit(self, *tasks: str, kind: str = MINE, body: bytes = b"in", repeat: str = "") -> None:
        for task in tasks:
            message = RunTask(task=task, key="k", job=kind, body=body)
            subject = self.names.submit_in(kind, "k", task)
            name = task + repeat
            outcome = await publish(self.producer, subject, encode(message), message_id=name, timeout_s=30)
            assert outcome.accepted, outcome

    async def ask(
        self, task: str, *effects: bytes, data: bytes | None = None, by: str = "agent-1", **fields: Any
    ) -> Outcome:
        """Write a request, as the spoke whose connection this is."""
        result = TaskResult(
            **{"task": task, "key": "k", "job": MINE, "status": "ok", "effects": effects, **fields}
        )
        subject = self.names.request(by, task)
        data = encode(result) if data is None else data
        return await publish_once(self.spoke, subject, data, timeout_s=10, headers=EXPECT_NEW)

    # What there is.

    async def requests(self) -> list[tuple[int, str]]:
        records = await self.log_of(self.names.request(ANY, ANY))
        return [(record.sequence, last_token(record.subject)) for record in records]

    async def decisions(self) -> list[TaskResult]:
        records = await self.log_of(self.names.decision(ANY))
        return [decode(record.data, TaskResult) for record in records]

    async def log_of(self, subject: str) -> list[Delivery]:
        state = await log.state(self.observer, self.log)
        reading = log.read(self.observer, self.log, self.names.hub, until=state["last_seq"])
        async with contextlib.aclosing(reading) as records:
            return [record async for record in records if matches(subject, record.subject)]

    async def decided(self, count: int) -> list[TaskResult]:
        return await wait_until(
            self.decisions, lambda made: len(made) >= count, timeout_s=PATIENT_S, what=f"{count} decisions"
        )

    async def claimed(self) -> None:
        """Wait until somebody leads."""
        seat = self.names.hub_seat
        await wait_until(
            lambda: log.last(self.observer, self.log, seat.term), bool, timeout_s=PATIENT_S, what="a leader"
        )

    async def registers(self) -> list[str]:
        state = await log.state(self.observer, self.names.stream("RES"))
        reading = log.read(
            self.observer, self.names.stream("RES"), self.names.registers, until=state["last_seq"]
        )
        async with contextlib.aclosing(reading) as records:
            return [last_token(record.subject) async for record in records]

    async def letters(self, count: int) -> list[DeadLetter]:
        stream = self.names.stream("DLQ")
        await wait_until(
            lambda: log.state(self.observer, stream),
            lambda state: state["last_seq"] >= count,
            timeout_s=PATIENT_S,
            what="dead letters",
        )
        reading = log.read(self.observer, stream, self.names.dead_letters, until=count)
        async with contextlib.aclosing(reading) as records:
            return [decode(record.data, DeadLetter) async for record in records]

    async def state(self) -> HubState:
        record = await log.last(self.observer, self.log, self.names.hub_seat.snapshot)
        return decode(record.data, HubState) if record else HubState(write="")

    async def until(self, good: Callable[[HubState], object]) -> HubState:
        return await wait_until(self.state, good, timeout_s=PATIENT_S, what="the hub's state")

    async def idle(self) -> HubState:
        """Wait until everything is decided, by what the hub has stored."""
        ingress = await log.state(self.observer, self.names.stream("IN"))
        return await self.until(lambda state: state.ingress >= ingress["last_seq"] and not state.open)

    # Nodes.

    @contextlib.asynccontextmanager
    async def hub(self, node: str = "hub-1", points: Points | None = None) -> AsyncIterator[Service]:
        """A hub that stands for the lead inside the block, and gives it up after it, if it was not killed."""
        async with self.bus.connect(node) as connection, task_group() as tasks:
            service = service_of(self.bus, connection, node, "hub", points)

            async def serve() -> None:
                with contextlib.suppress(KilledError):
                    await hub.serve(service)

            serving = tasks.start(serve())
            yield service
            service.stop.set()
            await serving

    async def pull(self, spoke: str = "agent-1") -> Delivery:
        """One task of a spoke, which is not acknowledged."""
        taken: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()

        def take(delivery: Delivery) -> None:
            if not taken.done():
                taken.set_result(delivery)

        puller = Puller(self.spoke, self.names.stream("WK"), spoke, take, lambda: 1 - taken.done())
        async with task_group() as tasks, asyncio.timeout(PATIENT_S):
            tasks.daemon(puller.run())
            return await taken

    async def acknowledge(self, delivery: Delivery) -> None:
        await self.spoke.request(delivery.reply, b"+ACK", timeout_s=10)


@contextlib.asynccontextmanager
async def starred(bus: Any, **changes: Any) -> AsyncIterator[Star]:
    """A star without any node of its own."""
    spec = {"ack_wait_s": 1.0, "lease_s": 0.5, "agents": 3, "handler_timeout_s": 5.0, **changes}
    async with (
        bus(star.PATTERN, **spec) as b,
        b.connect("producer") as producer,
        b.connect("observer") as observer,
        b.connect("agent-1") as spoke,
    ):
        yield Star(b, producer, observer, spoke)


async def seen(value: Any) -> Any:
    """A value that is there already, for `wait_until`."""
    return value


def counted(made: list[TaskResult]) -> Counter[str]:
    return Counter(decision.task for decision in made)
