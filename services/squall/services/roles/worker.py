"""What every role that runs the user's handler does with it: tasks in, results out, an end if it hangs."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any, Final

from squall.bus.ended import Ended, Failed, Observer, Run
from squall.bus.lane_order import Turns
from squall.bus.messages import RunTask, TaskResult
from squall.bus.queue import Queue
from squall.bus.work_queue import WorkQueue
from squall.services.handlers.outcome import NO_WAY_ROUND, gone_round
from squall.services.handlers.port import Host
from squall.services.node.service import Service
from squall.services.roles.handler_told import HandlerTold

log = logging.getLogger("squall")

POINTS: Final = {
    "agent.delivered": "a task was delivered, its handler has not begun",
    "agent.executed": "the handler has returned, nothing is committed",
    "agent.asked": "the broker was asked to write the result, and has not answered",
    "agent.committed": "the result is written, the task is not acknowledged",
    "agent.acknowledged": "the task is acknowledged",
}
"""Where a fault can strike an agent, and what has happened there."""

GRACE_S = 5.0
"""How much longer than one attempt tasks in flight may take once the agent stops of its own accord. One that
is asked to stop is given its time by whoever asks."""


class Worker:
    """The handler of an agent, at work on a queue.

    Args:
        handler: The name of the node's handler; without, that of the spec.
        complete: Has the last word on each result before it is written.
        observer: Told of attempts and commits; without, they are lines of the node's history.
        turns, hands, endless: See `WorkQueue`.
        around: Given what makes attempts; returns what is to make them.
        stays: Why no task can go round again here; empty if one can.
    """

    def __init__(
        self,
        service: Service,
        queue: Queue,
        *,
        handler: str = "",
        complete: Callable[[TaskResult], TaskResult] = lambda result: result,
        observer: Observer | None = None,
        turns: Turns | None = None,
        hands: int = 0,
        around: Callable[[Run], Run] = lambda run: run,
        endless: bool = False,
        stays: str = NO_WAY_ROUND,
    ) -> None:
        spec = service.spec
        self._service = service
        self._grace_s = spec.handler_timeout_s + GRACE_S
        assert service.handler is not None
        self._is_own = service.handler.is_own
        self._told = told = HandlerTold(
            handler or spec.handler,
            observer or service.history,
            service.handler.begins,
            orders=spec.has_venue,
        )
        self._handler = opened = service.handler.open(
            Host(
                timeout_s=spec.handler_timeout_s,
                slots=spec.slots,
                threads=service.around.threads,
                stuck=self._stuck,
                running=told.running,
                connection=service.connection,
            )
        )

        async def run(task: RunTask, attempt: int) -> Ended:
            struck = "" if service.interference is None else await service.interference.attempt()
            if struck:
                return Failed(struck)
            ended = gone_round(await opened.run(task, attempt), stays)
            told.ended(task.task, attempt, ended)
            told.health(opened.health)
            return ended

        work = WorkQueue(
            service.connection,
            service.swarm,
            queue,
            around(run),
            agent=service.node,
            slots=spec.slots,
            pacing=spec.pacing,
            observer=observer or service.history,
            at=lambda step: service.at(f"agent.{step}"),
            asked=lambda step, asking: service.at.asked(f"agent.{step}", asking),
            counters=service.counters,
            chance=random.Random(f"{spec.seed}/{service.node}/{service.start.incarnation}/retry"),
            complete=complete,
            turns=turns,
            hands=hands,
            endless=endless,
        )

        def vitals() -> dict[str, Any]:
            return {"slots": spec.slots, "in_flight": work.in_flight, "service_ms": work.service_ms}

        service.vitals = vitals
        self._work = work

    def _stuck(self) -> None:
        self._service.history("end", "ok", reason="a handler outlived its time-out")
        log.warning("a handler does not end: this agent does, once what else it has in flight has ended")
        self._service.stop.set()
        self._service.around.end_within(self._grace_s + GRACE_S)

    def hold(self, on: bool) -> None:
        """Take no more tasks, or go on."""
        self._work.hold(on)

    async def serve(self) -> None:
        """Work until asked to stop, or until a handler cannot be ended but with the process."""
        service = self._service
        service.ready()
        try:
            with service.around.watching(self._is_own, self._told.held_up):
                await self._work.serve(service.stop, grace_s=self._grace_s)
        finally:
            await self._handler.close()
