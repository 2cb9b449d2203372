"""Spoke: an agent with classes of tasks of its own, which asks a hub for what its handler intends.

    its classes ──pull──► handler ──► request, once a task ──► acknowledged
                                        ▲
             nobody leads ─► reduce-only┘   or no further task is taken, as the spec says

What the handler intends is a request in the hub's log, and nothing more until the hub has decided.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from squall.bus import register
from squall.bus.errors import BusError
from squall.bus.messages import TaskResult
from squall.bus.tasks import Tasks, task_group
from squall.services.node.service import Service
from squall.services.patterns.star import StarSpec, classes_of, queue_of, symbol_of
from squall.services.roles.announced import Announced
from squall.services.roles.worker import POINTS, Worker
from squall.services.rules.exposure import closing, orders_of
from squall.services.rules.hub import FLATTEN, flatten_task
from squall.services.run.spec import spec_as

__all__ = ["POINTS", "serve"]

log = logging.getLogger("squall")

ASK_TIMEOUT_S = 60.0


async def serve(service: Service) -> None:
    """Work until asked to stop, or until a handler cannot be ended but with the process."""
    async with task_group() as tasks:
        spoke = Spoke(service, tasks)
        await spoke.announced.listen(tasks, slots=service.spec.slots)
        await spoke.worker.serve()


class Spoke:
    """One spoke.

    Attributes:
        announced: Who leads.
        worker: The handler, at work on the tasks of its classes.
    """

    def __init__(self, service: Service, tasks: Tasks) -> None:
        spec = spec_as(service.spec, StarSpec)
        self._service = service
        self._tasks = tasks
        self._mode = spec.on_hub_loss
        self._prices = dict.fromkeys(map(symbol_of, classes_of(spec, service.node)), 0.0)
        self._asking: asyncio.Task[None] | None = None
        self.announced = Announced(service, spec.lease_s, self._mode, self._changed)
        self.worker = Worker(service, queue_of(spec, service.node), complete=self._complete)

    def _complete(self, result: TaskResult) -> TaskResult:
        """Say whether a hub leads. What was begun under one may end without; the moment of asking decides."""
        for order in orders_of(result.effects):
            if order.symbol in self._prices:
                self._prices[order.symbol] = order.price
        return msgspec.structs.replace(result, reduce_only=self.announced.degraded)

    def _changed(self) -> None:
        """A degraded time has begun, or is over."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        self.worker.hold(self.announced.degraded and self._mode != "reduce-only")
        if self.announced.degraded and self.announced.term and self._mode == "flatten":
            self._asking = self._tasks.daemon(self._flatten(self.announced.term))

    async def _flatten(self, lost: int) -> None:
        """Ask to have what is held of its symbols closed, once for each term that is lost."""
        service = self._service
        task = flatten_task(service.node, lost)
        asked = TaskResult(
            task=task,
            key=service.node,
            job=FLATTEN,
            status="ok",
            agent=service.node,
            effects=closing(self._prices, service.node),
            reduce_only=True,
        )
        subject = service.swarm.request(service.node, task)
        try:
            written, why = await register.write(service.connection, subject, asked, timeout_s=ASK_TIMEOUT_S)
        except BusError as error:
            written, why = "unknown", str(error)
        log.info("asked to close what is held: %s %s", written, why)
        service.history("flatten", "unknown" if written == "unknown" else "ok", task=task, term=lost)
