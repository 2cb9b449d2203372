"""The shedder of a stage: part of the router that leads. While its stage is left alone, the oldest end unrun.

    how many wait? ── more than may ─► the oldest: its register, dead ─► it is taken out of what waits

The register decides: of what an instance ends in the same moment, one of both is told that it was second. A
shed task is dead at its stage as one that was given up is, and is passed on, so it has its letter and its
gap in a strict order. Whoever dies in between leaves the oldest waiting with a register, and the next
shedder finds it there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from squall.bus import log as bus_log
from squall.bus import register
from squall.bus.border import printable
from squall.bus.errors import BusError, DecodeError
from squall.bus.log import Record
from squall.bus.messages import RunTask, TaskResult
from squall.bus.queue import Queue
from squall.bus.stages import Stages
from squall.bus.subjects import lane_of, last_token
from squall.services.node.service import Service
from squall.services.rules.shedding import Shed, excess, reason

log = logging.getLogger("squall")

LOOK_S = 0.25
"""How often it is looked how many wait. Higher has more wait than may for longer."""

WRITE_S = 5.0


class Shedder:
    """Of one stage, for one term.

    Args:
        mark: How many may wait.
        paused_until_s: Until when the stage is left alone, by the broker's clock.
        may_act: Whether this still leads.
    """

    def __init__(
        self,
        service: Service,
        stages: Stages,
        stage: int,
        *,
        mark: int,
        paused_until_s: Callable[[], float],
        may_act: Callable[[], bool],
    ) -> None:
        self._service = service
        self._stage = stage
        self._tasks = stages.tasks(stage)
        self._queue: Queue = stages.queue(stage, "")
        self._mark = mark
        self._paused_until_s = paused_until_s
        self._may_act = may_act

    async def keep(self) -> None:
        """Shed what is too much while the stage is left alone. Ends with its task."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except BusError as error:
                log.info("what waits at stage %d is not shed: %s", self._stage, error)

    def _may_shed(self) -> bool:
        # What is oldest where a stage goes on is what it works on.
        return self._may_act() and time.time() < self._paused_until_s()

    async def _look(self) -> None:
        """Shed the oldest, as many as are too many.

        Raises:
            BusError: It is not known whether all of it was done.
        """
        if not self._may_shed():
            return
        state = await bus_log.state(self._service.connection, self._queue.stream)
        waiting = int(state["messages"])
        for _ in range(excess(waiting, self._mark)):
            if not self._may_shed():
                return
            oldest = await bus_log.first(self._service.connection, self._queue.stream, self._tasks)
            if oldest is None:
                return
            await self._shed(oldest, waiting)

    async def _shed(self, oldest: Record, waiting: int) -> None:
        """End one, unless it has ended, and take it out of what waits.

        Raises:
            BusError: It is not known whether both was done.
        """
        service, lane, name = self._service, lane_of(oldest.subject), last_token(oldest.subject)
        try:
            task, ended = self._queue.read(oldest.data)
        except DecodeError as error:
            task, ended = RunTask(task=name, key=name, job="unreadable"), printable(str(error))
        why = ended or reason(Shed(waiting, self._stage, self._mark))
        result = TaskResult(
            task=name,
            key=task.key,
            job=task.job,
            number=task.number,
            submit_s=task.submit_s,
            deadline_s=task.deadline_s,
            trace=task.trace,
            lane=lane,
            attempt=0,
            agent=service.node,
            status="dead",
            reason=printable(why),
        )
        written, unknown = await register.write(
            service.connection, self._queue.register(lane, name), result, timeout_s=WRITE_S
        )
        if written == "unknown":
            log.info("whether %s is shed is not known: %s", name, unknown)
            return
        if written != "already" and not ended:
            service.counters["shed"] += 1
            facts = {"stage": self._stage, "waiting": waiting, "seq": oldest.sequence}
            service.history("shed", "ok" if written == "won" else "unknown", task=name, **facts)
        await service.at("router.shed")
        # Its register is there, so whatever becomes of it at an instance now is suppressed.
        await bus_log.trim(
            service.connection, self._queue.stream, below=oldest.sequence + 1, subject=oldest.subject
        )
