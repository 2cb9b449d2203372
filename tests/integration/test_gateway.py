"""The gateway between a real broker and a real venue: whatever a register holds, the next is carried out."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from squall.bus.codec import encode
from squall.bus.connection import Connection
from squall.bus.jetstream import call
from squall.bus.messages import TaskResult
from squall.bus.subjects import GATEWAY
from squall.bus.tasks import task_group, wait_until
from squall.services.node.history import History
from squall.services.node.interference import Interfere, Interference
from squall.services.node.points import Points
from squall.services.node.service import NodeStart, Service, VenueToken
from squall.services.patterns import hierarchical
from squall.services.roles import gateway, venue

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

TOKEN = VenueToken("token-of-a-test")
ORDER: dict[str, Any] = {"account": "a", "symbol": "s", "n": 1, "side": "buy", "quantity": 2, "price": 3.5}
GOOD = msgspec.json.encode(ORDER)
ORDERS = 40


def register(task: str, *effects: bytes, **facts: Any) -> bytes:
    fields: dict[str, Any] = {"key": "k", "job": "j", "lane": "7", "agent": "agent-1", "status": "ok"}
    return encode(TaskResult(task=task, effects=effects, **{**fields, **facts}))


def with_many_effects() -> bytes:
    """What the encoder would not write: more effects than there may be."""
    return register("many", *[GOOD] * 300)


@dataclass
class Bench:
    """A gateway that serves, and what it serves between."""

    path: Path
    bus: Any
    service: Service
    agent: Connection
    kill_and_replace: Callable[[], Awaitable[None]]

    async def publish(self, task: str, data: bytes) -> None:
        await self.agent.request(self.bus.swarm.register("7", task), data, timeout_s=10)

    async def left(self) -> tuple[int, int]:
        """Registers not yet delivered, and not yet acknowledged."""
        async with self.bus.connect("observer") as observer:
            info = await call(observer, "CONSUMER", "INFO", self.bus.swarm.stream("RES"), GATEWAY)
        return info["num_pending"], info["num_ack_pending"]

    async def all_acknowledged(self) -> None:
        await wait_until(self.left, lambda left: left == (0, 0), timeout_s=30, what="acknowledgements")

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.path / "venue.sqlite")) as database:
            return database.execute(query).fetchall()

    def lines(self, op: str, kind: str) -> list[dict[str, Any]]:
        lines = map(msgspec.json.decode, (self.path / "history.jsonl").read_bytes().splitlines())
        return [line for line in lines if (line["op"], line["type"]) == (op, kind)]


@contextlib.asynccontextmanager
async def serving(bus: Any, path: Path, *, interfere: Interfere | None = None) -> AsyncIterator[Bench]:
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    ready = asyncio.Event()
    async with bus(ack_wait_s=2.0) as b, b.connect("gateway") as connection, b.connect("agent-1") as agent:
        with History(path / "history.jsonl", "gateway", 1) as history:
            async with task_group() as tasks:
                tasks.daemon(venue.serve(path / "venue.sqlite", token=TOKEN.value, ready=url.set_result))
                start = NodeStart(
                    spec=b.spec,
                    node="gateway",
                    role="gateway",
                    incarnation=1,
                    venue=await url,
                    venue_token=TOKEN,
                )
                if interfere is not None:
                    connection.interceptor = interference = Interference(lambda kind, on, struck: None)
                    interference.begin(interfere)
                service = Service(
                    start, hierarchical.PATTERN, connection, history, Points(lambda point: None), ready.set
                )
                serving = tasks.daemon(gateway.serve(service))
                await ready.wait()

                async def kill_and_replace() -> None:
                    serving.cancel()
                    await asyncio.wait({serving})
                    tasks.daemon(gateway.serve(service))

                yield Bench(path, b, service, agent, kill_and_replace)


async def test_whatever_a_register_holds_the_next_one_is_carried_out(bus: Any, tmp_path: Path) -> None:
    large = msgspec.json.encode({**ORDER, "why": "x" * 500_000})
    hostile = {
        "garbage": b"\xc1garbage",
        "nothing": b"",
        "many": with_many_effects(),
        "injected": register("injected", GOOD + b'},{"order_id":"future-0","order":' + GOOD),
        "broken": register("broken", b"{oops", GOOD),
        "deep": register("deep", b"[" * 100_000 + b"]" * 100_000),
        "surrogate": register("surrogate", msgspec.json.encode(ORDER).replace(b'"a"', b'"\\ud800 a b c"')),
        "wide": register("wide", msgspec.json.encode({**ORDER, "quantity": 2**63})),
        "partial": register("partial", b'{"account":"a"}'),
        "dead": register("dead", GOOD, status="dead", reason="because"),
        "named": register("future", GOOD),  # names another task than its subject does
        **{f"large-{n}": register(f"large-{n}", large) for n in range(10)},
    }
    async with serving(bus, tmp_path) as bench:
        for number, (task, data) in enumerate(hostile.items()):
            await bench.publish(task, data)
            await bench.publish(f"good-{number}", register(f"good-{number}", GOOD))
        await bench.all_acknowledged()
        counters = dict(bench.service.counters)
    good = {f"good-{number}-0" for number in range(len(hostile))}
    also = {f"large-{n}-0" for n in range(10)} | {"broken-1", "named-0"}
    assert {order_id for (order_id,) in bench.rows("SELECT order_id FROM fills")} == good | also
    assert bench.rows("SELECT order_id FROM journal WHERE order_id LIKE 'future%'") == []
    refused = {line["order_id"]: line for line in bench.lines("refuse", "fail")}
    assert {order_id: line["what"] for order_id, line in refused.items()} == {
        "injected-0": "unsendable",
        "broken-0": "unsendable",
        "deep-0": "unsendable",
        "surrogate-0": "unsendable",
        "wide-0": "rejected",
        "partial-0": "rejected",
    }
    assert all(line["task"] == order_id.rpartition("-")[0] for order_id, line in refused.items())
    assert sorted(line["task"] for line in bench.lines("deliver", "fail")) == ["garbage", "many", "nothing"]
    assert (counters["unreadable"], counters["refused"]) == (3, 6)
    assert counters.get("venue_errors", 0) == 0


async def test_an_order_that_was_set_aside_is_carried_out_though_the_gateway_dies_before(
    bus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its register is acknowledged once the venue has told what became of it, and not before."""
    take = venue.Venue.take

    async def ill(self: venue.Venue, offers: Any, at: Any) -> Any:
        if any(offer.order_id == "ill-0" for offer in offers):
            raise RuntimeError("the venue stumbles over this one")
        return await take(self, offers, at)

    async with serving(bus, tmp_path) as bench:
        monkeypatch.setattr(venue.Venue, "take", ill)
        await bench.publish("ill", register("ill", GOOD))
        await bench.publish("good", register("good", GOOD))
        # The one behind it goes on, so the first one is aside by then.
        await wait_until(bench.left, lambda left: sum(left) <= 1, timeout_s=30, what="the good order's end")
        assert bench.rows("SELECT order_id FROM fills") == [("good-0",)]
        await bench.kill_and_replace()
        monkeypatch.setattr(venue.Venue, "take", take)
        await bench.all_acknowledged()
        assert bench.rows("SELECT order_id FROM fills") == [("good-0",), ("ill-0",)]


async def test_what_is_held_for_longer_than_the_ack_wait_is_not_delivered_again(
    bus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = venue.Venue.take

    async def ill(self: venue.Venue, offers: Any, at: Any) -> Any:
        raise RuntimeError("the venue is ill")

    async with serving(bus, tmp_path) as bench:
        monkeypatch.setattr(venue.Venue, "take", ill)
        await bench.publish("t", register("t", GOOD))
        await asyncio.sleep(2.5 * bench.bus.spec.ack_wait_s)
        async with bench.bus.connect("observer") as observer:
            info = await call(observer, "CONSUMER", "INFO", bench.bus.swarm.stream("RES"), GATEWAY)
        assert (info["num_ack_pending"], info["num_redelivered"]) == (1, 0)
        monkeypatch.setattr(venue.Venue, "take", take)
        await bench.all_acknowledged()


async def test_what_comes_twice_while_it_is_held_is_sent_once(bus: Any, tmp_path: Path) -> None:
    async with serving(bus, tmp_path, interfere=Interfere(kind="duplicate", every=1)) as bench:
        for number in range(20):
            await bench.publish(f"t-{number}", register(f"t-{number}", GOOD))
        await bench.all_acknowledged()
    assert len(bench.rows("SELECT * FROM fills")) == len(bench.rows("SELECT * FROM journal")) == 20


async def test_orders_keep_the_order_of_their_registers_though_deliveries_are_late(
    bus: Any, tmp_path: Path
) -> None:
    """So they do while credentials are renewed, when two links deliver side by side."""
    async with serving(bus, tmp_path, interfere=Interfere(kind="late", every=5, delay_s=0.1)) as bench:
        for number in range(ORDERS):
            await bench.publish(f"t-{number}", register(f"t-{number}", GOOD))
        await bench.all_acknowledged()
    filled = bench.rows("SELECT order_id FROM fills ORDER BY rowid")
    assert filled == [(f"t-{number}-0",) for number in range(ORDERS)]
