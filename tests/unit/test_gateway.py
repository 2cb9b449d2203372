"""What carries effects to the venue: one bad effect stops no other, and each ends once.

The venue is the real one, reached in process. Where a test needs a venue that fails,
a few lines stand before it, as a proxy or a foreign venue would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from squall.bus.messages import TaskResult
from squall.bus.tasks import wait_until
from squall.services.effects import forwarding
from squall.services.effects.forwarding import ASIDE_MAX, Forwarder
from squall.services.effects.port import Effect, Register
from squall.services.effects.venue import VenueClient
from squall.services.handlers import effect_id
from squall.services.node import venue_door, venue_http
from squall.services.node.history import History
from squall.services.roles import gateway
from squall.services.roles.venue import BODY_BYTES_MAX, Offer, Venue, _read, application
from squall.services.rules.effects import (
    BATCH_BYTES_MAX,
    BATCH_MAX,
    DEPTH_MAX,
    EFFECT_BYTES_MAX,
    batches,
    why_unsendable,
)

TOKEN = "token-of-a-test"
ORDER = {"account": "a", "symbol": "s", "n": 1, "side": "buy", "quantity": 2, "price": 3.5}
GOOD = msgspec.json.encode(ORDER)
INJECTED = GOOD + b'},{"order_id":"injected-0","order":' + GOOD

Handler = Callable[[Request], Any]


class Bench:
    """A forwarder between effects and a real venue.

    Attributes:
        ahead: Asked before the venue; a response of its own keeps the request from the venue.
        behind: Given the venue's response, to be answered in its place.
        posts: How often something was sent.
        settled: Tasks whose registers were settled after they had been set aside.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.venue = Venue(path / "venue.sqlite")
        self.ahead: Callable[[bytes], Response | None] = lambda body: None
        self.behind: Callable[[Response], Response] = lambda response: response
        self.posts = 0
        self.settled: list[str] = []
        self.keeps_back = False
        self.counters: Counter[str] = Counter()
        self.forwarder: Forwarder
        self._door: httpx.AsyncClient

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.posts += 1
        body = await Request(scope, receive).body()
        assert len(body) <= BODY_BYTES_MAX
        response = self.ahead(body)
        if response is None:
            response = self.behind(await self._through(scope, body))
        await response(scope, receive, send)

    async def _through(self, scope: Any, body: bytes) -> Response:
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        answer = await self._door.post("/orders", content=body, headers=headers)
        return Response(answer.content, answer.status_code)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        async def settled(register: Register) -> None:
            self.settled.append(register.task)

        door = httpx.ASGITransport(app=application(self.venue, TOKEN))
        self._door = httpx.AsyncClient(transport=door, base_url="http://venue")
        transport = httpx.ASGITransport(app=self.app)
        with History(self.path / "history.jsonl", "gateway", 1) as history:
            async with venue_http.door("http://venue", TOKEN, transport=transport) as to_venue:
                self.forwarder = Forwarder(
                    VenueClient(to_venue),
                    history,
                    self.counters,
                    settled,
                    keeps_back=lambda: self.keeps_back,
                    pause_first_s=0.001,
                )
                retrying = asyncio.ensure_future(self.forwarder.run())
                try:
                    yield self
                finally:
                    retrying.cancel()
                    await asyncio.wait([retrying])
                    await self._door.aclose()
                    self.venue.close()

    async def deliver(self, *bodies: bytes, task: str = "t", first: int = 1) -> list[Register]:
        """Each body as the effect of a task of its own: ``t-1``, ``t-2``…"""
        registers = []
        for number, body in enumerate(bodies, start=first):
            name = f"{task}-{number}"
            registers.append((Register(name, number), [(effect_id(name, 0), body)]))
        await self.forwarder.deliver(registers)
        return [register for register, _ in registers]

    def fills(self) -> list[str]:
        with closing(sqlite3.connect(self.path / "venue.sqlite")) as database:
            return [row[0] for row in database.execute("SELECT order_id FROM fills ORDER BY rowid")]

    def journal(self) -> list[str]:
        with closing(sqlite3.connect(self.path / "venue.sqlite")) as database:
            return [row[0] for row in database.execute("SELECT order_id FROM journal ORDER BY seq")]

    def refusals(self) -> list[dict[str, Any]]:
        lines = (self.path / "history.jsonl").read_bytes().splitlines()
        return [line for line in map(msgspec.json.decode, lines) if line["op"] == "refuse"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


UNSENDABLE = [
    (b"{oops", "one JSON value"),
    (b"", "one JSON value"),
    (b" ", "one JSON value"),
    (INJECTED, "trailing characters"),
    (GOOD + b",", "trailing characters"),
    (GOOD + GOOD, "trailing characters"),
    (GOOD + b"]", "trailing characters"),
    (b'"\\ud800"', "one JSON value"),
    (b'"\\ud800 and more text"', "one JSON value"),
    (b'"\\udc00"', "one JSON value"),
    (b'"\xff"', "one JSON value"),
    (b'"\xed\xa0\x80"', "one JSON value"),
    (b"NaN", "one JSON value"),
    (b'"\x00"', "one JSON value"),
    (b'"\\q"', "one JSON value"),
    (b"01", "one JSON value"),
    (b"[1,]", "one JSON value"),
    (b"Infinity", "one JSON value"),
    (b"\xef\xbb\xbf{}", "one JSON value"),
    (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "inside each other"),
    (b'{"a":' * 900 + b"1" + b"}" * 900, "inside each other"),
    (b"[" * 100_000 + b"]" * 100_000, "one JSON value"),
    (b"[" * 100_000, "one JSON value"),
    (b'"' + b"x" * EFFECT_BYTES_MAX + b'"', "at most"),
]


@pytest.mark.parametrize(("body", "says"), UNSENDABLE, ids=range(len(UNSENDABLE)))
def test_what_is_not_one_json_value_is_not_sent(body: bytes, says: str) -> None:
    reason = why_unsendable(body)
    assert says in reason
    assert len(reason) <= 300
    assert reason.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        b" null ",
        b"[]",
        b"1e999",
        b"1" * 5000,
        b'["\\"]", "\\\\", "[[[[["]',
        b'"\\ud83d\\ude00"',
        b'{"a":' * DEPTH_MAX + b'"}\\""' + b"}" * DEPTH_MAX,
        b"[" + b'{"]}":[[]]},' * 1000 + b"{}]",
        b"[" * DEPTH_MAX + b"]" * DEPTH_MAX,
        b"[" + b"[]," * 1000 + b"{}]",
        b'"' + b"[" * 1000 + b'"',
        b'"' + b"x" * (EFFECT_BYTES_MAX - 2) + b'"',
    ],
    ids=range(13),
)
def test_one_json_value_may_be_sent(body: bytes) -> None:
    assert why_unsendable(body) == ""


ALPHABET = b'{}[]",:0123456789.eE+-\\/utrfnalse \n\x00\x7f\xff\xc3\xa9\xed\xa0\x80'


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*(bytes([byte]) for byte in ALPHABET), GOOD, b'"\\u0041"']), max_size=12))
def test_what_may_be_sent_is_one_json_value_to_another_reader_as_well(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    if not why_unsendable(body):
        json.loads(body.decode(), parse_constant=pytest.fail)
        (read,) = msgspec.json.decode(b"[" + body + b"]", type=list[msgspec.Raw])
        assert bytes(read).strip() == body.strip()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, BATCH_BYTES_MAX // 3), max_size=40), st.integers(0, 600))
def test_batches_hold_all_orders_in_order_within_both_bounds(sizes: list[int], small: int) -> None:
    bodies = [b" " * size for size in sizes] + [b"{}"] * small
    orders = [Effect(Register("t", 1), effect_id("t", n), body) for n, body in enumerate(bodies)]
    cut = list(batches(orders))
    assert [order for batch in cut for order in batch] == orders
    for batch in cut:
        assert 1 <= len(batch) <= BATCH_MAX
        assert len(batch) == 1 or sum(len(order.body) for order in batch) <= BATCH_BYTES_MAX


@pytest.mark.anyio
async def test_an_injected_order_never_leaves(bench: Bench) -> None:
    async with bench.running():
        await bench.deliver(GOOD, INJECTED, GOOD)
    assert bench.fills() == bench.journal() == ["t-1-0", "t-3-0"]
    (line,) = bench.refusals()
    assert (line["what"], line["task"], line["order_id"]) == ("unsendable", "t-2", "t-2-0")


@pytest.mark.anyio
async def test_an_order_that_the_venue_rejects_spoils_no_other(bench: Bench) -> None:
    bad = msgspec.json.encode({**ORDER, "quantity": 2**63})
    async with bench.running():
        registers = await bench.deliver(GOOD, bad, GOOD)
        assert bench.posts == 1
    assert bench.fills() == ["t-1-0", "t-3-0"]
    assert [(line["order_id"], line["what"]) for line in bench.refusals()] == [("t-2-0", "rejected")]
    assert "quantity must be" in bench.refusals()[0]["reason"]
    assert [register.open for register in registers] == [0, 0, 0]


@pytest.mark.anyio
async def test_effects_as_large_as_results_are_all_taken(bench: Bench) -> None:
    large = msgspec.json.encode({**ORDER, "why": "x" * (EFFECT_BYTES_MAX - 200)})
    medium = msgspec.json.encode({**ORDER, "why": "x" * 30_000})
    async with bench.running():
        await bench.deliver(*[large] * 10, *[medium] * 250)
    assert len(bench.fills()) == 260
    assert bench.refusals() == []


@pytest.mark.anyio
@pytest.mark.parametrize("status", [400, 413, 415, 422, 499])
async def test_a_definite_refusal_is_cut_down_to_the_order_it_is_about(bench: Bench, status: int) -> None:
    marked = msgspec.json.encode({**ORDER, "why": "TOO BOLD"})
    bench.ahead = lambda body: Response("too bold\x1b[2J", status) if b"TOO BOLD" in body else None
    async with bench.running():
        registers = await bench.deliver(*[GOOD] * 100, marked, *[GOOD] * 99, marked)
        assert bench.posts < 40  # two times the logarithm, not one a body
        assert bench.counters["venue_errors"] == 0
    assert len(bench.fills()) == len(set(bench.fills())) == 199
    assert [line["order_id"] for line in bench.refusals()] == ["t-101-0", "t-201-0"]
    assert {line["what"] for line in bench.refusals()} == {"declined"}
    assert bench.refusals()[0]["reason"] == f"the venue answered {status}: too bold\\x1b[2J"
    assert not any(register.open for register in registers)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "failure", [500, 503, 401, 403, 404, 429, "reset", "garbage", "short", "foreign", "long"]
)
async def test_an_order_that_gets_no_answer_stops_no_other_and_is_kept(bench: Bench, failure: Any) -> None:
    marked = msgspec.json.encode({**ORDER, "why": "TOO HARD"})
    healed = False

    def ahead(body: bytes) -> Response | None:
        if healed or b"TOO HARD" not in body:
            return None
        match failure:
            case "reset":
                raise httpx.ReadError("connection reset")
            case "garbage":
                return Response(b"\xff{")
            case "short":
                return Response(b"[]")
            case "foreign":
                count = len(msgspec.json.decode(body))
                answers = [{"order_id": "other-0", "outcome": "filled"}] * count
                return Response(msgspec.json.encode(answers))
            case "long":
                return Response(b"[" + b" " * venue_door.ANSWER_BYTES_MAX + b"]")
        return Response(b"ill", failure)

    bench.ahead = ahead
    async with bench.running():
        registers = await bench.deliver(*[GOOD] * 20, marked, *[GOOD] * 19)
        await bench.deliver(*[GOOD] * 5, first=100)  # those behind it go on
        await wait_until(_of(bench.fills), lambda fills: len(fills) == 44, timeout_s=30, what="the fills")
        await wait_until(
            _of(lambda: bench.forwarder.aside), lambda aside: aside == 1, timeout_s=30, what="one"
        )
        assert [register.task for register in registers if register.open] == ["t-21"]
        assert bench.counters["set_aside"] >= 1
        assert "t-21" not in bench.settled
        healed = True
        await wait_until(
            _of(lambda: bench.settled), lambda tasks: "t-21" in tasks, timeout_s=30, what="its end"
        )
        assert bench.forwarder.aside == 0
    assert Counter(bench.fills()) == Counter(
        [*(f"t-{n}-0" for n in range(1, 41)), *(f"t-{n}-0" for n in range(100, 105))]
    )
    assert bench.refusals() == []


def _of(look: Callable[[], Any]) -> Callable[[], Any]:
    async def probe() -> Any:
        return look()

    return probe


@pytest.mark.anyio
async def test_an_order_set_aside_ends_refused_once_the_venue_says_so(bench: Bench) -> None:
    marked = msgspec.json.encode({**ORDER, "why": "TOO HARD"})
    status = 500
    bench.ahead = lambda body: Response("no", status) if b"TOO HARD" in body else None
    async with bench.running():
        await bench.deliver(GOOD, marked)
        status = 422
        await wait_until(_of(bench.refusals), bool, timeout_s=30, what="the refusal")
        await wait_until(
            _of(lambda: bench.settled), lambda settled: "t-2" in settled, timeout_s=30, what="its end"
        )
    assert [line["order_id"] for line in bench.refusals()] == ["t-2-0"]
    assert bench.fills() == ["t-1-0"]


@pytest.mark.anyio
@pytest.mark.parametrize("status", [0, 503])
async def test_a_venue_that_is_down_for_everybody_is_waited_for(bench: Bench, status: int) -> None:
    down = True

    def ahead(body: bytes) -> Response | None:
        if down and not status:
            raise httpx.ConnectError("nobody listens")
        return Response("down", status) if down else None

    bench.ahead = ahead
    count = 2 * ASIDE_MAX
    async with bench.running():
        delivering = asyncio.ensure_future(bench.deliver(*[GOOD] * count))
        errors = _of(lambda: bench.counters["venue_errors"])
        await wait_until(errors, lambda seen: seen > 10, timeout_s=30, what="repeats")
        assert not delivering.done()
        assert bench.forwarder.aside == 0
        down = False
        await delivering
    assert len(bench.fills()) == count
    assert len(set(bench.fills())) == count
    assert bench.refusals() == []


@pytest.mark.anyio
async def test_when_no_more_can_be_set_aside_the_others_of_a_batch_still_go(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "ASIDE_MAX", 4)
    marked = msgspec.json.encode({**ORDER, "why": "TOO HARD"})
    bench.ahead = lambda body: Response("no", 500) if b"TOO HARD" in body else None
    async with bench.running():
        for start in (1, 101, 201, 301):
            await bench.deliver(*[GOOD] * 9, marked, first=start)
        assert bench.forwarder.aside <= 4
        await wait_until(_of(bench.fills), lambda fills: len(fills) == 36, timeout_s=30, what="the fills")


@pytest.mark.anyio
async def test_a_lost_answer_is_asked_for_again_and_fills_nothing_twice(bench: Bench) -> None:
    lost = iter([True, True, False])
    bench.behind = lambda response: Response("lost", 502) if next(lost, False) else response
    async with bench.running():
        await bench.deliver(GOOD, b'{"account":"a"}')
    assert bench.fills() == ["t-1-0"]
    assert len(bench.journal()) == 6
    assert [line["order_id"] for line in bench.refusals()] == ["t-2-0"]


@pytest.mark.anyio
async def test_a_venue_killed_between_journal_and_fill_is_repaired_by_the_repeat(bench: Bench) -> None:
    offers = [Offer("t-1-0", msgspec.Raw(GOOD)), Offer("t-2-0", msgspec.Raw(b"[]"))]
    bench.venue.journal(offers, [_read(offer) for offer in offers])  # died before it filled
    async with bench.running():
        await bench.deliver(GOOD, b"[]")
    assert bench.fills() == ["t-1-0"]
    assert [line["order_id"] for line in bench.refusals()] == ["t-2-0"]


@pytest.mark.anyio
async def test_with_a_wrong_token_nothing_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.ahead = lambda body: Response("orders are taken from the gateway alone", 401)
    async with bench.running():
        delivering = asyncio.ensure_future(bench.deliver(GOOD, GOOD))
        await wait_until(_of(lambda: bench.posts), lambda posts: posts > 10, timeout_s=30, what="repeats")
        assert not delivering.done()
        delivering.cancel()
    assert bench.refusals() == bench.fills() == []


bodies = st.one_of(
    st.just(GOOD),
    st.just(GOOD),
    st.sampled_from([body for body, _ in UNSENDABLE]),
    st.binary(max_size=40),
    st.builds(
        lambda changes: msgspec.json.encode({**ORDER, **changes}),
        st.dictionaries(
            st.sampled_from([*ORDER, "why"]),
            st.none() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
        ),
    ),
    st.builds(lambda size: msgspec.json.encode({**ORDER, "why": "x" * size}), st.integers(0, 500_000)),
    st.builds(lambda depth: b"[" * depth + b"]" * depth, st.integers(1, 2000)),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(bodies, max_size=30))
def test_whatever_the_effects_hold_each_ends_once_and_good_ones_are_filled(effects: list[bytes]) -> None:
    async def forward(bench: Bench) -> list[Register]:
        async with bench.running(), asyncio.timeout(30):
            register, other = Register("all", 1), Register("good", 2)
            intended = [(effect_id("all", index), body) for index, body in enumerate(effects)]
            await bench.forwarder.deliver([(register, intended), (other, [("good-0", GOOD)])])
            return [register, other]

    with TemporaryDirectory() as path:
        bench = Bench(Path(path))
        registers = asyncio.run(forward(bench))
        assert [register.open for register in registers] == [0, 0]
        filled, refused = bench.fills(), [line["order_id"] for line in bench.refusals()]
        assert Counter(filled + refused) == Counter(
            [*(effect_id("all", index) for index in range(len(effects))), "good-0"]
        )
        good = {effect_id("all", index) for index, body in enumerate(effects) if body == GOOD}
        assert good | {"good-0"} <= set(filled)
        assert bench.counters["venue_errors"] == 0


def test_a_register_of_one_effect_waits_for_no_heap_of_them() -> None:
    admit = gateway.singles_first()
    one, heap = (TaskResult(task="t", key="k", job="j", status="ok", effects=(b"1",) * n) for n in (1, 256))
    assert [admit(1, result) for result in (heap, heap, one, heap, one)] == [True, False, True, False, True]


def test_of_registers_with_several_effects_some_go_each_time() -> None:
    admit = gateway.singles_first()
    pair = TaskResult(task="t", key="k", job="j", status="ok", effects=(b"1",) * 2)
    assert sum(admit(place, pair) for place in range(1000)) == gateway.SEVERAL_MAX / 2
    assert gateway.singles_first()(1, pair)  # those kept back go with the next batches


@pytest.mark.anyio
async def test_while_effects_are_kept_back_what_has_no_answer_is_given_back(bench: Bench) -> None:
    marked = msgspec.json.encode({**ORDER, "why": "TOO HARD"})
    absent = Response(b"ill", 503)
    bench.ahead = lambda body: absent if bench.keeps_back or b"TOO HARD" in body else None
    async with bench.running():
        aside = await bench.deliver(GOOD, marked, GOOD)
        await wait_until(_of(bench.fills), lambda fills: len(fills) == 2, timeout_s=30, what="the fills")
        bench.keeps_back = True
        posts = bench.posts
        waits = Register("w-1", 9)
        assert not await bench.forwarder.deliver([(waits, [("w-1-0", GOOD)])])
        assert (waits.open, bench.posts) == (1, posts + 1)
        await wait_until(
            _of(bench.forwarder.recall), lambda some: some == {aside[1]}, timeout_s=30, what="what was aside"
        )
        assert bench.forwarder.aside == 0
    assert sorted(bench.fills()) == ["t-1-0", "t-3-0"]
