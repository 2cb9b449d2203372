"""What a coordinator stores: which records a batch has, and what becomes of those that were stored before.

The batches are written by `bus/fenced.py`. A record that was stored long ago is a submission repeated after
its acknowledgement was lost; it is taken out, and the rest is stored without it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Container, Mapping
from dataclasses import dataclass

from squall.bus.codec import decode, encode
from squall.bus.errors import RejectedError
from squall.bus.fenced import CopiedTrim, FencedWriter, Stored
from squall.bus.jetstream import BATCH_MAX, Entry
from squall.bus.log import Record
from squall.bus.messages import CoordinatorState, DeadLetter, JobDone, JobOpened, RunTask
from squall.bus.subjects import ANY
from squall.services.node.lead import Office
from squall.services.node.service import Service
from squall.services.roles.restore import Restored
from squall.services.rules.dispatch import open_sequences

log = logging.getLogger("squall")


@dataclass
class _Batch:
    opened: list[str]
    tasks: list[RunTask]
    repeats: Mapping[str, int]
    letters: list[DeadLetter]
    finished: list[str]
    snapshot: CoordinatorState | None


class JobWriter:
    """Writes for one term.

    Args:
        restored: What the coordinator knows; tasks given to `store` count as dispatched in it already.
    """

    def __init__(self, service: Service, office: Office, restored: Restored) -> None:
        swarm, connection = service.swarm, service.connection
        self._swarm = swarm
        self._history = service.history
        self._term = office.term
        self._progress = restored.progress
        self._kept_from = _kept_from(restored.state, restored.state_sequence - BATCH_MAX)
        self._opened = set(restored.progress.jobs)
        self._writer = FencedWriter(
            connection,
            office.seat,
            office.leadership,
            snapshot_sequence=restored.state_sequence,
            refused=self._refused,
        )
        self._letters = CopiedTrim(
            connection,
            office.seat,
            self._writer,
            swarm.deads,
            copies=swarm.stream("DLQ"),
            copy_of=self._copy_of,
        )

    async def store(
        self,
        tasks: list[RunTask],
        letters: list[DeadLetter],
        finished: list[str],
        *,
        repeats: Mapping[str, int],
        snapshot: bool,
    ) -> bool:
        """Store dispatches, dead letters, ends of jobs and a snapshot in one batch, however long it takes.

        Args:
            repeats: Where the last dispatch is stored of those tasks that are dispatched again.
            snapshot: Whether to store one, of what is known now.

        Returns:
            Whether a snapshot was stored.

        Raises:
            DeposedError: A newer term exists.
        """
        opened = sorted({task.job for task in tasks} - self._opened)
        self._progress.finish(finished)
        # Made once for all tries: it must not pass a register that was read after the letters were chosen.
        state = self._progress.snapshot(secrets.token_hex(8)) if snapshot else None
        batch = _Batch(opened, tasks, repeats, letters, finished, state)
        while True:
            entries = self._entries(batch)
            if not entries and batch.snapshot is None:
                return False
            written = await self._writer.store(entries, encode(batch.snapshot) if batch.snapshot else None)
            if isinstance(written, Stored):
                break
            self._take_out(batch, written.records)
        self._stored(batch, written)
        return batch.snapshot is not None

    def _entries(self, batch: _Batch) -> list[Entry]:
        swarm, jobs = self._swarm, self._progress.jobs
        entries = [Entry(swarm.job_opened(job), encode(JobOpened(job=job)), 0) for job in batch.opened]
        entries += [
            Entry(
                self._subject(task),
                encode(task),
                batch.repeats.get(task.task, 0),
                # To whomever it was given before: a task has one chain of dispatches.
                among=swarm.dispatch(task.job, task.key, task.task, ANY) if task.addressed.to else "",
            )
            for task in batch.tasks
        ]
        entries += [
            Entry(swarm.dead(letter.task.job, letter.task.task), encode(letter), 0)
            for letter in batch.letters
        ]
        entries += [
            Entry(swarm.job_done(job), encode(JobDone(job=job, progress=jobs[job])), 0)
            for job in batch.finished
        ]
        return entries

    def _subject(self, task: RunTask) -> str:
        return self._swarm.dispatch(task.job, task.key, task.task, task.addressed.to)

    def _take_out(self, batch: _Batch, taken: Container[str]) -> None:
        """Take out of a batch what was stored long ago, and the snapshot that tells of it."""
        for task in list(batch.tasks):
            if self._subject(task) in taken:
                batch.tasks.remove(task)
                self._progress.undo(task)
        batch.opened = [job for job in batch.opened if self._swarm.job_opened(job) not in taken]
        batch.letters = [a for a in batch.letters if self._swarm.dead(a.task.job, a.task.task) not in taken]
        batch.finished = [job for job in batch.finished if self._swarm.job_done(job) not in taken]
        batch.snapshot = None

    def _stored(self, batch: _Batch, written: Stored) -> None:
        first = written.first + len(batch.opened)
        for place, task in enumerate(batch.tasks):
            self._progress.stored(task.task, first + place)
        self._opened.update(batch.opened)
        if batch.letters:
            self._letters.wrote()
        if batch.snapshot is not None:
            self._kept_from = _kept_from(batch.snapshot, written.first)
        if batch.tasks:
            count, again = len(batch.tasks), len(batch.repeats)
            self._history("dispatch", "ok", term=self._term, tasks=count, first=first, again=again)

    async def trim(self) -> None:
        """Free the ingress up to what is dispatched, the log up to what a snapshot needs, and dead letters.

        Not to be called before everything that counts as dispatched is stored.
        """
        await self._writer.trim(below=self._progress.ingress + 1, stream=self._swarm.stream("IN"))
        await self._trim_log()

    async def _refused(self, error: RejectedError) -> None:
        """Make room in the log; not in the ingress, where alone the tasks of a refused batch stand."""
        log.error("the coordinator's stream refuses a batch: %s", error)
        await self._trim_log()

    async def _trim_log(self) -> None:
        await self._writer.trim(below=self._kept_from, subject=self._swarm.dispatches)
        await self._letters.trim()

    def _copy_of(self, record: Record) -> str:
        task = decode(record.data, DeadLetter).task
        return self._swarm.dead_letter(task.job, task.task)


def _kept_from(state: CoordinatorState | None, first: int) -> int:
    """The oldest dispatch that a successor needs to begin with this snapshot.

    Args:
        first: Of the batch that holds the snapshot.
    """
    return min([first, *open_sequences(state.open)[:1]]) if state is not None else 0
