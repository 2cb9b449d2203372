"""The shedder of a stage: part of the router that leads. While its stage is left alone, the oldest end unrun.

    how many wait? ── more than may ─► the oldest ─┬─► its register, dead ─► it is taken out of what waits
                                                   └─► set aside, where the file says so ─► its register, …

The register decides: of what an instance ends in the same moment, one of both is told that it was second. A
shed task is dead at its stage as one that was given up is, and is passed on, so it has its letter and its
gap in a strict order. Whoever dies in between leaves the oldest waiting with a copy, or with a register, and
the next shedder finds it there; of a task there is one copy a stage, however often it is set aside. A copy
whose task an instance ended is left where it is: only those count of which the register says that they were
diverted. While there is no room for a copy its task waits, and so do those behind it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Literal

from squall.bus import log as bus_log
from squall.bus import register
from squall.bus.border import printable
from squall.bus.errors import BusError, DecodeError
from squall.bus.jetstream import EXPECT_NEW, WRONG_LAST_SEQUENCE, publish
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

_SAID: Mapping[register.Written, Literal["ok", "fail", "unknown"]] = {
    "won": "ok",
    "already": "fail",
    "settled": "unknown",
    "unknown": "unknown",
}
"""What the history says of a register that was to be written."""


class Shedder:
    """Of one stage, for one term.

    Args:
        mark: How many may wait.
        paused_until_s: Until when the stage is left alone, by the broker's clock.
        may_act: Whether this still leads.
        term: Of this leader.
        diverts: Whether what is shed is set aside before.
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
        term: int,
        diverts: bool,
    ) -> None:
        self._service = service
        self._stage = stage
        self._stages = stages
        self._tasks = stages.tasks(stage)
        self._queue: Queue = stages.queue(stage, "")
        self._mark = mark
        self._paused_until_s = paused_until_s
        self._may_act = may_act
        self._term = term
        self._diverts = diverts
        self._is_full = False

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
            if not await self._shed(oldest, waiting):
                return

    async def _shed(self, oldest: Record, waiting: int) -> bool:
        """End one, unless it has ended, and take it out of what waits; whether that was done.

        Raises:
            BusError: It is not known whether all of it was done.
        """
        name = last_token(oldest.subject)
        try:
            task, ended = self._queue.read(oldest.data)
        except DecodeError as error:
            task, ended = RunTask(task=name, key=name, job="unreadable"), printable(str(error))
        facts = {"task": name, "stage": self._stage, "waiting": waiting, "seq": oldest.sequence}
        diverts = self._diverts and not ended
        if diverts:
            if not await self._set_aside(oldest):
                return False
            if not self._may_shed():
                self._service.history("shed", "fail", **facts)
                return False
        why = ended or reason(Shed(waiting, self._stage, self._mark, diverted=diverts))
        written = await self._end(oldest, task, why)
        if not ended and (diverts or written in ("won", "settled")):
            self._service.counters["shed"] += written in ("won", "settled")
            self._service.history("shed", _SAID[written], **facts)
        if written == "unknown":
            return False
        await self._service.at("router.shed")
        # Its register is there, so whatever becomes of it at an instance now is suppressed.
        await bus_log.trim(
            self._service.connection, self._queue.stream, below=oldest.sequence + 1, subject=oldest.subject
        )
        return True

    async def _set_aside(self, oldest: Record) -> bool:
        """Have a copy of one in the side stream, exactly one; whether it is there.

        Raises:
            BusError: That is not known.
        """
        service, stage, name = self._service, self._stage, last_token(oldest.subject)
        outcome = await publish(
            service.connection,
            self._stages.diverted(stage, lane_of(oldest.subject), name),
            oldest.data,
            timeout_s=WRITE_S,
            message_id=f"{stage}-{name}",
            headers=EXPECT_NEW,  # beyond the window of ids, one is there all the same
        )
        if outcome.kind == "unknown":
            log.info("whether %s is set aside is not known: %s", name, outcome.reason)
            return False
        if not outcome.accepted and outcome.code != WRONG_LAST_SEQUENCE:
            if not self._is_full:
                log.warning("what waits at stage %d goes on waiting: %s", stage, outcome.reason)
                service.history("divert", "fail", stage=stage, term=self._term, reason=outcome.reason)
            self._is_full = True
            return False
        self._is_full = False
        service.history("divert", "ok", task=name, stage=stage, term=self._term)
        await service.at("router.copied")
        return True

    async def _end(self, oldest: Record, task: RunTask, why: str) -> register.Written:
        """Write the register of one that says why it is dead, unless it has one.

        Raises:
            BusError: It is not known whether it is there.
        """
        lane, name = lane_of(oldest.subject), last_token(oldest.subject)
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
            agent=self._service.node,
            status="dead",
            reason=printable(why),
        )
        written, unknown = await register.write(
            self._service.connection, self._queue.register(lane, name), result, timeout_s=WRITE_S
        )
        if written == "unknown":
            log.info("whether %s is shed is not known: %s", name, unknown)
        return written
