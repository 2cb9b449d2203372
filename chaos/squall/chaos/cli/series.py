"""Runs the plans of a series, one after the other, and gathers what came of them."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import msgspec
import typer

from squall.bus.errors import first_error
from squall.chaos.cli.setup import experiment_of
from squall.chaos.evidence.series import Planned, begin, digest, forget, note
from squall.chaos.inject import schedule_file
from squall.chaos.inject.experiment import carry_out, experiment
from squall.chaos.judge.series import EXIT, Judged, series_result
from squall.chaos.plan.schedule import Schedule
from squall.chaos.plan.series import Plan
from squall.chaos.plan.shrink import as_test, often_enough, shrink, within
from squall.chaos.tell.documents import judge, judge_run, write_series
from squall.chaos.tell.table import print_run, print_series
from squall.services.cli.progress import Shown
from squall.services.cli.run import run_loop
from squall.services.cli.terminal import Terminal
from squall.services.errors import HandlerError, NothingOfferedError, SpecError
from squall.services.launch.places import PROCESSES
from squall.services.printing import print_document
from squall.services.run.directory import RunDirectory, claim
from squall.services.run.loaded import STEADY_S
from squall.services.run.progress import Begun, Phase, Progress
from squall.services.run.result import REPORT
from squall.services.run.spec import Spec


class Course:
    """Where a series is, and how long it goes on yet by what its runs took. Pure.

    Args:
        planned: How many runs it has at least.
        more_s: How long it goes on with others after them.
    """

    def __init__(self, planned: int, *, more_s: float = 0.0) -> None:
        self._planned = planned
        self._more_s = more_s
        self._begun_s: list[float] = []

    def begun(self, run: str, now_s: float) -> Begun:
        """The next run begins."""
        self._begun_s.append(now_s)
        number = len(self._begun_s)
        left_s: float | None = None
        if number > self._planned:
            left_s = max(0.0, self._begun_s[self._planned] + self._more_s - now_s)
        elif number > 1:
            each_s = (now_s - self._begun_s[0]) / (number - 1)
            left_s = each_s * (self._planned - number + 1) + self._more_s
        runs = None if self._more_s else self._planned
        return Begun(run=run, number=number, runs=runs, series_left_s=left_s)


class Series:
    """A series that is being run.

    Args:
        folder: Where to; a directory that holds no series yet.
        url: An outside broker for all its swarms, or None for one of our own for each.
        on: Where their nodes run.
        steady_s: How long each swarm must keep up before anything is done to it.
        more_s: How long it goes on with new seeds when the planned runs are over.

    Attributes:
        interrupted: Whether the user wants no more.
    """

    def __init__(
        self,
        folder: Path,
        planned: Planned,
        *,
        port: int,
        as_json: bool,
        url: str | None = None,
        on: str = PROCESSES,
        steady_s: float = STEADY_S,
        more_s: float = 0.0,
    ) -> None:
        self._made = begin(folder, planned)
        self._folder = folder
        self._planned = planned
        self._port = port
        self._as_json = as_json
        self._url = url
        self._on = on
        self._steady_s = steady_s
        self._console = Terminal(stderr=as_json)
        self._done: list[tuple[Plan, Judged]] = []
        self._course = Course(len(planned.runs), more_s=more_s)
        self.interrupted = False

    def run(self, planned: Plan, shown: Shown) -> bool:
        """Run one; whether the user wants no more."""
        self._note(planned)
        path = self._folder / planned.name
        was_there = path.exists()
        shown.tell(self._course.begun(planned.name, time.monotonic()))
        try:
            with claim(planned.spec, path) as directory:
                try:
                    self._carry_out(planned.schedule, planned.spec, directory, shown.tell)
                except (HandlerError, BaseExceptionGroup) as error:
                    if isinstance(first_error(error, HandlerError), HandlerError):
                        judge_run(path, keep=True)  # so that the directory tells the same
                    raise
                shown.tell(Phase(stage="judging"))
                judged = judge_run(path, keep=True)
        except (KeyboardInterrupt, typer.Exit):  # killed before it had drained, or while it was judged
            self._note_interruption()
            raise
        except (SpecError, NothingOfferedError, BaseExceptionGroup) as error:
            first = first_error(error)
            if not self._done and isinstance(first, SpecError) and path.exists() == was_there:
                forget(self._folder, self._made)
            if not isinstance(first, NothingOfferedError):
                raise
            self._note_interruption()
            if not self._done:
                raise
            self.interrupted = True  # and what came of the others is told
            return True
        if self.interrupted:
            self._note_interruption()
        self._done.append((planned, judged))
        with shown.aside():
            print_run(judged.result, self._console, path)
        return self.interrupted

    def _note(self, planned: Plan) -> None:
        """Note what this run is to be before it is begun."""
        runs = self._planned.runs
        if planned.name not in runs:
            runs = (*runs, planned.name)
        is_to_be = digest(planned.spec.toml(), schedule_file.text_of(planned.schedule))
        digests = {**self._planned.digests, planned.name: is_to_be}
        self._planned = msgspec.structs.replace(self._planned, runs=runs, digests=digests)
        note(self._folder, self._planned)

    def _note_interruption(self) -> None:
        self._planned = msgspec.structs.replace(self._planned, interrupted=True)
        note(self._folder, self._planned)

    def _carry_out(self, schedule: Schedule, spec: Spec, directory: RunDirectory, progress: Progress) -> None:
        schedule_file.write(directory, schedule)
        attack = carry_out(schedule)
        self.interrupted = run_loop(
            lambda interrupt: experiment(
                spec,
                directory,
                attack,
                url=self._url,
                on=self._on,
                interrupt=interrupt,
                progress=progress,
                port=self._port,
                steady_s=self._steady_s,
            )
        )

    def shrink_first_failure(self, budget_s: float, shown: Shown) -> None:
        """Shrink the first schedule under which a check failed, and leave it as a test."""
        for planned, judged in self._done:
            failed = next((check for check in judged.result.checks if check.verdict == "fail"), None)
            if failed is not None and planned.schedule.intervals:
                break
        else:
            return
        tries = itertools.count(1)
        until_s = time.monotonic() + budget_s

        def fails(schedule: Schedule) -> bool:
            if self.interrupted:
                return False  # so what has been found by now is the smallest
            number = next(tries)
            path = self._folder / f"shrink-{number}"
            left_s = max(0.0, until_s - time.monotonic())
            shown.tell(Begun(run="shrinking", number=number, series_left_s=left_s))
            with claim(planned.spec, path) as directory:
                self._carry_out(schedule, planned.spec, directory, shown.tell)
            return any(c.id == failed.id and c.verdict == "fail" for c in judge(path).checks)

        smallest = shrink(planned.schedule, within(often_enough(fails), budget_s, time.monotonic))
        path = self._folder / f"test_{failed.name.replace('-', '_')}.py"
        experiment_fields = experiment_of(planned.spec.pattern)
        path.write_text(as_test(smallest, planned.spec, failed.id, failed.name, experiment=experiment_fields))
        before, after = len(planned.schedule.intervals), len(smallest.intervals)
        with shown.aside():
            self._console.print(
                f"{failed.id} still fails with {after} of {before} faults: {path}", soft_wrap=True
            )

    def report(self) -> int:
        """Tell what holds over the series; the exit code."""
        series = series_result(self._planned, [judged for _, judged in self._done])
        write_series(self._folder, series)
        if self._as_json:
            print_document(series)
        else:
            print_series(series, self._console)
            self._console.print(f"runs  {self._folder}", soft_wrap=True)
            if (self._folder / REPORT).exists():
                self._console.print(f"report  {self._folder / REPORT}", soft_wrap=True)
        return EXIT[series.verdict]
