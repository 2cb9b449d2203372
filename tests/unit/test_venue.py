"""An exchange that writes everything down first and fills an order once; unless it is dumb."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.services.node import process
from squall.services.node.points import Points
from squall.services.node.service import NodeStart, VenueToken
from squall.services.patterns import PATTERNS
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.roles.venue import (
    BATCH_MAX,
    BODY_BYTES_MAX,
    POINTS,
    Answer,
    Offer,
    Venue,
    _read,
    application,
)
from squall.services.rules import effects
from squall.services.trading.orders import ORDER_BYTES_MAX, Order, read_order

TOKEN = "token-of-a-test"
COUNTS = "SELECT (SELECT count(*) FROM journal), (SELECT count(*) FROM fills)"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
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
    return [answer.outcome for answer in taken(venue, offers)]


def taken(venue: Venue, offers: Sequence[Offer]) -> list[Answer]:
    return asyncio.run(venue.take(offers, Points(lambda point: None)))


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


NEEDS = "an order needs account, symbol, n, side, quantity and price; "
A_COUNT = "a whole number from 0 to 2^63 - 1"


def without(field: str) -> bytes:
    return msgspec.json.encode({name: value for name, value in ORDER.items() if name != field})


def changed(**changes: Any) -> bytes:
    return msgspec.json.encode({**ORDER, **changes})


BAD_ORDERS = [
    (b"[]", NEEDS + "this is a list of 0"),
    (b"null", NEEDS + "this is null"),
    (b'"buy"', NEEDS + "this is the text 'buy'"),
    (without("price"), NEEDS + "price is missing"),
    (
        without("quantity").replace(b"}", b',"quantitiy":1}'),
        NEEDS + "quantity is missing, and 'quantitiy' is none of them; did you mean quantity?",
    ),
    (without("side").replace(b"}", b',"Side ":"buy"}'), "side is missing, and 'Side ' is none of them"),
    (without("price").replace(b"}", b',"price\\u001b[2J":1}'), "did you mean price?"),
    (without("price").replace(b"}", b',"' + b"price" * 999 + b'":1}'), "price is missing"),
    (b"{" + b",".join(b'"price%d":1' % n for n in range(20_000)) + b"}", "account is missing"),
    (changed(account=1), NEEDS + "account must be a printable text of 1 to 128 characters, not the number 1"),
    (changed(quantity=-1), NEEDS + f"quantity must be {A_COUNT}, not the number -1"),
    (changed(quantity=1.0), NEEDS + f"quantity must be {A_COUNT}, not the number 1.0"),
    (changed(quantity=2**63), NEEDS + f"quantity must be {A_COUNT}, not the number 9223372036854775808"),
    (changed(n=2**64), NEEDS + f"n must be {A_COUNT}, not the number 18446744073709551616"),
    (b'{"n":-' + b"9" * 99 + without("n").replace(b"{", b",", 1), "more than 30 digits"),
    (changed(n=True), NEEDS + f"n must be {A_COUNT}, not true"),
    (changed(side="BUY"), NEEDS + "side must be buy, sell or none, not the text 'BUY'"),
    (changed(side=[]), NEEDS + "side must be buy, sell or none, not a list of 0"),
    (changed(price="dear"), NEEDS + "price must be a number, not the text 'dear'"),
    (changed(price=None), NEEDS + "price must be a number, not null"),
    (without("price").replace(b"}", b',"price":1e999}'), "Number out of range"),
    (without("price").replace(b"}", b',"price":1' + b"0" * 400 + b"}"), "out of range"),
    (without("price").replace(b"}", b',"price":NaN}'), "cannot be read as JSON"),
    (without("n").replace(b"}", b',"n":1' + b"0" * 9000 + b"}"), "out of range"),
    (changed(account=""), "account must be"),
    (changed(account="a" * 129), "account must be"),
    (changed(symbol="s\x00"), "symbol must be"),
    (changed(symbol="\x1b[2J"), "symbol must be"),
    (without("account").replace(b"}", b',"account":"\\ud800 and more"}'), "cannot be read as JSON"),
    (without("account").replace(b"}", b',"account":"\xff"}'), "cannot be read as JSON"),
    (changed(why=0).replace(b":0", b":" + b"[" * 100_000 + b"]" * 100_000), "cannot be read as JSON"),
    (changed(why="x" * ORDER_BYTES_MAX), "an order has at most 524,288 bytes"),
    (b"", "cannot be read as JSON"),
    (changed() + b"}", "cannot be read as JSON"),
]


@pytest.mark.parametrize(("body", "says"), BAD_ORDERS, ids=range(len(BAD_ORDERS)))
def test_what_is_no_order_is_journalled_and_rejected_with_its_field(
    venue: Venue, path: Path, body: bytes, says: str
) -> None:
    good = offer("good")
    answers = taken(venue, [Offer("bad", msgspec.Raw(body)), good])
    assert [answer.outcome for answer in answers] == ["rejected", "filled"]
    reason = answers[0].reason
    assert says in reason
    assert len(reason) <= 300
    assert reason.isprintable()
    assert rows(path, "SELECT order_id, account FROM journal") == [("bad", None), ("good", "a")]
    assert rows(path, "SELECT order_id FROM fills") == [("good",)]
    assert rows(path, "SELECT order_id, reason FROM refusals") == [("bad", reason)]


def test_the_largest_numbers_and_unknown_fields_are_taken(venue: Venue, path: Path) -> None:
    assert outcomes(venue, offer("o1", n=2**63 - 1, quantity=2**63 - 1, price=-37, why="cheap")) == ["filled"]
    assert rows(path, "SELECT n, quantity, price FROM fills") == [(2**63 - 1, 2**63 - 1, -37.0)]


@pytest.mark.parametrize("order_id", ["", "x" * 281, "a\nb", "\ud800", "\x00"])
def test_an_unusable_id_is_rejected_and_journalled(venue: Venue, path: Path, order_id: str) -> None:
    answer, good = taken(venue, [offer(order_id), offer("good")])
    assert (answer.outcome, good.outcome) == ("rejected", "filled")
    msgspec.json.encode(answer)  # it can be sent
    assert rows(path, "SELECT count(*) FROM journal") == [(2,)]


def test_a_repeated_rejection_is_written_down_once(venue: Venue, path: Path) -> None:
    bad = offer("o1", price=None)
    assert outcomes(venue, bad, bad) == ["rejected", "rejected"]
    assert outcomes(venue, bad) == ["rejected"]
    assert rows(path, "SELECT count(*) FROM refusals") == [(1,)]
    assert rows(path, "SELECT count(*) FROM journal") == [(3,)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
fields = st.dictionaries(st.sampled_from([*ORDER, "why"]), json_values)


@settings(max_examples=60, deadline=None)
@given(changes=fields, tail=st.binary(max_size=6), cut=st.integers(0, 400))
def test_reading_any_bytes_as_an_order_gives_one_that_can_be_stored_or_a_sentence(
    changes: dict[str, Any], tail: bytes, cut: int
) -> None:
    try:
        body = msgspec.json.encode({**ORDER, **changes})
    except UnicodeEncodeError:
        body = b"{"
    for candidate in (body, body[:cut], body[:cut] + tail):
        read = read_order(candidate)
        if isinstance(read, str):
            assert 0 < len(read) <= 300
            assert read.isprintable()
        else:
            with closing(sqlite3.connect(":memory:")) as database:
                row = (read.account, read.symbol, read.n, read.side, read.quantity, read.price)
                assert database.execute("SELECT ?, ?, ?, ?, ?, ?", row).fetchone() == row


def door(venue: Venue) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=application(venue, TOKEN))
    return httpx.AsyncClient(transport=transport, base_url="http://venue", headers=HEADERS)


@pytest.mark.anyio
async def test_the_door_refuses_what_is_malformed_or_too_much(venue: Venue, path: Path) -> None:
    async with door(venue) as client:
        assert (await client.get("/healthz")).status_code == 200
        for malformed in (b"{", b"[{}]", b"[1]", b'[{"order_id":1,"order":{}}]', b"[" * 100_000, b"\xff"):
            assert (await client.post("/orders", content=malformed)).status_code == 400
        many = [{"order_id": str(n), "order": ORDER} for n in range(BATCH_MAX + 1)]
        assert (await client.post("/orders", json=many)).status_code == 413
        assert (await client.post("/orders", content=b" " * (BODY_BYTES_MAX + 1))).status_code == 413
        assert rows(path, "SELECT * FROM journal") == []
        taken = (await client.post("/orders", json=many[:2])).json()
        assert [answer["outcome"] for answer in taken] == ["filled", "filled"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401),
        ({"Authorization": TOKEN}, 401),
        ({"Authorization": b"Bearer \xe9\xff"}, 401),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
    ],
)
async def test_only_who_knows_the_token_sends_orders_and_only_as_json(
    venue: Venue, path: Path, headers: dict[str, Any], status: int
) -> None:
    body = msgspec.json.encode([{"order_id": "o1", "order": ORDER}])
    async with door(venue) as client:
        response = await client.post("/orders", content=body, headers=headers)
    assert response.status_code == status
    assert TOKEN not in response.text
    assert rows(path, "SELECT count(*) FROM journal") == [(int(status == 200),)]


@pytest.mark.anyio
async def test_a_venue_that_fails_answers_with_errors_and_has_taken_every_other_request(
    venue: Venue, path: Path
) -> None:
    failing = asyncio.Event()
    body = msgspec.json.encode([{"order_id": "o1", "order": ORDER}])
    transport = httpx.ASGITransport(app=application(venue, TOKEN, failing=failing))
    async with httpx.AsyncClient(transport=transport, base_url="http://venue", headers=HEADERS) as client:

        async def asked() -> tuple[int, int]:
            answer = (await client.post("/orders", content=body)).status_code
            return answer, (await client.get("/healthz")).status_code

        failing.set()
        assert await asked() == (503, 503)
        assert rows(path, "SELECT count(*) FROM journal") == [(0,)]
        assert await asked() == (500, 503)
        assert rows(path, "SELECT count(*) FROM fills") == [(1,)]
        assert await asked() == (503, 503)
        failing.clear()
        assert await asked() == (200, 200)
    assert rows(path, "SELECT count(*) FROM journal") == [(2,)]
    assert rows(path, "SELECT count(*) FROM fills") == [(1,)]


@pytest.mark.anyio
async def test_it_can_be_struck_between_journal_fill_and_answer(
    venue: Venue, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    at = Points(lambda point: seen.append((point, *rows(path, COUNTS))))
    monkeypatch.setattr(os, "kill", lambda pid, number: None)
    for point in POINTS:
        at.halt(point, 1)
    await venue.take([offer("o1")], at)
    assert seen == [("venue.journaled", (1, 0)), ("venue.filled", (1, 1))]


def test_a_venue_without_a_token_does_not_open(venue: Venue) -> None:
    with pytest.raises(ValueError, match="token"):
        application(venue, "")


def test_what_a_node_is_told_does_not_show_the_token() -> None:
    start = NodeStart(
        spec=HierarchicalSpec(pattern="hierarchical"),
        node="n",
        role="venue",
        incarnation=1,
        venue_token=VenueToken(TOKEN),
    )
    assert TOKEN not in repr(start) + str(start) + str(start.venue_token)
    told, pattern = process.told(msgspec.json.encode(start))
    assert told == start
    assert told.venue_token == VenueToken(TOKEN)
    assert pattern is PATTERNS["hierarchical"]


def test_the_bounds_of_the_gateway_fit_those_of_the_venue() -> None:
    assert effects.BATCH_MAX <= BATCH_MAX
    assert effects.EFFECT_BYTES_MAX <= ORDER_BYTES_MAX
    assert max(effects.BATCH_BYTES_MAX, 6 * effects.EFFECT_BYTES_MAX + 4096) <= BODY_BYTES_MAX


def test_an_order_keeps_its_fields() -> None:
    assert msgspec.convert(ORDER, Order).price == 3.5
