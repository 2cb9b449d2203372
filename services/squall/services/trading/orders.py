"""What a strategy decides: one order, which may be to stand aside."""

from __future__ import annotations

from typing import Literal

import msgspec

Side = Literal["buy", "sell", "none"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order for the venue. Its id is made from the task: see `squall.services.handlers.effect_id`.

    Attributes:
        account, symbol: Whose, and of what.
        n: The number of the task within its key, from 1.
        side: ``none`` with quantity 0: stand aside.
        quantity: Units.
        price: The last close, in the symbol's own unit.
    """

    account: str
    symbol: str
    n: int
    side: Side
    quantity: int
    price: float


def task_id(key: str, number: int) -> str:
    """The id of the ``number``-th task of a key."""
    return f"{key}-{number}"
