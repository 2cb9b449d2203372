"""Attempts counted one too many: a task is given up before its last."""

from __future__ import annotations

from squall.bus import work_queue
from squall.bus.attempts import begin
from squall.bus.messages import TaskTried


def install(node: str, role: str) -> None:
    def begun(before: TaskTried | None, attempts_max: int) -> TaskTried | None:
        return begin(before, attempts_max - 1)

    work_queue.begin = begun  # type: ignore[attr-defined]
