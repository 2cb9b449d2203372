"""``squall chaos``: a swarm under faults, seed after seed, and what survived."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from squall.chaos.cli.mutants import prove_all
from squall.chaos.errors import ChaosError
from squall.chaos.evidence.series import Planned, begin, note
from squall.chaos.inject.experiment import carry_out, experiment, write_schedule
from squall.chaos.inject.faults.catalogue import make
from squall.chaos.inject.toxiproxy import check_port
from squall.chaos.judge.run import judge
from squall.chaos.judge.series import EXIT, Judged, judge_run, series_result
from squall.chaos.plan.schedule import Schedule, load
from squall.chaos.plan.series import EXPERIMENT, Plan, plans
from squall.chaos.plan.shrink import as_test, often_enough, shrink, within
from squall.chaos.tell.table import print_run, print_series
from squall.services.cli.main import INTERRUPTED, AsJson, failing, resolve, run_loop, sentences
from squall.services.cli.terminal import Terminal, print_document, show_progress
from squall.services.run.directory import RunDirectory, claim
from squall.services.run.spec import Spec


def chaos(
    patterns: Annotated[list[str] | None, typer.Argument(help="Patterns, or paths to a swarm.toml.")] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="Only this fault; NAME or NAME@TARGET. May be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds; of a schedule, how often.")] = 1,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 1,
    minutes: Annotated[float | None, typer.Option(min=0, help="Go on with new seeds for so long.")] = None,
    schedule: Annotated[Path | None, typer.Option(help="What to do, from a file, instead of a seed.")] = None,
    shrink_minutes: Annotated[
        float, typer.Option("--shrink", min=0, help="Minutes for shrinking the first schedule that fails.")
    ] = 0.0,
    mutants: Annotated[
        bool, typer.Option("--mutants", help="Prove the checks on known-bad variants.")
    ] = False,
    toxiproxy_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to look in with toxiproxy-cli; 0 is any free port.")
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="Directory of the series; default runs/<id>.")] = None,
    as_json: AsJson = False,
) -> None:
    """Break a swarm on purpose, behind a proxy a node, and judge what survived."""
    folder = out or Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    drawn = minutes or fault
    if mutants and (
        set(patterns or ()) - {"hierarchical"} or drawn or schedule or shrink_minutes or seeds > 1
    ):
        message = "--mutants brings its own swarms, faults and seeds"
        failing("input", message, "leave out all but --out and --json", 2, as_json=as_json)
    if schedule is not None and (drawn or len(patterns or ()) > 1):
        message = "--schedule says what is done, and to one swarm"
        failing("input", message, "leave out --fault, --minutes and further patterns", 2, as_json=as_json)
    if mutants:
        with chaos_sentences(as_json=as_json):
            code = prove_all(folder, as_json=as_json)
        raise typer.Exit(code)
    with chaos_sentences(as_json=as_json):
        faults = [_fault(text) for text in fault or ()]
        specs = [_spec(pattern) for pattern in patterns or ["hierarchical"]]
        more: Iterable[Plan] = ()
        if schedule is not None:
            first = _repeated(_scheduled(specs[0], schedule, seed), seeds)
        else:
            first = _first(specs, range(seed, seed + seeds), faults)
            more = _more(specs[0], seed + seeds, faults, minutes or 0.0)
        check_port(toxiproxy_port)
        names = tuple(plan.name for plan in first)
        planned = Planned(runs=names, all_faults=schedule is None and not faults)
        series = _Series(folder, planned, port=toxiproxy_port, as_json=as_json)
        with show_progress() as progress:
            for plan in itertools.chain(first, more):
                if series.run(plan, progress):
                    break
        if shrink_minutes and not series.interrupted:
            series.shrink_first_failure(60 * shrink_minutes)
        code = series.report()
    raise typer.Exit(INTERRUPTED if series.interrupted else code)


@contextlib.contextmanager
def chaos_sentences(*, as_json: bool) -> Iterator[None]:
    """Turn what was raised inside into one sentence and an exit code, the harness's own errors too."""
    with sentences(as_json=as_json):
        try:
            yield
        except* ChaosError as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            assert isinstance(error, ChaosError)
            message = f"harness broken: {error}" if error.kind == "harness" else str(error)
            failing(error.kind, message, error.remedy, error.code, as_json=as_json)


# What is asked.


def _fault(text: str) -> tuple[str, str]:
    """``NAME`` or ``NAME@TARGET``.

    Raises:
        FaultError: There is no such fault.
    """
    name, _, target = text.partition("@")
    make(name, {})
    return name, target


def _spec(pattern: str) -> Spec:
    """The pattern set up for an experiment; a file is taken as it is, but for its load, which has no end."""
    if pattern.endswith(".toml") or "/" in pattern:
        return resolve(pattern, tasks=EXPERIMENT["tasks"], pause_leader=False)
    return resolve(pattern, **EXPERIMENT)


def _first(specs: Sequence[Spec], seeds: Sequence[int], faults: Sequence[tuple[str, str]]) -> list[Plan]:
    """The runs that are asked for, in order.

    Raises:
        FaultError: A fault cannot strike its target.
    """
    return [
        replace(plan, name=f"{place}-{plan.name}") if len(specs) > 1 else plan
        for place, spec in enumerate(specs, 1)
        for plan in plans(spec, seeds, faults)
    ]


def _more(spec: Spec, first: int, faults: Sequence[tuple[str, str]], minutes: float) -> Iterator[Plan]:
    """Runs with new seeds, one after the other, until the time is over."""
    end_s = time.monotonic() + 60 * minutes
    for seed in itertools.count(first):
        if time.monotonic() >= end_s:
            return
        yield plans(spec, [seed], faults)[0]


def _scheduled(spec: Spec, path: Path, seed: int) -> Plan:
    loaded = load(path, spec)
    return Plan("schedule", msgspec.structs.replace(spec, seed=loaded.seed or seed), loaded)


def _repeated(plan: Plan, times: int) -> list[Plan]:
    """A schedule replays; processes meet it a little differently each time."""
    if times == 1:
        return [plan]
    return [replace(plan, name=f"{plan.name}-{number}") for number in range(1, times + 1)]


# What is done, and what came of it.


class _Series:
    """Runs plans and gathers what came of them.

    Args:
        folder: Where to; a directory that holds no series yet.
    """

    def __init__(self, folder: Path, planned: Planned, *, port: int, as_json: bool) -> None:
        begin(folder, planned)
        self._folder = folder
        self._planned = planned
        self._port = port
        self._as_json = as_json
        self._console = Terminal(stderr=as_json)
        self._done: list[tuple[Plan, Judged]] = []
        self.interrupted = False

    def run(self, planned: Plan, progress: Callable[[str], None]) -> bool:
        """Run one; whether the user wants no more."""
        if planned.name not in self._planned.runs:
            self._planned = msgspec.structs.replace(self._planned, runs=(*self._planned.runs, planned.name))
            note(self._folder, self._planned)
        path = self._folder / planned.name
        with claim(planned.spec, path) as directory:
            self._carry_out(planned.schedule, planned.spec, directory, progress)
            judged = judge_run(path, keep=True)
        self._done.append((planned, judged))
        print_run(planned.name, judged.result, self._console)
        return self.interrupted

    def _carry_out(
        self, schedule: Schedule, spec: Spec, directory: RunDirectory, progress: Callable[[str], None]
    ) -> None:
        write_schedule(directory.path, schedule)
        attack = carry_out(schedule)
        self.interrupted = run_loop(
            lambda interrupt: experiment(
                spec, directory, attack, interrupt=interrupt, progress=progress, port=self._port
            )
        )

    def shrink_first_failure(self, budget_s: float) -> None:
        """Shrink the first schedule under which a check failed, and leave it as a test."""
        for planned, judged in self._done:
            failed = next((check for check in judged.result.checks if check.verdict == "fail"), None)
            if failed is not None and planned.schedule.intervals:
                break
        else:
            return
        tries = itertools.count(1)

        def fails(schedule: Schedule) -> bool:
            if self.interrupted:
                return False  # so what has been found by now is the smallest
            path = self._folder / f"shrink-{next(tries)}"
            with claim(planned.spec, path) as directory, show_progress() as progress:
                self._carry_out(schedule, planned.spec, directory, progress)
            return any(c.id == failed.id and c.verdict == "fail" for c in judge(path).checks)

        smallest = shrink(planned.schedule, within(often_enough(fails), budget_s))
        path = self._folder / f"test_{failed.name.replace('-', '_')}.py"
        path.write_text(as_test(smallest, planned.spec, failed.id, failed.name))
        before, after = len(planned.schedule.intervals), len(smallest.intervals)
        self._console.print(
            f"{failed.id} still fails with {after} of {before} faults: {path}", soft_wrap=True
        )

    def report(self) -> int:
        """Tell what holds over the series; the exit code."""
        series = series_result(self._planned, [judged for _, judged in self._done])
        if self._as_json:
            print_document(series)
        else:
            print_series(series, self._console)
            self._console.print(f"runs  {self._folder}", soft_wrap=True)
        return EXIT[series.verdict]
