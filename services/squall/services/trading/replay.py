"""What a hub must have decided: computed in one process from the requests of its log, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from squall.services.handlers import effect_id
from squall.services.rules.exposure import Positions, rule
from squall.services.trading.oracle import Row
from squall.services.trading.orders import Order, read_order


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
    effects: tuple[bytes, ...]
    reduces: bool
    positions: Positions


def decisions(requests: Iterable[Requested], *, bound: int) -> Iterator[Expected]:
    """The decisions on these requests, which are in the order of the log.

    Args:
        requests: Those that are to be decided: for tasks that were submitted, by spokes that have their
            classes, the first of each task.
        bound: The most units of a symbol that may be held.
    """
    held: Positions = {}
    for asked in requests:
        if not asked.ok:
            yield Expected(asked.sequence, asked.task, False, (), True, held)
            continue
        ruling = rule(asked.effects, held, bound=bound, reduce_only=asked.reduce_only)
        held = ruling.positions
        yield Expected(asked.sequence, asked.task, True, ruling.effects, ruling.reduces, held)


def ledger(decided: Iterable[Expected]) -> list[Row]:
    """The ledger of these decisions, sorted by order id."""
    rows: list[Row] = []
    for made in decided:
        for index, effect in enumerate(made.effects):
            order = read_order(effect)
            if isinstance(order, Order):
                order_id = effect_id(made.task, index)
                rows.append(
                    (order_id, order.account, order.symbol, order.n, order.side, order.quantity, order.price)
                )
    return sorted(rows)
