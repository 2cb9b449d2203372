"""Spoke: an agent with classes of tasks of its own, which asks a hub for what its handler intends.

    its classes ──pull──► handler ──► request, once a task ──► acknowledged
                                        ▲
             nobody leads ─► reduce-only┘   or no further task is taken, as the spec says

What the handler intends is a request in the hub's log, and nothing more until the hub has decided.
"""

from __future__ import annotations

import logging

import msgspec

from squall.bus.messages import TaskResult
from squall.bus.tasks import task_group
from squall.services.node.service import Service
from squall.services.patterns.star import StarSpec, queue_of
from squall.services.roles.announced import Announced
from squall.services.roles.worker import POINTS, Worker
from squall.services.run.spec import spec_as

__all__ = ["POINTS", "serve"]

log = logging.getLogger("squall")


async def serve(service: Service) -> None:
    """Work until asked to stop, or until a handler cannot be ended but with the process."""
    spec = spec_as(service.spec, StarSpec)
    announced = Announced(service, spec.lease_s, spec.on_hub_loss)

    def complete(result: TaskResult) -> TaskResult:
        """What was begun while a hub led may end without one: the moment of asking decides."""
        return msgspec.structs.replace(result, reduce_only=announced.degraded)

    def takes() -> bool:
        return not announced.degraded or spec.on_hub_loss == "reduce-only"

    worker = Worker(service, queue_of(spec, service.node), complete=complete, takes=takes)
    async with task_group() as tasks:
        await announced.listen(tasks, slots=spec.slots)
        await worker.serve()
