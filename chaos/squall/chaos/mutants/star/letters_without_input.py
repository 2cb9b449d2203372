"""A hub that writes the dead letters of tasks that ended dead without looking up their input."""

from __future__ import annotations

from squall.bus.messages import RunTask
from squall.services.roles.hub_log import HubLog
from squall.services.rules.hub import Submitted


def install(node: str, role: str) -> None:
    async def unread(self: HubLog, task: str, at: Submitted) -> RunTask:
        return RunTask(task=task, key=at.key, job=at.job)

    HubLog.task_of = unread  # type: ignore[method-assign]
