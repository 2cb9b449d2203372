"""The only writer of a coordinator's stream: what is to be stored is stored once, or not at all.

Every record expects to be the first on its subject, and a snapshot expects the
one before it, so a batch whose outcome is unknown can be sent again as it is. A
refusal then has three causes, told apart by reading back: a newer term, an
earlier try of the same batch that was stored, or records that were stored long
ago (a submission repeated after its acknowledgement was lost).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass

from squall.bus import log as bus_log
from squall.bus.codec import decode, encode
from squall.bus.errors import DeposedError, RejectedError, RequestError
from squall.bus.jetstream import WRONG_LAST_SEQUENCE, Entry
from squall.bus.messages import CoordinatorState, DeadLetter, JobDone, JobOpened, RunTask, TaskResult
from squall.bus.term import Leadership
from squall.services.rules.dispatch import Progress
from squall.services.service import Service

log = logging.getLogger("squall")

WRITE_TIMEOUT_S = 10.0
REFUSED_PAUSE_S = 0.5


@dataclass
class _Batch:
    opened: list[str]
    tasks: list[RunTask]
    dead: list[TaskResult]
    finished: list[str]
    snapshot: bool


class JobWriter:
    """Writes for one term.

    Args:
        progress: What the coordinator knows; tasks given to `store` count as dispatched in it already.
        state_sequence: Sequence of the newest snapshot, 0 if there is none.
    """

    def __init__(
        self, service: Service, leadership: Leadership, progress: Progress, state_sequence: int
    ) -> None:
        self._connection = service.connection
        self._swarm = service.swarm
        self._history = service.history
        self._leadership = leadership
        self._progress = progress
        self._stream = service.swarm.stream("JOB")
        self._state_sequence = state_sequence
        self._opened = set(progress.jobs)
        self._trimmed = 0

    async def store(
        self, tasks: list[RunTask], dead: list[TaskResult], finished: list[str], *, snapshot: bool
    ) -> None:
        """Store dispatches, dead letters, ends of jobs and a snapshot in one batch, however long it takes.

        Raises:
            DeposedError: A newer term exists.
        """
        opened = sorted({task.job for task in tasks} - self._opened)
        self._progress.finish(finished)
        batch = _Batch(opened, tasks, dead, finished, snapshot)
        write = ""
        while True:
            # Encoded anew for each try: the snapshot then holds what was learned meanwhile. All tries share
            # one write id, by which a stored one is recognised.
            write = write or secrets.token_hex(8)
            entries = self._entries(batch, write)
            if not entries:
                return
            try:
                sequence = await self._leadership.write(entries, timeout_s=WRITE_TIMEOUT_S)
                break
            except DeposedError:
                raise
            except RejectedError as error:
                if error.code != WRONG_LAST_SEQUENCE:
                    log.error("the coordinator's stream refuses a batch: %s", error)
                    await asyncio.sleep(REFUSED_PAUSE_S)
                    continue
            except RequestError as error:
                log.info("batch unknown, written again: %s", error)
                continue
            found = await self._find(batch, entries, write)
            if found is not None:
                sequence = found
                break
        first = sequence - len(entries) + 1 + len(batch.opened)
        for place, task in enumerate(batch.tasks):
            self._progress.stored(task.task, first + place)
        self._opened.update(batch.opened)
        if batch.snapshot:
            self._state_sequence = sequence
        if batch.tasks:
            self._history("dispatch", "ok", term=self._leadership.term, tasks=len(batch.tasks), first=first)

    def _entries(self, batch: _Batch, write: str) -> list[Entry]:
        swarm, jobs = self._swarm, self._progress.jobs
        entries = [Entry(swarm.job_opened(job), encode(JobOpened(job=job)), 0) for job in batch.opened]
        entries += [
            Entry(swarm.dispatch(task.job, task.key, task.task), encode(task), 0) for task in batch.tasks
        ]
        entries += [
            Entry(swarm.dead(result.job, result.task), encode(DeadLetter(result=result)), 0)
            for result in batch.dead
        ]
        entries += [
            Entry(swarm.job_done(job), encode(JobDone(job=job, progress=jobs[job])), 0)
            for job in batch.finished
        ]
        if batch.snapshot:
            entries.append(Entry(swarm.state, encode(self._progress.snapshot(write)), self._state_sequence))
        return entries

    async def _find(self, batch: _Batch, entries: list[Entry], write: str) -> int | None:
        """After a refusal that was not a deposition: the sequence of the stored batch's last record if an
        earlier try was stored after all; else None, with what was stored long ago taken out of the batch."""
        stored = {}
        for place, entry in enumerate(entries):
            record = await self._last(entry.subject)
            if record is None or (entry.expected and record.sequence == entry.expected):
                continue
            if entry.subject == self._swarm.state:
                if decode(record.data, CoordinatorState).write == write:
                    return record.sequence
                self._state_sequence = record.sequence
                continue
            if self._is_ours(entry, record.data):
                return record.sequence + len(entries) - 1 - place
            stored[entry.subject] = record
        for task in list(batch.tasks):
            if self._swarm.dispatch(task.job, task.key, task.task) in stored:
                batch.tasks.remove(task)
                self._progress.undo(task)
        batch.opened = [job for job in batch.opened if self._swarm.job_opened(job) not in stored]
        batch.dead = [r for r in batch.dead if self._swarm.dead(r.job, r.task) not in stored]
        batch.finished = [job for job in batch.finished if self._swarm.job_done(job) not in stored]
        return None

    def _is_ours(self, entry: Entry, stored: bytes) -> bool:
        """Whether a stored dispatch is of this very batch: its term and place in the ingress are ours."""
        return ".task." in entry.subject and stored == entry.data

    async def _last(self, subject: str) -> bus_log.Record | None:
        while True:
            try:
                return await bus_log.last(self._connection, self._stream, subject)
            except RequestError as error:
                log.info("reading back %s: %s", subject, error)
                await asyncio.sleep(REFUSED_PAUSE_S)

    async def trim(self) -> None:
        """Free the ingress up to what is dispatched, and the log up to the oldest open task.

        Not fenced by the broker, so it is only done with a margin of the lease left; what it removes was
        stored by this term or an earlier one, so it is right even if it comes late.
        """
        if self._progress.ingress <= self._trimmed or not self._leadership.may_act():
            return
        through = self._progress.ingress
        below = min([self._state_sequence, *self._progress.open.values()])
        try:
            await bus_log.trim(self._connection, self._swarm.stream("IN"), below=through + 1)
            if below > 0:
                await bus_log.trim(
                    self._connection, self._stream, below=below, subject=self._swarm.dispatches
                )
            self._trimmed = through
        except RequestError as error:
            log.info("not trimmed: %s", error)
