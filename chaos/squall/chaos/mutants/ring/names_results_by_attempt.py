"""What goes to the next stage has its attempt in its name: a repeat is another task there."""

from __future__ import annotations

from typing import Any

import msgspec

from squall.bus.messages import TaskResult
from squall.bus.work_queue import WorkQueue


def install(node: str, role: str) -> None:
    result = WorkQueue._result

    def named(self: WorkQueue, delivery: Any, task: Any, ended: Any, attempt: int) -> TaskResult:
        made = result(self, delivery, task, ended, attempt)
        return made if attempt == 1 else msgspec.structs.replace(made, task=f"{made.task}-{attempt}")

    WorkQueue._result = named  # type: ignore[method-assign]
