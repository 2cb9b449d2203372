"""What the ledger must be: computed in one process from the input alone."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from squall.services.handlers import effect_id
from squall.services.trading.orders import task_id
from squall.services.trading.strategies import TradingTask, order
from squall.services.trading.workload import Submission

Row = tuple[str, str, str, int, str, int, float]
"""order_id, account, symbol, n, side, quantity, price."""


def ledger(submissions: Iterable[Submission]) -> list[Row]:
    """The ledger of these tasks, sorted by order id."""
    decode = msgspec.msgpack.Decoder(TradingTask).decode
    rows = []
    for submission in submissions:
        made = order(decode(submission.body))
        order_id = effect_id(task_id(submission.key, submission.number), 0)
        rows.append((order_id, made.account, made.symbol, made.n, made.side, made.quantity, made.price))
    return sorted(rows)
