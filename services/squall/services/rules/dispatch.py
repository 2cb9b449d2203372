"""What a coordinator knows, as a fold over its log and the registers. Pure.

    snapshot ─► dispatched tasks after it ─► registers after it ─► the state now

A new leader folds the same records and so resumes without asking anybody.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from squall.bus.messages import CoordinatorState, JobProgress, RunTask, TaskResult


class Progress:
    """The mutable state behind a `CoordinatorState`.

    Attributes:
        ingress: All submissions up to this sequence were dispatched.
        results: All registers up to this sequence are counted in.
        dispatched: Tasks dispatched in all, repeats included.
        open: Tasks dispatched and not yet terminal: id to dispatch sequence, 0 while it is being written.
        jobs: Progress by job.
    """

    def __init__(self, state: CoordinatorState | None = None) -> None:
        self.ingress = state.ingress if state else 0
        self.results = state.results if state else 0
        self.dispatched = state.dispatched if state else 0
        self.open: dict[str, int] = dict(state.open) if state else {}
        self.jobs: dict[str, JobProgress] = dict(state.jobs) if state else {}

    def snapshot(self, write: str) -> CoordinatorState:
        """Everything a successor needs."""
        return CoordinatorState(
            write=write,
            ingress=self.ingress,
            results=self.results,
            dispatched=self.dispatched,
            jobs=dict(self.jobs),
            open=dict(self.open),
        )

    def _change(self, job: str, **fields: int | bool) -> None:
        self.jobs[job] = msgspec.structs.replace(self.jobs.get(job, JobProgress()), **fields)

    def dispatch(self, task: RunTask, sequence: int = 0) -> bool:
        """A task was dispatched at this place in the log, or is being (0); False if it is open already."""
        self.ingress = max(self.ingress, task.ingress)
        if task.task in self.open:
            return False
        self.open[task.task] = sequence
        self.dispatched += 1
        self._change(task.job, dispatched=self.jobs.get(task.job, JobProgress()).dispatched + 1)
        return True

    def stored(self, task: str, sequence: int) -> None:
        """A task that was being dispatched is stored at this place; it may have ended already."""
        if task in self.open:
            self.open[task] = sequence

    def undo(self, task: RunTask) -> None:
        """A task that was being dispatched had been dispatched before, and ended."""
        if self.open.pop(task.task, None) is not None:
            self.dispatched -= 1
            self._change(task.job, dispatched=self.jobs[task.job].dispatched - 1)

    def result(self, result: TaskResult, sequence: int) -> bool:
        """A register was written; False if it ends no task that was dispatched and open."""
        self.results = max(self.results, sequence)
        if self.open.pop(result.task, None) is None:
            return False
        before = getattr(self.jobs[result.job], result.status) if result.job in self.jobs else 0
        self._change(result.job, **{result.status: before + 1})
        return True

    def close(self, job: str, sequence: int) -> None:
        """No more tasks come for a job."""
        self.ingress = max(self.ingress, sequence)
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
