"""Which effects may be sent to the venue, how many together, and when again. Pure.

An effect's body is put between other orders of a batch as it is. So it must be
exactly one JSON value: otherwise it could end its own order and begin another,
or spoil its neighbours.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from squall.bus.border import printable

EFFECT_BYTES_MAX = 512 * 1024
"""Of one effect; a whole result has no more."""

DEPTH_MAX = 64
"""Lists and objects inside each other in one effect. Far below what any JSON reader takes, so that none
behind the gateway fails on it."""

BATCH_MAX = 256
BATCH_BYTES_MAX = 1024 * 1024
"""Orders, and bytes of their ids and bodies, that are sent together. Both stay below the venue's bounds; one
effect is always sent, however large."""

ORDER_BYTES = 64
"""What an order adds to a batch beside its id and its body, and more."""


def why_unsendable(body: bytes) -> str:
    """Why this effect cannot be sent to anybody; empty if it can. Never raises.

    Cost: 2 to 4 µs for an order of 90 bytes, about 10 ns a byte more.
    """
    if len(body) > EFFECT_BYTES_MAX:
        return f"an effect has at most {EFFECT_BYTES_MAX:,} bytes, this has {len(body):,}"
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        return printable(f"an effect is one JSON value, this cannot be read as one: {error}")
    # As many brackets as levels at least, so most bodies need no walk.
    if body.count(b"[") + body.count(b"{") > DEPTH_MAX and _is_deeper(value, DEPTH_MAX):
        return f"an effect has at most {DEPTH_MAX} lists and objects inside each other"
    return ""


def _is_deeper(value: object, depth_max: int) -> bool:
    """Whether lists and objects are inside each other to more than this depth. Does not recurse."""
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    depth = 0
    while level:
        depth += 1
        if depth > depth_max:
            return True
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return False


class Sized(Protocol):
    """Something with an id and a body that is to be sent."""

    @property
    def order_id(self) -> str: ...

    @property
    def body(self) -> bytes: ...


S = TypeVar("S", bound=Sized)
T = TypeVar("T")


def batches(orders: Sequence[S]) -> Iterator[list[S]]:
    """The same orders in the same order, in batches that fit `BATCH_MAX` and `BATCH_BYTES_MAX`."""
    batch: list[S] = []
    size = 0
    for order in orders:
        more = len(order.body) + len(order.order_id) + ORDER_BYTES
        if batch and (len(batch) == BATCH_MAX or size + more > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(order)
        size += more
    if batch:
        yield batch


def halves(batch: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """A batch of at least two, cut in the middle."""
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]


def pause_s(failures: int, first_s: float, longest_s: float, chance: random.Random) -> float:
    """How long to wait after so many failures in a row: twice as long each time, up to ``longest_s``.

    Between half of that and all of it, by chance, so that several senders do not keep step.
    """
    return min(longest_s, first_s * 2.0 ** min(failures - 1, 16)) * chance.uniform(0.5, 1.0)
