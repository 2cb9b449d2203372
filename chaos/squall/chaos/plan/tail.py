"""A handler that takes its time, so that results still come after the load, and the faults they meet.

    load ───────────────┤ ends
    leader, gateway, agent ├── late ──┤ the last result is stored: their connections end, with it on its way

Healed before the load ends, a loss shows by the next record; this one has no next.
"""

from __future__ import annotations

import asyncio

from squall.services.handlers import Task
from squall.services.trading.orders import Order
from squall.services.trading.strategies import decide as decide_as_usual

HANDLER = "squall.chaos.plan.tail:decide"
WORK_S = 0.3


async def decide(task: Task) -> Order:
    """Decide, after a while."""
    await asyncio.sleep(WORK_S)
    return await decide_as_usual(task)
