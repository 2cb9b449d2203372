"""A star's gateway between a real hub and a real venue: while nobody leads, nothing but reductions passes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.starred import PATIENT_S, Star, Told, order, seen, starred

from squall.bus.codec import encode
from squall.bus.connection import Connection
from squall.bus.jetstream import EXPECT_NEW, publish
from squall.bus.messages import AnnounceLeader, TaskResult
from squall.bus.tasks import task_group, wait_until
from squall.chaos.inject.toxiproxy.server import free_port
from squall.services.node.points import Points
from squall.services.node.service import NodeStart, Service, VenueToken
from squall.services.patterns import star
from squall.services.roles import gated_gateway, venue
from squall.services.roles.gated_gateway import Gate, Reductions

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

TOKEN = VenueToken("token-of-a-test")


def made(*effects: bytes, **fields: Any) -> TaskResult:
    return TaskResult(**{"task": "t", "key": "k", "job": "j", "status": "ok", "effects": effects, **fields})


BUY, SELL, OTHER = order("buy", 1), order("sell", 1), order("sell", 1, "sp500")

KEPT = {
    "an order that opens waits": ([made(BUY)], [False]),
    "a reduction passes": ([made(SELL, reduces=True)], [True]),
    "a reduction behind one that waits, waits": ([made(BUY), made(SELL, reduces=True)], [False, False]),
    "one of another symbol passes": ([made(BUY), made(OTHER, reduces=True)], [False, True]),
    "what is no order waits": ([made(b'"mail"'), made(SELL, reduces=True)], [False, True]),
    "of two symbols, one of which waits": (
        [made(BUY), made(SELL, OTHER, reduces=True), made(OTHER, reduces=True)],
        [False, False, False],
    ),
    "what is dead passes": ([made(status="dead")], [True]),
}


@pytest.mark.parametrize(("registers", "passes"), KEPT.values(), ids=KEPT)
def test_only_what_is_known_to_reduce_passes(registers: list[TaskResult], passes: list[bool]) -> None:
    admits = Reductions(Gate())
    assert [admits(sequence, register) for sequence, register in enumerate(registers, 1)] == passes


def test_what_was_overtaken_while_a_hub_led_is_not_known_to_reduce() -> None:
    """It was lost with a link, and comes again; what stands behind it was sent, and the venue holds something
    else than it was decided for."""
    gate = Gate()
    assert gate.opened(9, made(BUY))
    admits = Reductions(gate)
    passes = [
        admits(sequence, made(each, reduces=True)) for sequence, each in ((8, SELL), (10, SELL), (11, OTHER))
    ]
    assert passes == [False, False, True]


def test_where_one_before_may_be_missing_nothing_is_known_to_reduce() -> None:
    admits = Reductions(Gate(), complete=False)
    assert [admits(1, made(SELL, reduces=True)), admits(2, made(status="dead"))] == [False, True]


@contextlib.asynccontextmanager
async def forwarding(
    s: Star, path: Path, *, through: str = "", opened: asyncio.Event | None = None
) -> AsyncIterator[Service]:
    """A gateway at work.

    Args:
        through: Its way to the broker.
        opened: Nobody listens at the venue until this is set.
    """
    port = free_port()

    async def venue_there() -> None:
        if opened is not None:
            await opened.wait()
        await venue.serve(path / "venue.sqlite", token=TOKEN.value, port=port, ready=lambda url: None)

    async with s.bus.connect("gateway", url=through) as connection, task_group() as tasks:
        tasks.daemon(venue_there())
        start = NodeStart(
            spec=s.bus.spec,
            node="gateway",
            role="gateway",
            incarnation=1,
            venue=f"http://127.0.0.1:{port}",
            venue_token=TOKEN,
        )
        points = Points(lambda point: None)
        service = Service(start, star.PATTERN, connection, Told("gateway"), points, lambda: None)
        serving = tasks.daemon(gated_gateway.serve(service))
        yield service
        serving.cancel()


def filled(path: Path) -> list[str]:
    database = path / "venue.sqlite"
    if not database.exists():
        return []
    with contextlib.closing(sqlite3.connect(database)) as books:
        return [row[0] for row in books.execute("SELECT order_id FROM ledger ORDER BY order_id")]


async def until_filled(path: Path, *orders: str) -> None:
    await wait_until(
        lambda: seen(filled(path)), lambda ids: ids == [*orders], timeout_s=PATIENT_S, what=f"fills {orders}"
    )


async def decide(s: Star, hub: Connection, task: str, effect: bytes, *, reduces: bool) -> None:
    register = encode(made(effect, task=task, reduces=reduces))
    outcome = await publish(hub, s.names.decision(task), register, timeout_s=10, headers=EXPECT_NEW)
    assert outcome.accepted


async def announce(s: Star, hub: Connection, term: int) -> None:
    command = AnnounceLeader(holder="hub-1", term=term, token="token")
    await hub.publish(s.names.command("gateway", "lead"), encode(command), confirm=False)


async def test_while_nobody_leads_only_reductions_pass_and_the_rest_when_somebody_does(
    bus: Any, tmp_path: Path
) -> None:
    async with starred(bus) as s, s.bus.connect("hub-1") as hub, forwarding(s, tmp_path) as service:
        history: Any = service.history
        await wait_until(lambda: seen(history.of("degraded")), bool, timeout_s=PATIENT_S, what="degraded")
        await decide(s, hub, "t1", order("buy", 1), reduces=False)
        await decide(s, hub, "t2", order("sell", 1), reduces=True)  # of what t1 would buy
        await decide(s, hub, "t3", order("sell", 1, "sp500"), reduces=True)
        await until_filled(tmp_path, "t3-0")
        await announce(s, hub, 7)
        await until_filled(tmp_path, "t1-0", "t2-0", "t3-0")
        assert [line["what"] for line in history.of("degraded")][:2] == ["begin", "end"]
        await wait_until(
            lambda: seen(history.of("degraded")),
            lambda lines: len(lines) == 3,
            timeout_s=PATIENT_S,
            what="again",
        )
        await announce(s, hub, 6)  # deposed: what it says changes nothing
        await decide(s, hub, "t4", order("buy", 1), reduces=False)
        await decide(s, hub, "t5", order("sell", 1, "sp500"), reduces=True)
        await until_filled(tmp_path, "t1-0", "t2-0", "t3-0", "t5-0")
        assert service.counters["commands_refused"] == 1


async def test_a_reduction_does_not_overtake_what_was_lost_with_a_link(
    bus: Any, relaying: Any, tmp_path: Path
) -> None:
    """A register was on its way when the link died; the broker gives it again only an ack wait later."""
    async with (
        starred(bus) as s,
        s.bus.connect("hub-1") as hub,
        relaying(s.bus.broker.url) as relay,
        forwarding(s, tmp_path, through=relay.url) as service,
    ):
        history: Any = service.history
        await wait_until(lambda: seen(history.of("degraded")), bool, timeout_s=PATIENT_S, what="degraded")
        await decide(s, hub, "t0", order("sell", 1, "sp500"), reduces=True)
        await until_filled(tmp_path, "t0-0")
        relay.swallows = True
        await decide(s, hub, "t1", order("buy", 1), reduces=False)
        await relay.until_swallowed(b"t1", PATIENT_S)
        relay.swallows = False
        relay.reset()
        await decide(s, hub, "t2", order("sell", 1), reduces=True)  # of what t1 would buy
        await decide(s, hub, "t3", order("sell", 1, "sp500"), reduces=True)
        await until_filled(tmp_path, "t0-0", "t3-0")
        await announce(s, hub, 7)
        await until_filled(tmp_path, "t0-0", "t1-0", "t2-0", "t3-0")


async def test_what_had_no_answer_when_the_hub_was_lost_waits_like_all_else(bus: Any, tmp_path: Path) -> None:
    opened = asyncio.Event()
    async with (
        starred(bus) as s,
        s.bus.connect("hub-1") as hub,
        forwarding(s, tmp_path, opened=opened) as service,
    ):
        history: Any = service.history
        await announce(s, hub, 7)
        await decide(s, hub, "t1", order("buy", 1), reduces=False)
        await wait_until(
            lambda: seen(service.counters["venue_errors"]), bool, timeout_s=PATIENT_S, what="an error"
        )
        await wait_until(lambda: seen(history.of("degraded")), bool, timeout_s=PATIENT_S, what="degraded")
        await decide(s, hub, "t2", order("sell", 1), reduces=True)  # of what t1 would buy
        await decide(s, hub, "t3", order("sell", 1, "sp500"), reduces=True)
        opened.set()
        await until_filled(tmp_path, "t3-0")
        await announce(s, hub, 7)
        await until_filled(tmp_path, "t1-0", "t2-0", "t3-0")
