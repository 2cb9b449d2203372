"""An exchange that writes everything down first and fills an order once; unless it is dumb."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from squall.services.trading.orders import Order
from squall.services.venue import BATCH_MAX, Offer, Venue, _read, application

ORDER = {"account": "a", "symbol": "s", "n": 1, "side": "buy", "quantity": 2, "price": 3.5}


def offer(order_id: str, **changes: Any) -> Offer:
    return Offer(order_id, msgspec.Raw(msgspec.json.encode({**ORDER, **changes})))


def rows(path: Path, query: str) -> list[Any]:
    database = sqlite3.connect(path)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "venue.sqlite"


@pytest.fixture
def venue(path: Path) -> Iterator[Venue]:
    made = Venue(path)
    yield made
    made.close()


def outcomes(venue: Venue, *offers: Offer) -> list[str]:
    return [answer.outcome for answer in venue.take(offers)]


def test_a_repeat_is_journalled_and_refused(venue: Venue, path: Path) -> None:
    assert outcomes(venue, offer("o1"), offer("o2")) == ["filled", "filled"]
    assert outcomes(venue, offer("o1"), offer("o1", quantity=9)) == ["duplicate", "duplicate"]
    assert rows(path, "SELECT count(*) FROM journal") == [(4,)]
    assert rows(path, "SELECT * FROM ledger") == [
        ("o1", "a", "s", 1, "buy", 2, 3.5),
        ("o2", "a", "s", 1, "buy", 2, 3.5),
    ]


def test_a_kill_between_journal_and_fill_is_repaired_by_the_repeat(path: Path) -> None:
    first = Venue(path)
    offers = [offer("o1")]
    first.journal(offers, [_read(one) for one in offers])
    first.close()  # died before it filled
    second = Venue(path)
    assert outcomes(second, *offers) == ["filled"]
    second.close()
    assert rows(path, "SELECT count(*) FROM journal") == [(2,)]
    assert rows(path, "SELECT count(*) FROM fills") == [(1,)]


def test_a_dumb_venue_fills_whatever_comes(path: Path) -> None:
    dumb = Venue(path, dumb=True)
    assert outcomes(dumb, offer("o1"), offer("o1")) == ["filled", "filled"]
    dumb.close()
    assert rows(path, "SELECT count(*) FROM ledger") == [(2,)]


@pytest.mark.parametrize(
    "bad",
    [
        Offer("o1", msgspec.Raw(b'{"account": 1}')),
        Offer("o1", msgspec.Raw(b"[]")),
        offer("o1", quantity=-1),
        offer("o1", side="borrow"),
        offer("o1", price="dear"),
        offer(""),
        offer("x" * 257),
    ],
)
def test_what_is_no_order_is_journalled_and_rejected(venue: Venue, path: Path, bad: Offer) -> None:
    answer = venue.take([bad])[0]
    assert answer.outcome == "rejected"
    assert answer.reason
    assert rows(path, "SELECT account FROM journal") == [(None,)]
    assert rows(path, "SELECT * FROM fills") == []


@pytest.mark.anyio
async def test_the_door_refuses_what_is_malformed_or_too_much(venue: Venue) -> None:
    door = httpx.ASGITransport(app=application(venue))
    async with httpx.AsyncClient(transport=door, base_url="http://venue") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.post("/orders", content=b"{")).status_code == 400
        many = [{"order_id": str(n), "order": ORDER} for n in range(BATCH_MAX + 1)]
        assert (await client.post("/orders", json=many)).status_code == 413
        taken = (await client.post("/orders", json=many[:2])).json()
        assert [answer["outcome"] for answer in taken] == ["filled", "filled"]


def test_an_order_keeps_its_fields() -> None:
    assert msgspec.convert(ORDER, Order).price == 3.5
