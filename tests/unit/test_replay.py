"""The replay of a hub's log: the same requests in the same order give the same decisions and one ledger."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.chaos.judge.replay import (
    COUNT_MAX,
    NAME_LENGTH_MAX,
    ORDER_BYTES_MAX,
    SYMBOLS_MAX,
    Requested,
    decisions,
    ledger,
    order_in,
)
from squall.services.rules import exposure
from squall.services.trading import orders
from squall.services.trading.orders import Order, read_order


def order(side: str, quantity: int, symbol: str = "wti", **more: Any) -> bytes:
    fields = {"account": "a", "symbol": symbol, "n": 3, "side": side, "quantity": quantity, "price": 2.5}
    return msgspec.json.encode({**fields, **more})


REQUESTS = [
    Requested(4, "t1", True, (order("buy", 8),)),
    Requested(5, "t2", True, (order("buy", 8), b"no order")),
    Requested(9, "t3", False),
    Requested(11, "t4", True, (order("sell", 30),), reduce_only=True),
]


def test_each_request_is_decided_on_what_those_before_it_left() -> None:
    made = list(decisions(REQUESTS, bound=10))
    assert [(at.request, at.task, at.ok, at.reduces) for at in made] == [
        (4, "t1", True, False),
        (5, "t2", True, False),
        (9, "t3", False, True),
        (11, "t4", True, True),
    ]
    assert [at.positions for at in made] == [{"wti": 8}, {"wti": 10}, {"wti": 10}, {}]


def test_the_ledger_holds_the_orders_that_were_allowed() -> None:
    assert ledger(decisions(REQUESTS, bound=10)) == [
        ("t1-0", "a", "wti", 3, "buy", 8, 2.5),
        ("t2-0", "a", "wti", 3, "buy", 2, 2.5),
        ("t4-0", "a", "wti", 3, "sell", 10, 2.5),
    ]


def test_another_order_of_the_log_is_another_ledger() -> None:
    there, back = decisions(REQUESTS, bound=10), decisions(reversed(REQUESTS), bound=10)
    assert ledger(there) != ledger(back)


def test_what_is_cut_has_nothing_beside_the_order_and_what_is_not_is_as_it_was_asked_for() -> None:
    asked = order("buy", 8, rationale="why")
    (whole,) = decisions([Requested(1, "t", True, (asked,))], bound=10)
    assert whole.allows([asked])
    assert not whole.allows([order("buy", 8)])
    (cut,) = decisions([Requested(1, "t", True, (asked,))], bound=5)
    assert cut.allows([order("buy", 5)])
    assert not cut.allows([order("buy", 5, rationale="why")])
    assert not cut.allows([order("buy", 8)])
    assert not cut.allows([])


QUANTITIES = st.one_of(st.integers(0, 40), st.sampled_from([COUNT_MAX, COUNT_MAX + 1]))
EFFECTS = st.one_of(
    st.builds(order, st.sampled_from(["buy", "sell", "none"]), QUANTITIES, st.sampled_from("abc")),
    st.sampled_from([b"no order", b"{}", order("hold", 1), order("buy", 3, more="said")]),
)
ASKED = st.lists(st.tuples(st.lists(EFFECTS, max_size=3), st.booleans()), max_size=12)


@given(asked=ASKED, bound=st.integers(1, 60))
def test_a_hub_by_its_own_rule_comes_to_the_same(asked: list[tuple[list[bytes], bool]], bound: int) -> None:
    requests = [
        Requested(place, f"t{place}", True, tuple(effects), reduce_only)
        for place, (effects, reduce_only) in enumerate(asked)
    ]
    held: dict[str, int] = {}
    for request, due in zip(requests, decisions(requests, bound=bound), strict=True):
        ruling = exposure.rule(request.effects, held, bound=bound, reduce_only=request.reduce_only)
        held = ruling.positions
        assert due.allows(ruling.effects)
        assert (due.reduces, due.positions) == (ruling.reduces, held)


def test_one_symbol_more_than_may_be_held_is_not_opened() -> None:
    opened = tuple(order("buy", 1, f"s{number}") for number in range(SYMBOLS_MAX + 1))
    (made,) = decisions([Requested(1, "t", True, opened)], bound=10)
    assert made.allows(exposure.rule(opened, {}, bound=10).effects)
    assert len(made.positions) == SYMBOLS_MAX == exposure.SYMBOLS_MAX


VALUES = [
    None, True, False, 0, 1, -1, 2.0, 2.5, 1e300, 10**400, COUNT_MAX, COUNT_MAX + 1, "", "buy", "none",
    "a", "a" * NAME_LENGTH_MAX, "a" * (NAME_LENGTH_MAX + 1), "a\n", "\u202e", "ä", [], {}, [1], {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("field", ["account", "symbol", "n", "side", "quantity", "price"])
def test_an_order_is_one_to_the_replay_where_it_is_one_to_the_venue(field: str) -> None:
    for value in VALUES:
        effect = json.dumps({**json.loads(order("buy", 3)), field: value}).encode()
        assert same(effect), value


@pytest.mark.parametrize(
    "effect",
    [
        b"", b"{", b"[]", b"3", b"null", b'"order"', b"\xff", order("buy", 3).decode().encode("utf-16"),
        b"\xef\xbb\xbf" + order("buy", 3), order("buy", 3).replace(b"2.5", b"NaN"),
        order("buy", 3).replace(b"2.5", b"1e999"), order("buy", 3).replace(b"2.5", b"2"),
        order("buy", 3)[:-1] + b',"n":4}', order("buy", 3)[:-1] + b"}}", b" " + order("buy", 3) + b"\n",
        order("buy", 3, more="x" * ORDER_BYTES_MAX), b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_order_is_none_to_either(effect: bytes) -> None:
    assert same(effect)


def same(effect: bytes) -> bool:
    mine, venues = order_in(effect), read_order(effect)
    if isinstance(venues, Order):
        return mine is not None and tuple(mine) == msgspec.structs.astuple(venues)
    return mine is None


def test_the_bounds_of_an_order_are_those_of_the_venue() -> None:
    ours = (COUNT_MAX, NAME_LENGTH_MAX, ORDER_BYTES_MAX)
    assert ours == (orders.INTEGER_MAX, orders.NAME_LENGTH_MAX, orders.ORDER_BYTES_MAX)
