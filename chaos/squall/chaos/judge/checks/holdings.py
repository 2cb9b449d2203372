"""What the venue held of each symbol as it filled orders, in its own order. Pure.

    fills, in their order ─► before ─ order ─► after ─┬─ never beyond the bound                        E1
                                                      └─ while nobody leads, no further from nothing   S5

A hub decides an order on what is held after those before it. A gateway that carries it past one of these lets
the venue hold something that nobody decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from squall.chaos.evidence.model import History
from squall.chaos.judge import replay
from squall.chaos.judge.decide import named
from squall.chaos.judge.disturbance import is_delivery_disturbed

BEYOND = 3
"""After how many orders the venue may hold more than the bound for no reason on record. A gateway that renews
its credentials waits a quarter of a second for what was sent before; a machine may stand still for longer."""


@dataclass(frozen=True, slots=True)
class Move:
    """The first fill of an order, and what the venue held of its symbol before and after it."""

    order_id: str
    time_s: float
    before: int
    after: int

    @property
    def leads_away(self) -> bool:
        """Whether more is held after it, or the opposite of what was."""
        return not min(0, self.before) <= self.after <= max(0, self.before)


def moves(history: History, orders: Mapping[str, replay.Wanted]) -> Iterator[Move]:
    """Each order that the venue filled, in its order.

    Args:
        orders: By its id, each that was decided.
    """
    held: Counter[str] = Counter()
    for order_id, times in history.venue.fills.items() if history.venue is not None else ():
        if (order := orders.get(order_id)) is not None:
            before = held[order.symbol]
            held[order.symbol] += order.moves
            yield Move(order_id, times[0], before, held[order.symbol])


def beyond(history: History, made: Iterable[Move], bound: int) -> list[str]:
    """Orders after which the venue holds more of a symbol than the bound allows.

    Where the way to it was disturbed it may: what was lost with a link, or set aside, comes after what came
    later.
    """
    found = [
        move.order_id
        for move in made
        if abs(move.after) > bound and not is_delivery_disturbed(history, move.time_s)
    ]
    return (
        named(found, "order", f"more than {bound} of its symbol held at the venue after it")
        if len(found) > BEYOND
        else []
    )


def away(made: Iterable[Move], times: Sequence[tuple[float, float]]) -> list[str]:
    """Orders that were filled within some times and led away from nothing, by what the venue held then."""
    found = [
        move.order_id
        for move in made
        if move.leads_away and any(begin_s < move.time_s < end_s for begin_s, end_s in times)
    ]
    return named(found, "order", "been filled in degraded mode and reduced nothing that the venue held")
