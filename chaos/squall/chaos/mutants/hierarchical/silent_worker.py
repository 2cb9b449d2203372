"""Ack wait below work time: the worker never says that it is at work, and its work takes longer."""

from __future__ import annotations

import asyncio

from squall.bus.ended import Done, Failed
from squall.bus.messages import RunTask
from squall.bus.work_queue import WorkQueue
from squall.services.handlers.python import PythonHandler

WORK_ACK_WAITS = 12
ONE_IN = 200
"""Tasks that take so long; the others are as quick as ever."""


def install(node: str, role: str) -> None:
    run = PythonHandler.run
    ack_wait_s: list[float] = []
    made = WorkQueue.__init__

    def remember(self: WorkQueue, *args: object, **options: object) -> None:
        made(self, *args, **options)  # type: ignore[arg-type]
        ack_wait_s.append(self._pacing.ack_wait_s)

    async def slow(self: PythonHandler, task: RunTask, attempt: int, *more: object) -> Done | Failed:
        if task.ingress % ONE_IN == 0:
            await asyncio.sleep(WORK_ACK_WAITS * ack_wait_s[0])
        return await run(self, task, attempt, *more)

    async def silent(self: WorkQueue) -> None:
        await asyncio.Event().wait()

    WorkQueue.__init__ = remember  # type: ignore[method-assign]
    PythonHandler.run = slow  # type: ignore[method-assign]
    WorkQueue._keep_alive = silent  # type: ignore[method-assign]
