"""The handlers that a series uses beside the ordinary one.

`poisoned`: one task in a hundred kills its process; the others are decided as usual.

`unhurried` takes its time, so that results still come after the load, and the faults they meet:

    load ───────────────┤ ends
    leader, gateway, agent ├── late ──┤ the last result is stored: their connections end, with it on its way

Healed before the load ends, a loss shows by the next record; this one has no next.
"""

from __future__ import annotations

import asyncio
import os

from squall.chaos.plan.poison import is_poison
from squall.services.handlers import Task
from squall.services.trading.orders import Order
from squall.services.trading.strategies import decide

WORK_S = 0.3


async def poisoned(task: Task) -> Order:
    """Decide, or die: what nothing in Python can catch."""
    if is_poison(task.id):
        os._exit(9)
    return await decide(task)


async def unhurried(task: Task) -> Order:
    """Decide, after a while."""
    await asyncio.sleep(WORK_S)
    return await decide(task)
