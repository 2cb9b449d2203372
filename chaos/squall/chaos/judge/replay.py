"""What a hub must have decided, worked out from the requests in its log, in their order. Pure.

    requests ─► orders ─► where each brings what is held of its symbol ─► what of it is allowed

It shares no code with hubs, spokes and the venue. It reads orders by itself, and asks of each how far it may
move what is held, where a hub asks how much room there is for it.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from squall.services.trading.orders import Row

ORDER_BYTES_MAX = 512 * 1024
NAME_LENGTH_MAX = 128
COUNT_MAX = 2**63 - 1
"""What an order may have, so that it is one: see README."""

SYMBOLS_MAX = 256
"""Of so many symbols something may be held at a time."""

KEPT_MAX = 16_384
KEPT_BYTES_MAX = 1024
"""Effects whose orders are kept, and how large each may be."""


class Requested(NamedTuple):
    """A request, as the hub's log holds it.

    Attributes:
        sequence: Its place in the log.
        task: Whose request it is.
        ok: Whether it asks for effects; else its task is dead.
        effects: What it asks for.
        reduce_only: Whether it was made while its spoke heard of no leader.
    """

    sequence: int
    task: str
    ok: bool
    effects: tuple[bytes, ...] = ()
    reduce_only: bool = False


class Wanted(NamedTuple):
    """An order."""

    account: str
    symbol: str
    n: int
    side: str
    quantity: int
    price: float

    @property
    def moves(self) -> int:
        """By how much it moves what is held of its symbol."""
        return {"buy": self.quantity, "sell": -self.quantity}.get(self.side, 0)

    def row(self, order_id: str) -> Row:
        """The order as a row of the ledger."""
        return (order_id, self.account, self.symbol, self.n, self.side, self.quantity, self.price)


class Allowed(NamedTuple):
    """An effect that must have been allowed.

    Attributes:
        asked: As it was asked for.
        order: The order that is left of it; None if it is no order.
        is_cut: Whether less is left than was asked for.
    """

    asked: bytes
    order: Wanted | None = None
    is_cut: bool = False

    def is_in(self, effect: bytes) -> bool:
        """Whether an effect is this one: as it was asked for; if it is cut, nothing but the order."""
        if not self.is_cut or self.order is None:
            return effect == self.asked
        return _fields(effect) == self.order._asdict()


class Expected(NamedTuple):
    """What must have been decided.

    Attributes:
        request, task, ok: The request it answers; its place, task, and whether that asks for effects.
        effects: What is allowed.
        reduces: Whether each of those reduces exposure or does nothing.
        positions: What is held then, by symbol.
    """

    request: int
    task: str
    ok: bool
    effects: Sequence[Allowed]
    reduces: bool
    positions: Mapping[str, int]

    def allows(self, effects: Sequence[bytes]) -> bool:
        """Whether these effects, and no others, are what is allowed."""
        return len(effects) == len(self.effects) and all(
            due.is_in(effect) for due, effect in zip(self.effects, effects, strict=True)
        )


def decisions(requests: Iterable[Requested], *, bound: int) -> Iterator[Expected]:
    """The decisions on these requests, which are in the order of the log.

    Args:
        requests: Those that are to be decided: for tasks that were submitted, by spokes that have their
            classes, the first of each task.
        bound: The most units of a symbol that may be held.
    """
    held: dict[str, int] = {}
    for asked in requests:
        allowed: list[Allowed] = []
        reduces = True
        for effect in asked.effects if asked.ok else ():
            order = order_in(effect)
            if order is None:
                if not asked.reduce_only:
                    allowed.append(Allowed(effect))
                    reduces = False
                continue
            before = held.pop(order.symbol, 0)
            after = _brought_to(order, before, len(held), bound=bound, reduce_only=asked.reduce_only)
            if after:
                held[order.symbol] = after
            reduces = reduces and min(0, before) <= after <= max(0, before)
            allowed.append(_allowed(effect, order, after - before))
        yield Expected(asked.sequence, asked.task, asked.ok, allowed, reduces, dict(held))


def _brought_to(order: Wanted, before: int, others: int, *, bound: int, reduce_only: bool) -> int:
    """What is held of an order's symbol once as much of it is carried out as may be.

    Args:
        before: What is held of it now.
        others: Of how many other symbols something is held.
    """
    low, high = min(-bound, before), max(bound, before)
    if reduce_only:
        low, high = min(0, before), max(0, before)
    elif before == 0 and others >= SYMBOLS_MAX:
        low = high = 0
    return min(max(before + order.moves, low), high)


def _allowed(effect: bytes, order: Wanted, moves: int) -> Allowed:
    """An order of which so much is allowed."""
    if moves == order.moves:
        return Allowed(effect, order)
    left = order._replace(quantity=abs(moves), side=order.side if moves else "none")
    return Allowed(effect, left, is_cut=True)


def ledger(decided: Iterable[Expected]) -> list[Row]:
    """The ledger of these decisions, sorted by order id."""
    return sorted(row for made in decided for row in rows(made.task, (due.order for due in made.effects)))


def rows(task: str, orders: Iterable[Wanted | None]) -> list[Row]:
    """The rows of a task's effects, of which those that are no order have none."""
    return [order.row(f"{task}-{place}") for place, order in enumerate(orders) if order is not None]


def order_in(effect: bytes) -> Wanted | None:
    """The order in an effect that anybody may have written; None if it is no order. Never raises."""
    return _known(effect) if len(effect) <= KEPT_BYTES_MAX else _order_in(effect)


@functools.lru_cache(KEPT_MAX)
def _known(effect: bytes) -> Wanted | None:
    """What was read before need not be read again: each effect is asked for, decided, intended and filled."""
    return _order_in(effect)


def _order_in(effect: bytes) -> Wanted | None:
    said = _fields(effect) if len(effect) <= ORDER_BYTES_MAX else None
    if said is None:
        return None
    account, symbol, n, side, quantity, price = (said.get(field, None) for field in Wanted._fields)
    if not (_is_name(account) and _is_name(symbol) and side in ("buy", "sell", "none")):
        return None
    if not (_is_count(n) and _is_count(quantity) and _is_price(price)):
        return None
    return Wanted(account, symbol, n, side, quantity, float(price))


def _fields(effect: bytes) -> Mapping[str, Any] | None:
    """The fields of a JSON object; None if it is none."""
    try:
        said = json.loads(effect.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _refuse(constant: str) -> NoReturn:
    """Python reads infinities and the like, which JSON does not have."""
    raise ValueError(constant)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= NAME_LENGTH_MAX and value.isprintable()


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNT_MAX


def _is_price(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
