"""Finds tasks that were submitted long ago, and that no request will ever come for.

    open for long ─► still in the work queue? ── yes: somebody works on it, or will; look again later
                          │ no
                          ▼
                     has it a decision? ── yes: it was submitted once more after it had ended, or a newer hub
                          │ no                  has decided it; or it was overlooked, which is counted
                          ▼
                     has its spoke made a request? ── yes: it is decided in its turn
                          │ no, or before the task was there, several times
                          ▼
                     acknowledged without a request: it is decided as dead

A request is written before its task is acknowledged, so the queue is asked first. Only the spoke that has
the class can acknowledge a task, so this is what that spoke can do to it that no request shows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from squall.bus import log as bus_log
from squall.bus.codec import decode
from squall.bus.errors import RequestError
from squall.bus.messages import TaskResult
from squall.bus.subjects import ANY, lane_for
from squall.services.node.service import Service
from squall.services.roles.hub_log import decision_of
from squall.services.rules.hub import Standing, Submitted

log = logging.getLogger("squall")

SWEEP_S = 0.5
PATIENCE_MIN_S = 5.0

LOOKS = 3
"""How often a task must be missing before it is given up: a queue that the broker is slow to fill must not be
taken for one that loses what is put into it."""


class Sweeper:
    """Sweeps for one term.

    Args:
        standing: What the hub knows.
        owners: Which spoke has a class.
        term: The hub's own.
        lost: Told of a task that was acknowledged without a request.
    """

    def __init__(
        self,
        service: Service,
        standing: Standing,
        owners: Mapping[str, str],
        term: int,
        lost: Callable[[str, Submitted], None],
    ) -> None:
        self._connection = service.connection
        self._swarm = service.swarm
        self._complaints = service.complaints
        self._standing = standing
        self._owners = owners
        self._term = term
        self._lost = lost
        self._patience_s = max(PATIENCE_MIN_S, 2 * service.spec.ack_wait_s)
        self._seen: dict[str, tuple[float, int]] = {}  # since when, and how often it was missing

    async def run(self) -> None:
        """Sweep, for as long as this is not cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            opened = self._standing.open
            seen = self._seen
            self._seen = {task: seen.get(task, (now, 0)) for task in opened}
            overdue = [task for task, (since, _) in self._seen.items() if now - since >= self._patience_s]
            for task in overdue:
                at = opened.get(task)
                if at is None or not self._standing.is_given(task):
                    continue
                missing = self._seen[task][1]
                try:
                    missing = await self._look(task, at, missing)
                except RequestError as error:
                    log.info("sweep: %s", error)
                    break
                self._seen[task] = time.monotonic(), missing

    async def _look(self, task: str, at: Submitted, missing: int) -> int:
        """How often a task was missing in a row, after one more look."""
        connection, swarm = self._connection, self._swarm
        # Where tasks are given to spokes by name, any may have it, and ask for it.
        given = self._standing.given.open.get(task)
        lane = lane_for(at.key)
        queued = (
            swarm.queued(lane, at.key, task, ANY) if given else swarm.queued_in(at.job, lane, at.key, task)
        )
        if await bus_log.last(connection, swarm.stream("WK"), queued) is not None:
            return 0
        if (decided := await decision_of(connection, swarm, task)) is not None:
            submitted = await bus_log.at(connection, swarm.stream("IN"), at.sequence)
            was_before = submitted is not None and submitted.stored_s < decided.stored_s
            is_ours = decode(decided.data, TaskResult).term <= self._term
            if was_before and is_ours and task in self._standing.open:
                self._complaints("overlooked", f"the decision on task {task}")
            self._standing.close(task)
            return 0
        request = swarm.request(ANY if given else self._owners[at.job], task)
        copied = await bus_log.last(connection, swarm.hub_seat.stream, request)
        written = copied or await bus_log.last(connection, swarm.stream("REQ"), request)
        if written is not None and (copied is None or copied.sequence > self._standing.requests):
            return 0
        if missing + 1 >= LOOKS and task in self._standing.open:
            self._lost(task, at)
            return 0
        return missing + 1
