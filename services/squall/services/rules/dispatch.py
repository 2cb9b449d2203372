"""What a leader knows that gives tasks out, as a fold over its log and what ended them. Pure.

    snapshot ─► dispatches of open tasks, and those after it ─► registers after it ─► the state now

`Given` is what any such leader knows, `Progress` what a coordinator knows besides. A new leader folds the
same records and so resumes without asking anybody. What a task is part of is known from its dispatch, which
a leader wrote; of a register only its subject and its place are believed.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from squall.bus.messages import CoordinatorState, JobProgress, RunTask, Status

JOBS_MAX = 2000
"""Jobs of a swarm, so that a snapshot of them fits a message."""


class Dispatched(NamedTuple):
    """A task that was dispatched and has not ended.

    Attributes:
        sequence: Where its dispatch is stored; 0 while it is being written.
        job, key: What it is part of, and what it belongs to.
        again: How often it had been dispatched before, because its work was lost without a result.
        to: The worker that it was given to; empty for whoever pulls from the pool.
        moved: How often it had been given to somebody else before.
        hedge: Whether the last time was a second try beside the first.
        had: To whom it had been given before, and where that is stored.
    """

    sequence: int
    job: str
    key: str
    again: int = 0
    to: str = ""
    moved: int = 0
    hedge: bool = False
    had: Mapping[str, int] = {}

    @classmethod
    def of(cls, task: RunTask, sequence: int) -> Dispatched:
        """A task that is dispatched at this place."""
        at = task.addressed
        return cls(sequence, task.job, task.key, task.again, at.to, at.moved, at.hedge, at.had)

    @property
    def times(self) -> int:
        """How often it had been dispatched before, for whatever reason."""
        return self.again + self.moved

    @property
    def holders(self) -> dict[str, int]:
        """All to whom it was given, and where that was stored first."""
        return {self.to: self.sequence, **self.had}


class Given:
    """The tasks that a leader has given out.

    Attributes:
        dispatched: Tasks dispatched in all, repeats included.
        open: Tasks dispatched and not yet terminal.
        loads: How many of the open tasks were given to each worker.
    """

    def __init__(self, dispatched: int = 0) -> None:
        self.dispatched = dispatched
        self.open: dict[str, Dispatched] = {}
        self.loads: Counter[str] = Counter()

    def places(self) -> tuple[int, ...]:
        """Where dispatches of open tasks are stored: the first, and then how much further on the next one."""
        stored = sorted(at.sequence for at in self.open.values() if at.sequence)
        return tuple(later - earlier for earlier, later in itertools.pairwise([0, *stored]))

    def fresh(self) -> tuple[str, ...]:
        """Open tasks whose dispatches are being written."""
        return tuple(task for task, at in self.open.items() if not at.sequence)

    def restore(self, task: RunTask, sequence: int) -> None:
        """The dispatch of a task that a snapshot has as open; it is counted there."""
        self._open(task, sequence)

    def dispatch(self, task: RunTask, sequence: int = 0) -> bool:
        """A task was dispatched at this place in the log, or is being (0); False if it is open already."""
        at, now = self.open.get(task.task), Dispatched.of(task, sequence)
        if at is not None and at.times >= now.times:
            return False
        self._open(task, sequence)
        self.dispatched += 1
        return True

    def stored(self, task: str, sequence: int) -> None:
        """A task that was being dispatched is stored at this place; it may have ended already."""
        at = self.open.get(task)
        if at is not None:
            self.open[task] = at._replace(sequence=sequence)

    def undo(self, task: RunTask) -> bool:
        """A task that was being dispatched had been dispatched before, and ended; whether it is open."""
        was_open = self.over(task.task) is not None
        self.dispatched -= was_open
        return was_open

    def over(self, task: str) -> Dispatched | None:
        """A task has ended; what was known of it, or None if it was not dispatched and open."""
        at = self.open.pop(task, None)
        if at is not None:
            self.loads[at.to] -= 1
        return at

    def had_by(self, task: str, worker: str, before: int) -> bool:
        """Whether an open task was given to a worker before a place in the log, now or ever."""
        at = self.open.get(task)
        return at is not None and 0 < at.holders.get(worker, 0) < before

    def _open(self, task: RunTask, sequence: int) -> None:
        self.over(task.task)
        at = self.open[task.task] = Dispatched.of(task, sequence)
        self.loads[at.to] += 1


class Progress(Given):
    """The mutable state behind a `CoordinatorState`.

    Attributes:
        ingress: All submissions up to this sequence were dispatched.
        results: All registers up to this sequence are counted in.
        jobs: Progress by job.
    """

    def __init__(self, state: CoordinatorState | None = None) -> None:
        super().__init__(state.dispatched if state else 0)
        self.ingress = state.ingress if state else 0
        self.results = state.results if state else 0
        self.jobs: dict[str, JobProgress] = dict(state.jobs) if state else {}

    def snapshot(self, write: str) -> CoordinatorState:
        """Everything a successor needs beside the dispatches of the tasks that are open."""
        return CoordinatorState(
            write=write,
            ingress=self.ingress,
            results=self.results,
            dispatched=self.dispatched,
            jobs=dict(self.jobs),
            open=self.places(),
            fresh=self.fresh(),
        )

    def may_open(self, job: str) -> bool:
        """Whether a task may be part of this job: it is known, or there is room for one more."""
        return job in self.jobs or len(self.jobs) < JOBS_MAX

    def dispatch(self, task: RunTask, sequence: int = 0) -> bool:
        """A task was dispatched at this place in the log, or is being (0); False if it is open already."""
        self.ingress = max(self.ingress, task.ingress)
        is_new = super().dispatch(task, sequence)
        if is_new and not Dispatched.of(task, sequence).times:
            self._change(task.job, dispatched=self._job(task.job).dispatched + 1)
        return is_new

    def undo(self, task: RunTask) -> bool:
        """A task that was being dispatched had been dispatched before, and ended; whether it is open."""
        was_open = super().undo(task)
        if was_open:
            self._change(task.job, dispatched=self._job(task.job).dispatched - 1)
        return was_open

    def end(self, task: str, status: Status) -> Dispatched | None:
        """A task has a register; what was known of it, or None if it was not dispatched and open."""
        at = self.over(task)
        if at is not None:
            self._change(at.job, **{status: getattr(self._job(at.job), status) + 1})
        return at

    def skip(self, sequence: int) -> None:
        """A submission cannot be dispatched."""
        self.ingress = max(self.ingress, sequence)

    def close(self, job: str, sequence: int) -> None:
        """No more tasks come for a job."""
        self.ingress = max(self.ingress, sequence)
        if self.may_open(job):
            self._change(job, closed=True)

    def finished(self) -> list[str]:
        """Jobs that are closed and all of whose tasks are terminal, and that are not yet done."""
        return [
            job
            for job, at in self.jobs.items()
            if at.closed and not at.done and at.dispatched == at.ok + at.dead + at.cancelled
        ]

    def finish(self, jobs: Iterable[str]) -> None:
        for job in jobs:
            self._change(job, done=True)

    def _job(self, job: str) -> JobProgress:
        return self.jobs.get(job, JobProgress())

    def _change(self, job: str, **fields: int | bool) -> None:
        self.jobs[job] = msgspec.structs.replace(self._job(job), **fields)


def open_sequences(places: Iterable[int]) -> list[int]:
    """Where the dispatches of a snapshot's open tasks are stored, but for the fresh ones; ascending."""
    return list(itertools.accumulate(places))
