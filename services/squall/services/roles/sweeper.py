"""Sweeper: finds tasks that were dispatched long ago and would not end by themselves.

    open for long ─► still in the work queue? ── yes: somebody works on it, or will; look again later
                          │ no
                          ▼
                     has it a register? ── yes: it ended; that this was overlooked is counted, unless it was
                          │ no                  so before it was dispatched
                          ▼
                     acknowledged without a result: dispatched again, or buried once that was done often

A register is written before its task is acknowledged, so the queue is asked first: a task that is in neither
is lost. Whoever pulls from a pool may acknowledge what it holds, so this is what an agent can do to a task,
on purpose or not, that no register shows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, MutableMapping

from squall.bus import log as bus_log
from squall.bus import register, subjects
from squall.bus.codec import decode
from squall.bus.errors import RequestError
from squall.bus.messages import RunTask, TaskResult
from squall.services.node.service import Service
from squall.services.rules.dispatch import Dispatched, Progress

log = logging.getLogger("squall")

SWEEP_S = 0.5
PATIENCE_MIN_S = 5.0
WRITE_TIMEOUT_S = 5.0


def patience_s(ack_wait_s: float) -> float:
    """How long a task may be open before it is looked at: its first worker may have died, and its second."""
    return max(PATIENCE_MIN_S, 2 * ack_wait_s)


class Sweeper:
    """Sweeps for one term.

    Args:
        progress: What the coordinator knows.
        since: When each open task was dispatched, or last looked at, by the monotonic clock; oldest first.
        may_act: Whether the term still has a margin of its lease, for what the broker does not fence.
        ended: Told of a register that ends an open task.
        again: Told of a task that is to be dispatched again, and where its last dispatch is stored.
    """

    def __init__(
        self,
        service: Service,
        progress: Progress,
        since: MutableMapping[str, float],
        *,
        may_act: Callable[[], bool],
        ended: Callable[[bus_log.Record], None],
        again: Callable[[RunTask, int], None],
    ) -> None:
        self._service = service
        self._connection = service.connection
        self._swarm = service.swarm
        self._progress = progress
        self._since = since
        self._may_act = may_act
        self._ended = ended
        self._again = again
        self._patience_s = patience_s(service.spec.ack_wait_s)

    async def run(self) -> None:
        """Sweep, for as long as this is not cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for task in self._overdue():
                at = self._progress.open.get(task)
                if at is not None and not at.sequence:  # it is being dispatched
                    continue
                self._since.pop(task, None)
                if at is None:  # it ended meanwhile
                    continue
                self._since[task] = time.monotonic()
                try:
                    await self._look(task, at)
                except RequestError as error:
                    log.info("sweep: %s", error)
                    break

    def _overdue(self) -> list[str]:
        """Tasks that have been open for too long; each repeat doubles what is too long.

        A queue that the broker is slow to fill must not be taken for one that loses what is put into it.
        """
        now = time.monotonic()
        open_tasks = self._progress.open
        return [
            task
            for task, since in self._since.items()
            if now - since >= self._patience_s * 2 ** (open_tasks[task].again if task in open_tasks else 0)
        ]

    async def _look(self, task: str, at: Dispatched) -> None:
        lane = subjects.lane_for(at.key)
        queued = self._swarm.queued(lane, at.key, task, at.to)
        if await bus_log.last(self._connection, self._swarm.stream("WK"), queued) is not None:
            return
        written = await bus_log.last(
            self._connection, self._swarm.stream("RES"), self._swarm.register(lane, task)
        )
        dispatch = await bus_log.at(self._connection, self._swarm.stream("JOB"), at.sequence)
        if written is not None:
            overlooked = self._progress.open.get(task) == at and written.sequence <= self._progress.results
            if overlooked and dispatch is not None and dispatch.stored_s < written.stored_s:
                self._service.complaints("overlooked", f"the register of task {task}")
            self._ended(written)
            return
        if self._progress.open.get(task) != at:
            return
        if dispatch is not None and at.again + 1 < self._service.spec.attempts:  # the broker fences that
            self._service.complaints("redispatched", f"task {task} was acknowledged without a result")
            self._service.history("redispatch", "ok", task=task, again=at.again + 1)
            self._again(decode(dispatch.data, RunTask), at.sequence)
        elif self._may_act() and self._progress.open.get(task) == at:
            await self._bury(task, at, lane)

    async def _bury(self, task: str, at: Dispatched, lane: str) -> None:
        reason = f"acknowledged without a result {at.again + 1} times"
        self._service.complaints("buried", f"task {task}: {reason}")
        dead = TaskResult(
            task=task,
            key=at.key,
            job=at.job,
            lane=lane,
            attempt=at.again + 1,
            agent=self._service.node,
            status="dead",
            reason=reason,
        )
        subject = self._swarm.register(lane, task)
        written, _ = await register.write(self._connection, subject, dead, timeout_s=WRITE_TIMEOUT_S)
        self._service.history("bury", "ok" if written == "won" else "unknown", task=task, reason=reason)
