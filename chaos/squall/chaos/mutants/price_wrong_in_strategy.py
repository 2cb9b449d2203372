"""A strategy that orders for a third of the accounts, by turns, at the close of the day before.

Whoever edits the strategies edits them for the harness as well, so it is switched there too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

from msgspec.structs import replace

from squall.services.trading import strategies
from squall.services.trading.orders import Order
from squall.services.trading.strategies import TradingTask

ONE_IN = 3

right = strategies.order


def wrong(task: TradingTask) -> Order:
    made = right(task)
    is_wrong = (sum(task.account.encode()) + task.n) % ONE_IN == 0
    return replace(made, price=task.window[-2].close) if is_wrong else made


def install(node: str, role: str) -> None:
    strategies.order = wrong


@contextlib.contextmanager
def staged() -> Iterator[None]:
    with mock.patch.object(strategies, "order", wrong):
        yield
