"""A leader that knows the input of its own tasks: dead letters of those of its predecessor have none."""

from __future__ import annotations

from squall.bus.messages import RunTask
from squall.services.roles.coordinator import Coordinator
from squall.services.rules.dispatch import Dispatched


def install(node: str, role: str) -> None:
    dispatched = Coordinator._dispatched

    async def remembered(self: Coordinator, task: str, at: Dispatched) -> RunTask:
        if at.sequence < self._leadership.term:
            return RunTask(task=task, key=at.key, job=at.job)
        return await dispatched(self, task, at)

    Coordinator._dispatched = remembered  # type: ignore[method-assign]
