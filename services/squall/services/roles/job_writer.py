"""The only writer of a coordinator's stream: what is to be stored is stored once, or not at all.

Every record expects to be the first on its subject, and a snapshot or a repeated
dispatch the one before it, so a batch whose outcome is unknown can be sent again as it is. A
refusal then has three causes, told apart by reading back: a newer term, an
earlier try of the same batch that was stored, or records that were stored long
ago (a submission repeated after its acknowledgement was lost).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from squall.bus import log as bus_log
from squall.bus.codec import decode, encode
from squall.bus.errors import DeposedError, RejectedError, RequestError
from squall.bus.jetstream import BATCH_MAX, WRONG_LAST_SEQUENCE, Entry
from squall.bus.messages import CoordinatorState, DeadLetter, JobDone, JobOpened, RunTask
from squall.bus.term import Leadership
from squall.services.node.service import Service
from squall.services.roles.restore import Restored
from squall.services.rules.dispatch import open_sequences

log = logging.getLogger("squall")

WRITE_TIMEOUT_S = 10.0
REFUSED_PAUSE_S = 0.5


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

    def __init__(self, service: Service, leadership: Leadership, restored: Restored) -> None:
        self._connection = service.connection
        self._swarm = service.swarm
        self._history = service.history
        self._leadership = leadership
        self._progress = restored.progress
        self._stream = service.swarm.stream("JOB")
        self._state_sequence = restored.state_sequence
        self._kept_from = _kept_from(restored.state, restored.state_sequence - BATCH_MAX)
        self._opened = set(restored.progress.jobs)
        self._ingress_trimmed = self._log_trimmed = 0
        self._letters_trimmed = False
        self._letter: tuple[int, str] | None = None

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
        # All tries share one write id, by which a stored one is recognised, and one snapshot: it must not
        # pass a register that was read after the dead letters were chosen.
        write = secrets.token_hex(8)
        state = self._progress.snapshot(write) if snapshot else None
        batch = _Batch(opened, tasks, repeats, letters, finished, state)
        while True:
            entries = self._entries(batch)
            if not entries:
                return False
            try:
                sequence = await self._leadership.write(entries, timeout_s=WRITE_TIMEOUT_S)
                break
            except DeposedError:
                raise
            except RejectedError as error:
                if error.code != WRONG_LAST_SEQUENCE:
                    log.error("the coordinator's stream refuses a batch: %s", error)
                    await asyncio.sleep(REFUSED_PAUSE_S)
                    await self._trim_log()  # not the ingress, where alone the tasks of this batch stand
                    continue
            except RequestError as error:
                log.info("batch unknown, written again: %s", error)
                continue
            found = await self._find(batch, entries, write)
            if found is not None:
                sequence = found
                break
        first = sequence - len(entries) + 1
        for place, task in enumerate(batch.tasks):
            self._progress.stored(task.task, first + len(batch.opened) + place)
        self._opened.update(batch.opened)
        if batch.letters:
            self._letters_trimmed = False
        if batch.snapshot is not None:
            self._state_sequence = sequence
            self._kept_from = _kept_from(batch.snapshot, first)
        if batch.tasks:
            self._history(
                "dispatch",
                "ok",
                term=self._leadership.term,
                tasks=len(batch.tasks),
                first=first + len(batch.opened),
            )
        return batch.snapshot is not None

    def _entries(self, batch: _Batch) -> list[Entry]:
        swarm, jobs = self._swarm, self._progress.jobs
        entries = [Entry(swarm.job_opened(job), encode(JobOpened(job=job)), 0) for job in batch.opened]
        entries += [
            Entry(
                swarm.dispatch(task.job, task.key, task.task), encode(task), batch.repeats.get(task.task, 0)
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
        if batch.snapshot is not None:
            entries.append(Entry(swarm.state, encode(batch.snapshot), self._state_sequence))
        return entries

    async def _find(self, batch: _Batch, entries: list[Entry], write: str) -> int | None:
        """After a refusal that was not a deposition: the sequence of the stored batch's last record if an
        earlier try was stored after all; else None, with what was stored long ago taken out of the batch."""
        stored = {}
        self._letters_trimmed = False  # an earlier try may have stored letters
        for place, entry in enumerate(entries):
            record = await self._last(entry.subject)
            if record is None or (entry.expected and record.sequence == entry.expected):
                continue
            if entry.subject == self._swarm.state:
                if decode(record.data, CoordinatorState).write == write:
                    return record.sequence
                self._state_sequence = record.sequence
                continue
            # A stored dispatch is of this very batch if its term and its place in the ingress are ours.
            if self._swarm.is_dispatch(entry.subject) and record.data == entry.data:
                return record.sequence + len(entries) - 1 - place
            stored[entry.subject] = record
        for task in list(batch.tasks):
            if self._swarm.dispatch(task.job, task.key, task.task) in stored:
                batch.tasks.remove(task)
                self._progress.undo(task)
        batch.opened = [job for job in batch.opened if self._swarm.job_opened(job) not in stored]
        batch.letters = [a for a in batch.letters if self._swarm.dead(a.task.job, a.task.task) not in stored]
        batch.finished = [job for job in batch.finished if self._swarm.job_done(job) not in stored]
        if stored:
            batch.snapshot = None  # it tells of what is not in the batch any more
        return None

    async def _last(self, subject: str) -> bus_log.Record | None:
        while True:
            try:
                return await bus_log.last(self._connection, self._stream, subject)
            except RequestError as error:
                log.info("reading back %s: %s", subject, error)
                await asyncio.sleep(REFUSED_PAUSE_S)

    async def trim(self) -> None:
        """Free the ingress up to what is dispatched, the log up to what a snapshot needs, and dead letters.

        Not fenced by the broker, so it is only done with a margin of the lease left; what it removes was
        stored by this term or an earlier one, so it is right even if it comes late. Not to be called before
        everything that counts as dispatched is stored.
        """
        through = self._progress.ingress
        if through > self._ingress_trimmed and self._leadership.may_act():
            try:
                await bus_log.trim(self._connection, self._swarm.stream("IN"), below=through + 1)
                self._ingress_trimmed = through
            except RequestError as error:
                log.info("not trimmed: %s", error)
        await self._trim_log()

    async def _trim_log(self) -> None:
        """Free the log up to what a snapshot needs, and dead letters; also while a batch is not stored."""
        if not self._leadership.may_act():
            return
        try:
            below = self._kept_from
            if below > self._log_trimmed:
                await bus_log.trim(
                    self._connection, self._stream, below=below, subject=self._swarm.dispatches
                )
                self._log_trimmed = below
            if not self._letters_trimmed:
                self._letters_trimmed = await self._trim_letters()
        except RequestError as error:
            log.info("not trimmed: %s", error)

    async def _trim_letters(self) -> bool:
        """Remove the dead letters that the broker has copied; True once none is left.

        It copies them in order, so that once it has one it has those before. Which one was the newest at the
        last look is remembered, because the newest of now is often on its way. Letters hold the input of
        tasks: without this they would fill the stream that holds the term.
        """
        if self._letter is not None:
            sequence, copy = self._letter
            if await bus_log.last(self._connection, self._swarm.stream("DLQ"), copy) is None:
                return False
            await bus_log.trim(self._connection, self._stream, below=sequence + 1, subject=self._swarm.deads)
            self._letter = None
        newest = await bus_log.last(self._connection, self._stream, self._swarm.deads)
        if newest is None:
            return True
        task = decode(newest.data, DeadLetter).task
        self._letter = newest.sequence, self._swarm.dead_letter(task.job, task.task)
        return False


def _kept_from(state: CoordinatorState | None, first: int) -> int:
    """The oldest dispatch that a successor needs to begin with this snapshot.

    Args:
        first: Of the batch that holds the snapshot.
    """
    return min([first, *open_sequences(state)[:1]]) if state is not None else 0
