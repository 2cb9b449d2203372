"""An agent that calls its handler twice for one attempt, and counts it once."""

from __future__ import annotations

from squall.bus.ended import Done, Failed
from squall.bus.messages import RunTask
from squall.services.handlers.python import PythonHandler


def install(node: str, role: str) -> None:
    run = PythonHandler.run

    async def twice(self: PythonHandler, task: RunTask, attempt: int, *more: object) -> Done | Failed:
        await run(self, task, attempt, *more)
        return await run(self, task, attempt, *more)

    PythonHandler.run = twice  # type: ignore[method-assign]
