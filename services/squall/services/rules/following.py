"""Orders that follow each other, as the venue takes them: what is traded, or why an order is refused. Pure.

    last n of its key ── is what the order follows? ─ yes ─► filled: target less what is held
                                   │ no
                                   └─► refused: a gap

What a dead task would have ordered never comes, so its place is told to be passed; then what follows goes on.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from squall.services.trading.orders import Following

GAP = "a gap: "
"""What the reason begins with where an order is refused for its place."""


class Standing(NamedTuple):
    """Where an account stands in a symbol.

    Attributes:
        n: Of the last order; 0 before the first.
        units: What it holds; below 0 what it owes.
    """

    n: int = 0
    units: int = 0


def follow(order: Following, at: Standing) -> tuple[Following, Standing] | str:
    """An order that says what it follows, as it is filled, and what the account stands at then.

    Returns:
        Or why it is refused, in a sentence.
    """
    if order.after != at.n:
        where = f"{order.symbol} of {order.account}"
        return f"{GAP}{order.n} of {where} follows {order.after}, and {at.n} is the last there"
    return filled(order, at)


def filled(order: Following, at: Standing) -> tuple[Following, Standing]:
    """The same of a venue that fills whatever comes."""
    if order.passed:
        return order, Standing(order.n, at.units)
    if order.target is not None:
        moves = order.target - at.units
        side = "buy" if moves > 0 else "sell" if moves < 0 else "none"
        order = replace(order, side=side, quantity=abs(moves))
    units = {"buy": order.quantity, "sell": -order.quantity, "none": 0}[order.side]
    return order, Standing(order.n, at.units + units)
