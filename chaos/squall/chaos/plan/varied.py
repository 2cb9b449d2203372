"""A workload of handlers as people write them: which task does what, and what it orders. Pure.

Most tasks are decided at once, as ever. The others wait, hold the loop, fail at first, order nothing, several
things or much. `inject/handlers.py` does it; what comes of it is computed here by other code, so that a check
can tell.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Literal

from squall.services.trading.orders import Row

HANDLER = "squall.chaos.inject.handlers:varied"

Sort = Literal["plain", "long", "blocking", "failing", "none", "several", "large"]

SHARES: Mapping[Sort, int] = {
    "long": 2,
    "blocking": 3,
    "failing": 4,
    "none": 4,
    "several": 6,
    "large": 1,
}
"""Of a hundred tasks; the rest is plain."""

LONG_S = 4.0
"""How long the long ones wait: more than two ack waits of an experiment."""

BLOCKING_S = 0.02
"""For how long the blocking ones let nothing else of their agent run."""

SEVERAL = 3
"""Orders of a task that has several; each is of one unit more than the one before."""

LARGE_BYTES = 100_000
"""What a large order says beside its fields."""


def is_varied(handler: str | None) -> bool:
    """Whether a handler is this one."""
    return handler == HANDLER


def sort_of(task: str) -> Sort:
    """What a task does: by its name, so that a check can tell as well."""
    place = zlib.crc32(f"{task}/varied".encode()) % 100
    for sort, share in SHARES.items():
        if place < share:
            return sort
        place -= share
    return "plain"


def rows_of(task: str, row: Row) -> list[Row]:
    """The rows of a task whose plain order has the row given."""
    match sort_of(task):
        case "none":
            return []
        case "several":
            _, account, symbol, n, side, quantity, price = row
            return [(f"{task}-{i}", account, symbol, n, side, quantity + i, price) for i in range(SEVERAL)]
        case _:
            return [row]
