"""What the varied handler does is what the plan says of it, by other code."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from squall.chaos.inject import handlers
from squall.chaos.judge.oracle import ledger
from squall.chaos.plan import varied
from squall.services.handlers import Task
from squall.services.handlers.outcome import returned
from squall.services.trading.orders import Order, Row, read_order, task_id
from squall.services.trading.workload import independent

SUBMISSIONS = list(independent(7, 2000))
PLAIN = {row[0].rpartition("-")[0]: row for row in ledger(7, len(SUBMISSIONS))}


def tasks() -> list[Task]:
    return [
        Task(
            id=task_id(each.key, each.number), key=each.key, job="j", number=each.number, attempt=2,
            deadline_s=0.0, body=each.body,
        )
        for each in SUBMISSIONS
    ]  # fmt: skip


def row(task: Task, index: int, body: bytes) -> Row:
    order = read_order(body)
    assert isinstance(order, Order)
    return (f"{task.id}-{index}", *msgspec.structs.astuple(order))  # type: ignore[return-value]


def test_each_sort_of_task_is_there_in_its_share() -> None:
    counts = Counter(varied.sort_of(task.id) for task in tasks())
    for sort, share in varied.SHARES.items():
        assert 0.3 * share < counts[sort] / len(SUBMISSIONS) * 100 < 3 * share, sort


def test_the_handler_orders_what_the_plan_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varied, "LONG_S", 0.0)
    monkeypatch.setattr(varied, "BLOCKING_S", 0.0)
    for task in tasks():
        done: Any = returned(asyncio.run(handlers.varied(task)))
        rows = [row(task, index, body) for index, body in enumerate(done.effects)]
        assert rows == varied.rows_of(task.id, PLAIN[task.id])


def test_the_first_attempt_of_some_fails() -> None:
    failing = next(task for task in tasks() if varied.sort_of(task.id) == "failing")
    with pytest.raises(RuntimeError, match="first attempt"):
        asyncio.run(handlers.varied(msgspec.structs.replace(failing, attempt=1)))
