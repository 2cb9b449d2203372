"""Handlers that `pipeline.py` measures: the stages of the default ring, alone and with a wait.

A stage alone computes what those before it would have given it as well, which takes microseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from squall.services.handlers import Result, Task
from squall.services.trading import pipeline

WAIT_S = 0.02
"""How long a handler waits that stands for one that asks somebody else."""

Stage = Callable[[Task], Awaitable[Result]]

CHAIN: tuple[Stage, ...] = (pipeline.ingest, pipeline.signal, pipeline.risk, pipeline.order)


async def _through(task: Task, count: int) -> Result:
    """The first so many stages in one."""
    result = await CHAIN[0](task)
    for stage in CHAIN[1:count]:
        result = await stage(msgspec.structs.replace(task, body=result.value))
    return result


async def ingest_alone(task: Task) -> Result:
    return await _through(task, 1)


async def signal_alone(task: Task) -> Result:
    return await _through(task, 2)


async def risk_alone(task: Task) -> Result:
    return await _through(task, 3)


async def order_alone(task: Task) -> Result:
    return await _through(task, 4)


def _waiting(stage: Stage) -> Stage:
    async def waiting(task: Task) -> Result:
        await asyncio.sleep(WAIT_S)
        return await stage(task)

    return waiting


order_alone_waiting = _waiting(order_alone)
ingest_waiting = _waiting(pipeline.ingest)
signal_waiting = _waiting(pipeline.signal)
risk_waiting = _waiting(pipeline.risk)
order_waiting = _waiting(pipeline.order)
