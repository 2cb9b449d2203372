"""Tasks in from a subject of the user's: each message is one task, acknowledged once the swarm has it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.integration.brokers import outside

from squall.bus import log as bus_log
from squall.bus.broker import Broker
from squall.bus.codec import decode
from squall.bus.connection import Connection, connect
from squall.bus.errors import DecodeError, RequestError
from squall.bus.jetstream import call
from squall.bus.messages import RunTask
from squall.bus.tasks import task_group, wait_until
from squall.services.errors import SpecError
from squall.services.intake import subject
from squall.services.intake.arrivals import arrived, begin
from squall.services.intake.subject import Source, look
from squall.services.node.history import History
from squall.services.node.service import Halt, NodeStart, Order
from squall.services.node.serving import Serving, serving
from squall.services.node.surroundings import Surroundings
from squall.services.patterns import pattern_of
from squall.services.roles import producer, taking
from squall.services.roles.taking import ACCEPTED
from squall.services.run.directory import RunDirectory
from squall.services.run.spec import Spec

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

SUBJECT = "orders.new"
NAME = f"nats:{SUBJECT}"
OWN = {"workload": "own", "tasks_from": NAME, "handler": "mine:decide"}


@dataclass
class Rig:
    """A swarm's broker without its agents, a broker of the user's, and a producer that takes from it."""

    b: Any
    broker: Broker
    user: Connection
    folder: Path
    incarnation: int = 0
    stood: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def spec(self) -> Spec:
        spec: Spec = self.b.spec
        return spec

    async def publish(self, *records: Any, headers: dict[str, str] | None = None) -> None:
        """Have each stored, or where no stream takes it sent."""
        for record in records:
            data = record if isinstance(record, bytes) else json.dumps(record).encode()
            await self.user.request(SUBJECT, data, timeout_s=5, headers=headers)

    @contextlib.asynccontextmanager
    async def producer(self) -> AsyncIterator[Serving]:
        """A start of the producer; leaving the block is its death."""
        self.incarnation += 1
        if self.incarnation == 1:
            begin(RunDirectory(self.folder))
        history = self.folder / "history.jsonl"
        start = NodeStart(
            spec=self.spec,
            node="producer",
            role="producer",
            incarnation=self.incarnation,
            url=self.b.broker.url,
            credentials=self.b.authority.credentials("producer", None),
            history=str(history),
            tasks=str(self.folder / "tasks.sqlite"),
        )

        async def stand_still() -> None:
            self.stood.set()
            await asyncio.Event().wait()

        with History(history, "producer", self.incarnation) as lines:
            async with serving(
                start,
                pattern_of(self.spec),
                lines,
                answer=lambda answer: None,
                around=Surroundings(stand_still=stand_still),
            ) as node:
                yield node
                node._work.cancel()

    async def produce(self) -> None:
        """Produce to the end."""
        async with asyncio.timeout(30), self.producer() as node:
            await node._work

    def lines(self, kind: str) -> list[str]:
        """The tasks of which the history has a line of ``submit`` of this kind."""
        lines = map(json.loads, (self.folder / "history.jsonl").read_text().splitlines())
        return [line["task"] for line in lines if (line["op"], line["type"]) == ("submit", kind)]

    async def accepted(self, count: int) -> None:
        async def so_far() -> int:
            return len(set(self.lines("ok")))

        await wait_until(so_far, lambda seen: seen >= count, timeout_s=20, what=f"{count} accepted")

    async def stored(self) -> Counter[str]:
        """How often the swarm's broker holds each task, without the ends of jobs."""
        stream, found = self.b.swarm.stream("IN"), Counter[str]()
        async with self.b.connect("observer") as observer:
            state = await bus_log.state(observer, stream)
            reading = bus_log.read(observer, stream, self.b.swarm.ingress, after=0, until=state["last_seq"])
            async with contextlib.aclosing(reading) as records:
                async for record in records:
                    with contextlib.suppress(DecodeError):
                        found[decode(record.data, RunTask).task] += 1
        return found

    async def consumer(self) -> dict[str, Any]:
        info = await call(self.user, "CONSUMER", "INFO", "ORDERS", self.spec.source.durable)
        return {name: info[name] for name in ("num_ack_pending", "num_pending")}

    def aside(self) -> list[tuple[int, str]]:
        file = self.folder / "set-aside.jsonl"
        lines = map(json.loads, file.read_text().splitlines() if file.exists() else ())
        return [(line["sequence"], line["reason"]) for line in lines]


RigMaker = Callable[..., contextlib.AbstractAsyncContextManager[Rig]]


@pytest.fixture
def rig(bus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RigMaker:
    for module in (subject, taking):
        monkeypatch.setattr(module, "ACK_WAIT_S", 2.0)

    @contextlib.asynccontextmanager
    async def made(*, stream: bool = True, **changes: Any) -> AsyncIterator[Rig]:
        store = json.dumps(str(tmp_path / "store"))
        config = f"jetstream {{ store_dir: {store} }}" if stream else ""
        async with outside(tmp_path / "users", config) as broker, connect(broker.url, "user") as user:
            if stream:
                await make_stream(user)
            async with bus(**{**OWN, "tasks_server": broker.url, **changes}) as b:
                yield Rig(b, broker, user, tmp_path)

    return made


async def make_stream(user: Connection, **more: Any) -> None:
    config = {"name": "ORDERS", "subjects": ["orders.>"], "storage": "file", "duplicate_window": 0, **more}
    await call(user, "STREAM", "CREATE", "ORDERS", request=config)


def records(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"id": f"t-{n}", "key": f"k-{n % 3}", "body": {"n": n}} for n in range(first, first + count)]


def named(count: int) -> Counter[str]:
    return Counter(f"t-{n}" for n in range(count))


DONE = {"num_ack_pending": 0, "num_pending": 0}


async def test_each_message_is_one_task_and_what_is_none_stops_nobody(rig: RigMaker) -> None:
    async with rig(tasks=12) as r:
        good = records(12)
        other = {**good[1], "body": "another"}
        await r.publish(*good[:6], good[2], b"nonsense", {"body": 1}, other, *good[6:])
        await r.produce()
        assert await r.stored() == named(12)
        assert Counter(r.lines("ok")) == named(12)
        assert r.aside() == [
            (8, "is not JSON: JSON is malformed: invalid character (byte 4)"),
            (9, "is no task: it has no `key`"),
            (10, "has the id 't-1' of an earlier one, and differs from it"),
        ]
        assert await r.consumer() == DONE
        came = arrived(r.folder)
        assert (came.taken.tasks, came.taken.repeated, came.taken.aside, came.dropped) == (12, 1, 3, 0)
        assert came.taken.first == f"message 8 {r.aside()[0][1]}"


async def test_what_has_one_key_is_accepted_in_its_order_and_holds_up_no_other(
    rig: RigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep_until, slept = producer._sleep_until, list[float]()

    async def first_takes_longer(due_s: float, stop: asyncio.Event) -> None:
        slept.append(due_s)
        await sleep_until(due_s + (0.5 if len(slept) == 1 else 0.0), stop)

    monkeypatch.setattr(producer, "_sleep_until", first_takes_longer)
    async with rig(tasks=12) as r:
        await r.publish(*records(12))
        await r.produce()
        stored = [*await r.stored()]
        for key in range(3):
            assert [task for task in stored if int(task[2:]) % 3 == key] == [
                f"t-{n}" for n in range(key, 12, 3)
            ]
        assert stored.index("t-0") == 8  # behind all of the other two keys


async def test_so_many_are_taken_and_the_rest_is_left_for_whoever_comes_next(
    rig: RigMaker, bus: Any, tmp_path: Path
) -> None:
    async with rig(tasks=5) as r:
        await r.publish(*records(9))
        await r.produce()
        assert await r.stored() == named(5)
        assert await r.consumer() == {"num_ack_pending": 0, "num_pending": 4}
        await left_to_another(r, bus, tmp_path, 4, named(9) - named(5))


async def left_to_another(r: Rig, bus: Any, folder: Path, tasks: int, left: Counter[str]) -> None:
    """See that another swarm that takes so many takes what was left, and nothing else."""
    async with bus(**{**OWN, "swarm": "second", "tasks_server": r.broker.url, "tasks": tasks}) as b:
        (folder / "second").mkdir()
        second = Rig(b, r.broker, r.user, folder / "second")
        await second.produce()
        assert await second.stored() == left
        assert await second.consumer() == DONE


async def test_its_id_is_the_header_else_the_records_else_its_place(rig: RigMaker) -> None:
    async with rig(tasks=3) as r:
        await r.publish({"id": "mine", "key": "a", "body": 1}, headers={"Nats-Msg-Id": "header"})
        await r.publish({"id": "mine", "key": "a", "body": 2}, {"key": "a", "body": 3})
        await r.produce()
        header, mine, place = r.lines("ok")  # of one key, so in their order
        assert (header, mine) == ("header", "mine")
        assert place.startswith("orders-3-")


@pytest.mark.parametrize("nth", [1, 7])
async def test_a_producer_killed_between_accepted_and_acknowledged_runs_nothing_twice(
    rig: RigMaker, nth: int
) -> None:
    async with rig(tasks=20) as r:
        await r.publish(*records(20))
        async with r.producer() as node:
            node.obey(Order(halt=Halt(point=ACCEPTED, nth=nth)))
            async with asyncio.timeout(20):
                await r.stood.wait()
        assert (await r.consumer())["num_ack_pending"] > 0
        await r.produce()
        assert await r.stored() == named(20)
        assert await r.consumer() == DONE


async def test_a_full_ingress_is_waited_for_and_whoever_stops_gives_back(
    rig: RigMaker, bus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "CLOSE_PATIENCE_S", 0.5)
    async with rig(ingress_max=10, patience_s=0.1) as r:
        await r.publish(*records(30))
        async with r.producer() as node:
            await r.accepted(10)

            async def refusals() -> int:
                return node._service.counters["refusals"]

            await wait_until(refusals, lambda seen: seen > 60, timeout_s=20, what="offered again and again")
            assert r.lines("fail") == []
            node.obey(Order(stop=True))
            async with asyncio.timeout(40):
                await node.ended()
        assert await r.stored() == named(10)
        await left_to_another(r, bus, tmp_path, 20, named(30) - named(10))


async def test_a_broker_of_the_users_that_dies_and_returns_is_waited_for(rig: RigMaker) -> None:
    async with rig(tasks=30, rate_per_s=40.0) as r:
        await r.publish(*records(15))
        async with r.producer() as node, asyncio.timeout(40):
            await r.accepted(5)
            r.broker.signal(signal.SIGKILL)
            await r.user.connected()
            async with task_group() as tasks:
                tasks.start(publish_again(r, records(15, 15)))
                await node.ended()
        assert await r.stored() == named(30)
        assert await r.consumer() == DONE


async def publish_again(r: Rig, tasks: list[dict[str, Any]]) -> None:
    """Publish each until it is stored; the stream may have it twice, under its id."""
    for task in tasks:

        async def is_stored(task: dict[str, Any] = task) -> bool:
            with contextlib.suppress(RequestError):
                await r.publish(task)
                return True
            return False

        await wait_until(is_stored, bool, timeout_s=30, what="the stream to take a task")


async def test_what_no_stream_takes_comes_at_most_once_and_what_is_dropped_is_counted(
    rig: RigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "WAITING_MAX", 50)
    monkeypatch.setattr(producer, "CLOSE_PATIENCE_S", 0.5)
    async with rig(stream=False, ingress_max=20) as r:
        carried = await look(r.spec.source)
        assert "no stream takes nats:orders.new" in carried.limits(r.spec.source)[0]
        async with r.producer() as node:

            async def listens() -> bool:
                await r.user.publish(SUBJECT, json.dumps(records(1, 0)[0]).encode())
                return node._service.counters["offered"] > 0

            await r.user.publish(SUBJECT, b"first, to see that it listens")
            await wait_until(listens, bool, timeout_s=10, what="a first task")
            for record in records(300, 1):
                await r.user.publish(SUBJECT, json.dumps(record).encode(), confirm=False)
            await r.accepted(20)
            node.obey(Order(stop=True))
            async with asyncio.timeout(40):
                await node.ended()
        came = arrived(r.folder)
        assert len(await r.stored()) == 20
        assert came.dropped > 100
        assert came.taken.tasks + came.dropped == 301


# What cannot work.

DENIED = """
authorization {{ users: [{{ user: u, password: p, permissions: {{ publish: {{ deny: "{deny}" }} }} }}] }}
no_auth_user: u
"""


@pytest.mark.parametrize(
    ("deny", "says"),
    [
        ("$JS.API.STREAM.NAMES", "not allowed to reach $JS.API.STREAM.NAMES"),
        ("$JS.API.CONSUMER.CREATE.>", "not allowed to reach $JS.API.CONSUMER.CREATE.ORDERS."),
        ("$JS.API.CONSUMER.MSG.>", "not allowed to reach $JS.API.CONSUMER.MSG.NEXT.ORDERS."),
        ("$JS.ACK.>", "not allowed to reach $JS.ACK.ORDERS."),
    ],
)
async def test_a_right_that_is_missing_is_told_before_anything_starts(
    tmp_path: Path, deny: str, says: str
) -> None:
    store = json.dumps(str(tmp_path / "store"))
    config = f"jetstream {{ store_dir: {store} }}" + DENIED.format(deny=deny)
    async with outside(tmp_path / "users", config) as broker, connect(broker.url, "user") as user:
        await make_stream(user)
        with pytest.raises(SpecError) as raised:
            await look(Source(name=NAME, server=broker.url))
        assert says in str(raised.value)
        assert "rights" in raised.value.remedy


async def test_a_work_queue_that_another_takes_from_is_told(tmp_path: Path) -> None:
    store = json.dumps(str(tmp_path / "store"))
    async with (
        outside(tmp_path / "users", f"jetstream {{ store_dir: {store} }}") as broker,
        connect(broker.url, "user") as user,
    ):
        await make_stream(user, retention="workqueue")
        source = Source(name=NAME, server=broker.url)
        await look(source)
        with pytest.raises(SpecError) as raised:
            await look(Source(name=NAME, server=broker.url, consumer="another"))
        assert source.durable not in raised.value.remedy
        assert "see what consumers that stream has" in raised.value.remedy


async def test_a_broker_that_is_not_there_is_told() -> None:
    with pytest.raises(SpecError) as raised:
        await look(Source(name=NAME, server="nats://127.0.0.1:9"))
    assert "start that broker, or say where it is: [tasks] server" in raised.value.remedy


async def test_a_broker_that_lets_nobody_in_is_told(tmp_path: Path) -> None:
    async with outside(tmp_path / "users", "authorization { token: s3cr3t }") as broker:
        with pytest.raises(SpecError) as raised:
            await look(Source(name=NAME, server=broker.url))
        assert "does not let us in" in str(raised.value)
        assert "[tasks] credentials" in raised.value.remedy


def test_the_consumer_of_a_subject_is_always_the_same() -> None:
    assert Source(name=NAME).durable == Source(name=NAME, server="nats://elsewhere").durable
    assert Source(name="nats:orders-new").durable != Source(name=NAME).durable
    assert subject.CONSUMER.fullmatch(Source(name=f"nats:{'x' * 190}").durable)
