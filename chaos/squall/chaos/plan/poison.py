"""A handler that one task in a hundred kills, process and all; the others are decided as usual."""

from __future__ import annotations

import os
import zlib

from squall.services.handlers import Task
from squall.services.trading.orders import Order
from squall.services.trading.strategies import decide as decide_as_usual

HANDLER = "squall.chaos.plan.poison:decide"
ONE_IN = 100


def is_poison(task: str) -> bool:
    """Whether a task is: by its name, so that a check can tell as well."""
    return zlib.crc32(task.encode()) % ONE_IN == 0


async def decide(task: Task) -> Order:
    """Decide, or die: what nothing in Python can catch."""
    if is_poison(task.id):
        os._exit(9)
    return await decide_as_usual(task)
