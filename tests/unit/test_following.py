"""Orders that follow each other: the rule, the venue's books, and the gateway's order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from squall.bus.messages import TaskResult
from squall.chaos.judge.oracle import following, workload_of
from squall.services.errors import SpecError
from squall.services.node.points import Points
from squall.services.patterns.ring import RingSpec, check
from squall.services.roles.gateway_in_order import InOrder, passing
from squall.services.roles.venue import Answer, Offer, Venue
from squall.services.rules.following import GAP
from squall.services.trading.orders import read_following
from squall.services.trading.strategies import TradingTask, order
from squall.services.trading.workload import sequenced

ACCOUNTS = 3


def _offers(tasks: int) -> list[Offer]:
    made = []
    for submission in sequenced(7, tasks, accounts=ACCOUNTS):
        body = msgspec.json.encode(order(msgspec.msgpack.decode(submission.body, type=TradingTask)))
        made.append(Offer(f"{submission.name}-0", msgspec.Raw(body)))
    return made


def _taken(venue: Venue, offers: list[Offer]) -> list[Answer]:
    return asyncio.run(venue.take(offers, Points(lambda point: None)))


def _rows(venue: Venue) -> list[tuple[object, ...]]:
    return sorted(venue._database.execute("SELECT * FROM ledger").fetchall())


def _expected(tasks: int, without: frozenset[str] = frozenset()) -> list[tuple[object, ...]]:
    workload = workload_of(7, ACCOUNTS)
    rows = [workload.row(place) for place in range(tasks) if workload.task(place) not in without]
    by_account = {row[1] for row in rows}
    return sorted(
        row for account in by_account for row in following(row for row in rows if row[1] == account)
    )


def test_in_order_the_ledger_is_what_the_oracle_computes(tmp_path: Path) -> None:
    venue, offers = Venue(tmp_path / "venue.db", sequenced=True), _offers(90)
    assert {answer.outcome for answer in _taken(venue, offers)} == {"filled"}
    assert {answer.outcome for answer in _taken(venue, offers)} == {"duplicate"}
    assert _rows(venue) == _expected(90)
    venue.close()


def test_what_comes_before_its_turn_is_refused_as_a_gap_and_stays_refused(tmp_path: Path) -> None:
    venue, offers = Venue(tmp_path / "venue.db", sequenced=True), _offers(9)
    own = offers[0::ACCOUNTS]
    answers = _taken(venue, [own[1], own[0], own[1], own[2]])
    assert [answer.outcome for answer in answers] == ["rejected", "filled", "rejected", "rejected"]
    assert all(answer.reason.startswith(GAP) for answer in answers if answer.outcome == "rejected")
    venue.close()


def test_the_place_of_a_dead_task_is_passed_and_nothing_is_traded_for_it(tmp_path: Path) -> None:
    venue, offers = Venue(tmp_path / "venue.db", sequenced=True), _offers(30)
    dead = offers[ACCOUNTS].order_id.removesuffix("-0")
    ((order_id, body),) = passing(dead)
    offers[ACCOUNTS] = Offer(order_id, msgspec.Raw(body))
    outcomes = [answer.outcome for answer in _taken(venue, offers)]
    assert outcomes.count("passed") == 1
    assert outcomes.count("filled") == 29
    assert _taken(venue, [offers[ACCOUNTS]])[0].outcome == "duplicate"
    assert _rows(venue) == _expected(30, frozenset({dead}))
    venue.close()


def test_an_order_that_follows_none_is_filled_wherever_it_comes(tmp_path: Path) -> None:
    venue = Venue(tmp_path / "venue.db", sequenced=True)
    body = b'{"account":"a","symbol":"s","n":7,"side":"buy","quantity":1,"price":1.0}'
    assert _taken(venue, [Offer("x-0", msgspec.Raw(body))])[0].outcome == "filled"
    venue.close()


@pytest.mark.parametrize("more", [b'"target":3', b'"passed":true', b'"after":7', b'"after":-1'])
def test_an_order_that_says_half_of_it_is_none(more: bytes) -> None:
    body = b'{"account":"a","symbol":"s","n":7,"side":"none","quantity":0,"price":1.0,' + more + b"}"
    assert isinstance(read_following(body), str)


def test_the_gateway_sends_what_stands_next_and_what_was_sent_before() -> None:
    result, order = TaskResult(task="t", key="k", job="j", status="ok"), InOrder()
    assert not order.sieve()(1, result)  # how far the broker is, nobody has said
    assert order.goes_on(4)
    admits = order.sieve()
    assert [admits(place, result) for place in (3, 5, 7, 6, 7, 8)] == [True, True, False, True, True, True]
    assert order.missing.is_set()
    assert not order.goes_on(5)


def test_a_relaxed_order_or_another_sink_is_refused() -> None:
    check(RingSpec(workload="sequenced"))
    with pytest.raises(SpecError, match="follow each other"):
        check(RingSpec(workload="sequenced", order="relaxed"))
    with pytest.raises(SpecError, match="venue"):
        check(RingSpec(workload="sequenced", effects="none"))
