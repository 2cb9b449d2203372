"""Exposure: what of a request is allowed, as tables, and what holds of any number of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.services.rules.exposure import SYMBOLS_MAX, carried_out, rule, symbols_of
from squall.services.trading.orders import INTEGER_MAX, Order, read_order


def order(side: str, quantity: int, symbol: str = "wti", **more: Any) -> bytes:
    fields = {"account": "a", "symbol": symbol, "n": 1, "side": side, "quantity": quantity, "price": 2.5}
    return msgspec.json.encode({**fields, **more})


def read(effect: bytes) -> tuple[str, int]:
    made = read_order(effect)
    assert isinstance(made, Order), made
    return made.side, made.quantity


ALLOWED = {
    # held, asked for, reduce-only: allowed, reduces, held then
    "a buy that fits": (0, ("buy", 10), False, ("buy", 10), False, 10),
    "a buy up to the bound": (90, ("buy", 10), False, ("buy", 10), False, 100),
    "a buy beyond the bound is cut": (95, ("buy", 10), False, ("buy", 5), False, 100),
    "a buy at the bound stands aside": (100, ("buy", 10), False, ("none", 0), True, 100),
    "a sell beyond the bound is cut": (-95, ("sell", 10), False, ("sell", 5), False, -100),
    "a sell from one bound to the other": (100, ("sell", 200), False, ("sell", 200), False, -100),
    "and no further": (100, ("sell", 201), False, ("sell", 200), False, -100),
    "as many units as an order has": (0, ("buy", INTEGER_MAX), False, ("buy", 100), False, 100),
    "a sell of a part reduces": (10, ("sell", 4), False, ("sell", 4), True, 6),
    "a sell of all reduces": (10, ("sell", 10), False, ("sell", 10), True, 0),
    "a sell past zero does not": (10, ("sell", 11), False, ("sell", 11), False, -1),
    "standing aside reduces": (10, ("none", 0), False, ("none", 0), True, 10),
    "reduce-only: nothing is opened": (0, ("buy", 10), True, ("none", 0), True, 0),
    "reduce-only: nothing is added": (5, ("buy", 10), True, ("none", 0), True, 5),
    "reduce-only: a part is sold": (10, ("sell", 4), True, ("sell", 4), True, 6),
    "reduce-only: all and no more is sold": (10, ("sell", 25), True, ("sell", 10), True, 0),
    "reduce-only: all and no more is bought": (-10, ("buy", 25), True, ("buy", 10), True, 0),
}


@pytest.mark.parametrize(
    ("held", "asked", "reduce_only", "allowed", "reduces", "then"), ALLOWED.values(), ids=ALLOWED
)
def test_an_order_is_cut_to_the_room_there_is(
    held: int, asked: tuple[str, int], reduce_only: bool, allowed: tuple[str, int], reduces: bool, then: int
) -> None:
    held_by_symbol = {"wti": held} if held else {}
    ruling = rule([order(*asked)], held_by_symbol, bound=100, reduce_only=reduce_only)
    assert [read(effect) for effect in ruling.effects] == [allowed]
    assert ruling.reduces is reduces
    assert ruling.positions == ({"wti": then} if then else {})
    assert bool(ruling.denied) is (allowed != asked)


def test_what_is_not_cut_passes_byte_for_byte() -> None:
    effect = order("buy", 5, rationale="because") + b" "
    assert rule([effect], {}, bound=10).effects == (effect,)


def test_the_orders_of_one_request_are_counted_one_after_the_other() -> None:
    effects = [order("buy", 8), order("sell", 3), order("buy", 8), order("buy", 1, "sp500")]
    ruling = rule(effects, {}, bound=10)
    assert [read(effect) for effect in ruling.effects] == [("buy", 8), ("sell", 3), ("buy", 5), ("buy", 1)]
    assert ruling.positions == {"wti": 10, "sp500": 1}
    assert ruling.denied == "effect 3 is cut to 5: 5 of its symbol are held, and the bound is 10"


def test_an_effect_that_is_no_order_passes_and_is_left_out_in_reduce_only() -> None:
    effects = [b'{"mail":"hello"}', order("sell", 1)]
    assert rule(effects, {"wti": 1}, bound=10) == (tuple(effects), False, "", {})
    ruling = rule(effects, {"wti": 1}, bound=10, reduce_only=True)
    assert ruling.effects == tuple(effects[1:])
    assert ruling.reduces
    assert "no order" in ruling.denied


def test_no_more_symbols_are_held_than_fit_a_snapshot() -> None:
    held = {f"s{number}": 1 for number in range(SYMBOLS_MAX)}
    ruling = rule([order("buy", 1, "one-more"), order("buy", 1, "s0")], held, bound=10)
    assert [read(effect) for effect in ruling.effects] == [("none", 0), ("buy", 1)]
    closed = rule([order("sell", 1, "s0"), order("buy", 1, "one-more")], held, bound=10)
    assert read(closed.effects[1]) == ("buy", 1)


def test_the_symbols_of_a_request_are_those_of_its_orders() -> None:
    assert symbols_of([order("buy", 1), b"7", order("sell", 2, "sp500")]) == {"wti", "sp500"}


quantities = st.integers(0, 40) | st.just(INTEGER_MAX)
orders = st.builds(order, st.sampled_from(["buy", "sell", "none"]), quantities, st.sampled_from("xyz"))
effects = st.lists(orders | st.just(b"[]") | st.binary(max_size=4), max_size=4)
requests = st.lists(st.tuples(effects, st.booleans()), max_size=25)


@given(requests=requests, bound=st.integers(0, 60))
def test_whatever_is_asked_for_the_bound_holds_and_reductions_only_reduce(
    requests: list[tuple[list[bytes], bool]], bound: int
) -> None:
    held: dict[str, int] = {}
    for asked, reduce_only in requests:
        before, ruling = held, rule(asked, held, bound=bound, reduce_only=reduce_only)
        held = ruling.positions
        assert all(0 < abs(units) <= bound for units in held.values())
        assert carried_out(ruling.effects, before) == held
        assert rule(asked, before, bound=bound, reduce_only=reduce_only) == ruling
        if reduce_only:
            assert ruling.reduces
        if ruling.reduces:
            path = dict(before)
            for effect in ruling.effects:
                moved = carried_out([effect], path)
                for symbol in "xyz":
                    was, now = path.get(symbol, 0), moved.get(symbol, 0)
                    assert min(0, was) <= now <= max(0, was)
                path = moved


@given(requests=requests)
def test_an_order_never_grows_and_never_changes_sides(requests: list[tuple[list[bytes], bool]]) -> None:
    held: dict[str, int] = {}
    for asked, _ in requests:
        ruling = rule(asked, held, bound=30)
        held = ruling.positions
        for wanted, given_ in zip(asked, ruling.effects, strict=True):
            if isinstance(made := read_order(wanted), Order):
                side, quantity = read(given_)
                assert quantity <= made.quantity
                assert side in (made.side, "none")
