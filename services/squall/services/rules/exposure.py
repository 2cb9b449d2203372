"""How much of each symbol the whole swarm may hold, and what of a request that leaves room for. Pure.

    position of each symbol, over all spokes ─┐
    what a request asks for, order by order ──┴─► what is allowed of it, and the positions after that

A buy raises a symbol's net position and a sell lowers it. An order is cut to what fits between the bound and
its negative; in reduce-only mode, to what moves the position towards zero and not past it. What is left is an
order of fewer units, or one that stands aside, with nothing beside the fields of an order. The same requests
in the same order always come to the same decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from squall.services.trading.orders import INTEGER_MAX, Order, Side, read_order

SYMBOLS_MAX = 256
"""Symbols that may be held at a time, so that their positions fit a snapshot; an order that would open one
more is denied."""

Positions = Mapping[str, int]
"""Units held by symbol, negative where more was sold than bought; a symbol that is not held is left out."""


class Ruling(NamedTuple):
    """What is decided on the effects of one request.

    Attributes:
        effects: What is allowed.
        reduces: Whether each of those is an order that moves a position towards zero or not at all.
        denied: Why something was cut, in one sentence; empty if nothing was.
        positions: What is held once the effects are carried out.
    """

    effects: tuple[bytes, ...]
    reduces: bool
    denied: str
    positions: dict[str, int]


def rule(effects: Iterable[bytes], positions: Positions, *, bound: int, reduce_only: bool = False) -> Ruling:
    """Decide on the effects of one request.

    An effect that is no order moves no position. It passes as it is, but not in reduce-only mode, where it is
    left out.

    Args:
        effects: What the request asks for, each as the venue is to read it.
        bound: The most units of a symbol, bought or sold, that may be held.
        reduce_only: Whether positions may only come nearer to zero.
    """
    held = dict(positions)
    allowed: list[bytes] = []
    cuts: list[str] = []
    reduces = True
    for place, effect in enumerate(effects, 1):
        order = read_order(effect)
        if isinstance(order, str):
            if reduce_only:
                cuts.append(f"effect {place} is no order, and only reductions are allowed")
            else:
                reduces = False
                allowed.append(effect)
            continue
        before = held.get(order.symbol, 0)
        room = _room(order, held, bound=bound, reduce_only=reduce_only)
        if _signed(order) and room < order.quantity:
            side = order.side if room else "none"
            order = msgspec.structs.replace(order, quantity=room, side=side)
            effect = msgspec.json.encode(order)
            rest = "only reductions are allowed" if reduce_only else f"the bound is {bound}"
            cuts.append(f"effect {place} is cut to {room}: {before} of its symbol are held, and {rest}")
        after = before + _signed(order)
        reduces = reduces and _is_reduction(before, after)
        _hold(held, order.symbol, after)
        allowed.append(effect)
    more = f" (and {len(cuts) - 1} more)" if len(cuts) > 1 else ""
    return Ruling(tuple(allowed), reduces, cuts[0] + more if cuts else "", held)


def carried_out(effects: Iterable[bytes], positions: Positions) -> dict[str, int]:
    """What is held after effects that were allowed."""
    held = dict(positions)
    for order in orders_of(effects):
        _hold(held, order.symbol, held.get(order.symbol, 0) + _signed(order))
    return held


def closing(prices: Mapping[str, float], account: str) -> tuple[bytes, ...]:
    """Orders that close whatever is held of some symbols, once they are cut to reductions.

    Args:
        prices: By symbol, the price to name.
        account: Whose orders these are.
    """
    sides: tuple[Side, ...] = ("buy", "sell")
    return tuple(
        msgspec.json.encode(
            Order(account=account, symbol=symbol, n=0, side=side, quantity=INTEGER_MAX, price=price)
        )
        for symbol, price in prices.items()
        for side in sides
    )


def orders_of(effects: Iterable[bytes]) -> list[Order]:
    """Those of the effects that are orders."""
    return [order for order in map(read_order, effects) if isinstance(order, Order)]


def symbols_of(effects: Iterable[bytes]) -> set[str]:
    """The symbols that effects name in orders."""
    return {order.symbol for order in orders_of(effects)}


def _signed(order: Order) -> int:
    """By how much an order moves its symbol's position."""
    return {"buy": order.quantity, "sell": -order.quantity, "none": 0}[order.side]


def _room(order: Order, held: Positions, *, bound: int, reduce_only: bool) -> int:
    """How many units of an order may be carried out."""
    position = held.get(order.symbol, 0)
    towards = -position if order.side == "buy" else position
    if reduce_only:
        return max(0, towards)
    if order.symbol not in held and len(held) >= SYMBOLS_MAX:
        return 0
    return max(0, bound + towards)


def _is_reduction(before: int, after: int) -> bool:
    return min(0, before) <= after <= max(0, before)


def _hold(held: dict[str, int], symbol: str, position: int) -> None:
    if position:
        held[symbol] = position
    else:
        held.pop(symbol, None)
