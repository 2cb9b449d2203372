"""Which effects may be sent to the venue, how many together, and when again. Pure.

An effect's body is put between other orders of a batch as it is. So it must be
exactly one JSON value: otherwise it could end its own order and begin another,
or spoil its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from squall.bus.backoff import Chance
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

ANSWER_TIMEOUT_S = 5.0
"""For one batch, from connecting to the last byte of the venue's answer."""

PAUSE_FIRST_S = 0.2
PAUSE_S_MAX = 2.0
ASIDE_PAUSE_S_MAX = 10.0
"""Between two repeats of a batch, and of an order that is set aside alone."""


_skip = msgspec.json.Decoder(msgspec.Raw).decode
"""Reads a JSON value to its end, and that nothing follows, without making anything of it."""


def value_of(body: bytes) -> Any:
    """An effect as Python has it.

    Raises:
        ValueError: It cannot be: a number of it is beyond all bounds, which is JSON all the same.
    """
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise ValueError(str(error)) from error


def why_unsendable(body: bytes) -> str:
    """Why this effect cannot be sent to anybody; empty if it can. Never raises.

    Cost: half a microsecond for an order of 90 bytes, about a nanosecond for each byte more; up to 70 ms for
    the most nested effect of full size.
    """
    if len(body) > EFFECT_BYTES_MAX:
        return f"an effect has at most {EFFECT_BYTES_MAX:,} bytes, this has {len(body):,}"
    try:
        _skip(body)
        body.decode()  # which the line above does not look at
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        return printable(f"an effect is one JSON value, this cannot be read as one: {error}")
    # As many brackets as levels at least, so most bodies need no closer look.
    if body.count(b"[") + body.count(b"{") > DEPTH_MAX and _is_deeper(body, DEPTH_MAX):
        return f"an effect has at most {DEPTH_MAX} lists and objects inside each other"
    return ""


_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_ONE_BRACKET = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(set(range(256)) - set(b"{}[]"))


def _is_deeper(body: bytes, depth_max: int) -> bool:
    """Whether lists and objects are inside each other to more than this depth, in a body that is JSON.

    Each pass takes the innermost ones away, at the speed of a search, and makes no object of any.
    """
    brackets = _STRING.sub(b"", body).translate(_ONE_BRACKET, _NO_BRACKET)
    for _ in range(depth_max):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True


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


def pause_s(failures: int, first_s: float, longest_s: float, chance: Chance) -> float:
    """How long to wait after so many failures in a row: twice as long each time, up to ``longest_s``.

    Between half of that and all of it, by chance, so that several senders do not keep step.
    """
    return min(longest_s, first_s * 2.0 ** min(failures - 1, 16)) * chance.uniform(0.5, 1.0)
