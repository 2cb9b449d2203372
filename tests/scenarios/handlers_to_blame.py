"""Handlers with mistakes in some tasks, as one run has them. Copied to where the command is started."""

from __future__ import annotations

import asyncio
import os
import time
import zlib
from decimal import Decimal
from typing import Any

from squall.services.handlers import PoisonError

KINDS = 8
"""A task does what its name says, one of so many things."""


def kind_of(task_id: str) -> int:
    return zlib.crc32(task_id.encode()) % KINDS


def order(task: Any, **changes: Any) -> dict[str, Any]:
    made = {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}
    return {**made, **changes}


def sized(risk: int) -> float:
    return 100 / risk


def several(task: Any) -> Any:
    print("deciding", task.id)  # noqa: T201
    match kind_of(task.id):
        case 0:
            return order(task, quantity=sized(0))
        case 1:
            return {name: value for name, value in order(task).items() if name != "price"}
        case 2:
            return "buy"
        case 3:
            return (order(task) for _ in range(2))
        case 4:
            return order(task, price=Decimal("1.5"))
        case 5 if task.attempt == 1:
            raise ConnectionError("503")
        case 6:
            raise PoisonError("a day without a close")
    return order(task)


def gives_up(task: Any) -> Any:
    if kind_of(task.id) == 0:
        raise PoisonError("a day without a close")
    return order(task)


def ends_its_process(task: Any) -> Any:
    if kind_of(task.id) == 0:
        os._exit(9)
    time.sleep(0.01)
    return order(task)


async def blocks_its_loop(task: Any) -> Any:
    if kind_of(task.id) == 0:
        time.sleep(0.8)  # noqa: ASYNC251
    await asyncio.sleep(0)
    return order(task)
