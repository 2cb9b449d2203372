"""A worker that keeps what it was ever given, and 50 kB beside it."""

from __future__ import annotations

from squall.bus.pull import Delivery, Puller
from squall.bus.tasks import Tasks
from squall.bus.work_queue import WorkQueue

KEPT_BYTES = 50_000


def install(node: str, role: str) -> None:
    take = WorkQueue._take
    kept: list[tuple[Delivery, bytes]] = []

    def taken_and_kept(self: WorkQueue, tasks: Tasks, puller: Puller, delivery: Delivery) -> None:
        kept.append((delivery, b"x" * KEPT_BYTES))
        take(self, tasks, puller, delivery)

    WorkQueue._take = taken_and_kept  # type: ignore[method-assign]
