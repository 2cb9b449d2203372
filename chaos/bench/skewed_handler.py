"""The handler that `distribution.py` measures: tasks of some keys are long, one worker is slow, some stall.

A task stalls in its first attempt only, as on a machine that stands still for a moment; so a second try
beside it is not as long.
"""

from __future__ import annotations

import asyncio
import sys
import zlib

from squall.services.handlers import Task
from squall.services.trading.orders import Order
from squall.services.trading.strategies import decide

WORK_S = 0.03
LONG_KEYS, LONG = 10, 8.0
"""One key in so many has tasks that take so many times as long."""

SLOW_WORKER, SLOW = "agent-4", 3.0
"""Who takes so many times as long for each task."""

STALLS, STALL_S = 60, 4.0
"""One task in so many stalls, for so long."""


async def skewed(task: Task) -> Order:
    """Decide, after what the task's key, this worker and chance make of it."""
    work_s = WORK_S * (LONG if _one_in(LONG_KEYS, task.key) else 1.0)
    if SLOW_WORKER in sys.orig_argv:
        work_s *= SLOW
    if task.attempt == 1 and _one_in(STALLS, f"{task.id}/stalls"):
        work_s += STALL_S
    await asyncio.sleep(work_s)
    return await decide(task)


def _one_in(many: int, text: str) -> bool:
    return zlib.crc32(text.encode()) % many == 0
