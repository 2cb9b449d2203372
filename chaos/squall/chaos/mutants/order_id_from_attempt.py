"""Order id made from the attempt: a repeat looks like another order."""

from __future__ import annotations

from msgspec.structs import replace

from squall.bus.messages import RunTask
from squall.bus.work_queue import Done, Failed
from squall.services.handlers.python import PythonHandler


def install(node: str, role: str) -> None:
    run = PythonHandler.run

    async def named_by_attempt(self: PythonHandler, task: RunTask, attempt: int) -> Done | Failed:
        ended = await run(self, task, attempt)
        if isinstance(ended, Failed) or attempt == 1:
            return ended
        renamed = (replace(effect, id=f"{effect.id}-{attempt}") for effect in ended.effects)
        return replace(ended, effects=tuple(renamed))

    PythonHandler.run = named_by_attempt  # type: ignore[method-assign]
