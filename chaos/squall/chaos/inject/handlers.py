"""The handlers that a series uses beside the ordinary one.

`poisoned`: one task in a hundred kills its process; the others are decided as usual, some after a while.

`varied` does what people's handlers do, each sort of it in some tasks; see `plan/varied.py`.

`unhurried` takes its time, so that results still come after the load, and the faults they meet:

    load ───────────────┤ ends
    leader, gateway, agent ├── late ──┤ the last result is stored: their connections end, with it on its way

Healed before the load ends, a loss shows by the next record; this one has no next.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

import msgspec

from squall.chaos.plan import poison
from squall.chaos.plan import varied as plan
from squall.services.handlers import Task
from squall.services.trading.orders import Order
from squall.services.trading.strategies import decide

log = logging.getLogger("squall")

WORK_S = 0.3


async def poisoned(task: Task) -> Order:
    """Decide, or die: what nothing in Python can catch."""
    if poison.is_poison(task.id):
        os._exit(9)
    if poison.takes_long(task.id):
        await asyncio.sleep(poison.LONG_S)
    return await decide(task)


def _hold_the_loop() -> None:
    time.sleep(plan.BLOCKING_S)


def _witness(task: Task, what: str) -> None:
    """Say so in the node's log; `evidence/files.py` reads it."""
    log.info("witness %s %d %s", task.id, task.attempt, what)


async def varied(task: Task) -> Any:
    """Decide; before or after it, what the task's sort does. What it is given and returns is logged."""
    _witness(task, "given")
    effects = await _vary(task)
    _witness(task, f"returned {len(effects)}")
    return effects


async def _vary(task: Task) -> list[Any]:
    order = await decide(task)
    match plan.sort_of(task.id):
        case "long":
            await asyncio.sleep(plan.LONG_S)
        case "blocking":
            _hold_the_loop()
        case "failing" if task.attempt == 1:
            raise RuntimeError("the first attempt of this task fails")
        case "none":
            return []
        case "several":
            more = (msgspec.structs.replace(order, quantity=order.quantity + n) for n in range(plan.SEVERAL))
            return list(more)
        case "large":
            return [{**msgspec.structs.asdict(order), "rationale": "x" * plan.LARGE_BYTES}]
    return [order]


async def unhurried(task: Task) -> Order:
    """Decide, after a while."""
    await asyncio.sleep(WORK_S)
    return await decide(task)
