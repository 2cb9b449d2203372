"""An agent that forgets one task in fifty that it is given, so that it comes again after its ack wait."""

from __future__ import annotations

import itertools

from squall.bus.pull import Delivery, Puller
from squall.bus.tasks import Tasks
from squall.bus.work_queue import WorkQueue


def install(node: str, role: str) -> None:
    take = WorkQueue._take
    numbers = itertools.count(1)

    def take_most(self: WorkQueue, tasks: Tasks, puller: Puller, delivery: Delivery) -> None:
        if next(numbers) % 50:
            take(self, tasks, puller, delivery)

    WorkQueue._take = take_most  # type: ignore[method-assign]
