"""``squall chaos``: a swarm under faults, seed after seed, and what survived."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from squall.chaos.coverage import coverage, rows
from squall.chaos.errors import ChaosError
from squall.chaos.evidence import History
from squall.chaos.experiment import carry_out, experiment, write_schedule
from squall.chaos.faults.catalogue import make
from squall.chaos.history import read
from squall.chaos.judge import judge
from squall.chaos.mutants.command import prove_all
from squall.chaos.schedule import STRIKES, Schedule, load
from squall.chaos.series import (
    EXPERIMENT,
    SEEDS_TO_COVER,
    SOMETIMES,
    Plan,
    Recoveries,
    checks_of,
    plans,
    recoveries_of,
    verdict_of,
)
from squall.chaos.shrink import as_test, often_enough, shrink, within
from squall.chaos.toxiproxy import check_port
from squall.services.cli import INTERRUPTED, AsJson, failing, resolve, run_loop, sentences, show_progress
from squall.services.result import Check, Result
from squall.services.run_directory import claim
from squall.services.spec import Spec

EXIT = {"pass": 0, "fail": 1, "unknown": 3}


def chaos(
    patterns: Annotated[list[str] | None, typer.Argument(help="Patterns, or paths to a swarm.toml.")] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="Only this fault; NAME or NAME@TARGET. May be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 1,
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
    if mutants:
        with chaos_sentences(as_json=as_json):
            code = prove_all(folder, as_json=as_json)
        raise typer.Exit(code)
    with chaos_sentences(as_json=as_json):
        faults = [_fault(text) for text in fault or ()]
        specs = [_spec(pattern) for pattern in patterns or ["hierarchical"]]
        if schedule is not None:
            queue: Iterator[Plan] = iter([_scheduled(specs[0], schedule, seed)])
        else:
            queue = _queue(specs, seed, seeds, faults, minutes)
        check_port(toxiproxy_port)
        series = _Series(port=toxiproxy_port, as_json=as_json)
        with show_progress() as progress:
            for plan in queue:
                if series.run(plan, folder / plan.name, progress):
                    break
        if shrink_minutes:
            series.shrink_first_failure(folder, 60 * shrink_minutes)
        covering = schedule is None and not faults and len(series.results) > SEEDS_TO_COVER
        code = series.report(folder, covering=covering)
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
        return msgspec.structs.replace(resolve(pattern), tasks=EXPERIMENT["tasks"], pause_leader=False)
    return resolve(pattern, **EXPERIMENT)


def _queue(
    specs: Sequence[Spec],
    first: int,
    count: int,
    faults: Sequence[tuple[str, str]],
    minutes: float | None,
) -> Iterator[Plan]:
    """The runs, in order; with ``minutes`` one after the other until the time is over.

    Raises:
        FaultError: A fault cannot strike its target; before anything has run.
    """
    planned = [
        replace(plan, name=f"{place}-{plan.name}") if len(specs) > 1 else plan
        for place, spec in enumerate(specs, 1)
        for plan in plans(spec, range(first, first + count), faults)
    ]
    return itertools.chain(planned, _more(specs[0], first + count, faults, minutes) if minutes else ())


def _more(spec: Spec, first: int, faults: Sequence[tuple[str, str]], minutes: float) -> Iterator[Plan]:
    end_s = time.monotonic() + 60 * minutes
    for seed in itertools.count(first):
        if time.monotonic() > end_s:
            return
        yield plans(spec, [seed], faults)[0]


def _scheduled(spec: Spec, path: Path, seed: int) -> Plan:
    loaded = load(path, spec)
    return Plan("schedule", msgspec.structs.replace(spec, seed=loaded.seed or seed), loaded)


# What is done, and what came of it.


class _Series:
    """Runs plans and gathers what came of them."""

    def __init__(self, *, port: int, as_json: bool) -> None:
        self._port = port
        self._as_json = as_json
        self._console = Console(stderr=as_json, markup=False)
        self._plans: list[Plan] = []
        self.results: list[Result] = []
        self.histories: list[History] = []
        self.interrupted = False

    def run(self, plan: Plan, path: Path, progress: Callable[[str], None]) -> bool:
        """Run one; whether the user wants no more."""
        with claim(plan.spec, path) as directory:
            write_schedule(directory.path, plan.schedule)
            self.interrupted = run_loop(
                lambda interrupt: experiment(
                    plan.spec,
                    directory,
                    carry_out(plan.schedule),
                    interrupt=interrupt,
                    progress=progress,
                    port=self._port,
                )
            )
            result = judge(directory.path)
            self._plans.append(plan)
            self.results.append(result)
            self.histories.append(read(directory.path))
        self._line(plan, result)
        return self.interrupted

    def _line(self, plan: Plan, result: Result) -> None:
        verdict = verdict_of([c for c in result.checks if c.verdict == "fail" or c.id not in SOMETIMES])
        verified = sum(fault.verified for fault in result.faults)
        recovery = result.recovery_s
        self._console.print(
            f"{plan.name:10}  {verdict:8} faults {verified}/{len(result.faults)} verified"
            f"  accepted {result.accepted or 0:,}  lost {result.lost}  duplicated {result.duplicated}"
            f"  conflicting {result.conflicting}  fail-over {_seconds(recovery.failover)}"
            f"  drain {_seconds(recovery.drain)}",
            highlight=False,
            soft_wrap=True,
        )
        for check in result.checks:
            if check.verdict == "fail":
                self._console.print(f"            {check.id} {check.name}: {check.detail}", highlight=False)

    def shrink_first_failure(self, folder: Path, budget_s: float) -> None:
        """Shrink the first schedule under which a check failed, and leave it as a test."""
        for plan, result in zip(self._plans, self.results, strict=True):
            failed = next((check for check in result.checks if check.verdict == "fail"), None)
            if failed is not None and plan.schedule.intervals:
                break
        else:
            return
        tries = itertools.count(1)

        def fails(schedule: Schedule) -> bool:
            path = folder / f"shrink-{next(tries)}"
            with claim(plan.spec, path) as directory, show_progress() as progress:
                write_schedule(directory.path, schedule)
                attack = carry_out(schedule)
                run_loop(
                    lambda interrupt: experiment(
                        plan.spec, directory, attack, interrupt=interrupt, progress=progress, port=self._port
                    )
                )
            return any(c.id == failed.id and c.verdict == "fail" for c in judge(path).checks)

        smallest = shrink(plan.schedule, within(often_enough(fails), budget_s))
        path = folder / f"test_{failed.name.replace('-', '_')}.py"
        path.write_text(as_test(smallest, plan.spec, failed.id, failed.name))
        before, after = len(plan.schedule.intervals), len(smallest.intervals)
        self._console.print(
            f"{failed.id} still fails with {after} of {before} faults: {path}", soft_wrap=True
        )

    def report(self, folder: Path, *, covering: bool) -> int:
        """Tell what holds over the series; the exit code."""
        hits = coverage(self.histories)
        checks = checks_of(self.results, hits if covering else None)
        recoveries = recoveries_of(self.results, self.histories)
        verdict = verdict_of(checks)
        if self._as_json:
            document = {
                "runs": self.results,
                "checks": checks,
                "recovery": recoveries,
                "coverage": [{"point": p, "strike": s, "hits": count} for (p, s), count in hits.items()],
                "verdict": verdict,
            }
            sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        else:
            self._print(_coverage_table(rows(hits)), _recovery_table(recoveries), _check_table(checks))
            self._console.print(f"verdict  {verdict}", f"runs  {folder}", sep="\n", highlight=False)
        return EXIT[verdict]

    def _print(self, *tables: Table) -> None:
        for table in tables:
            self._console.print("", table, sep="\n", highlight=False)
        self._console.print()


def _coverage_table(covered: Sequence[Sequence[str]]) -> Table:
    table = Table("struck at", *STRIKES, box=None, pad_edge=False)
    for row in covered:
        table.add_row(*row)
    return table


def _recovery_table(recoveries: Sequence[Recoveries]) -> Table:
    table = Table("recovery", "runs", "median", "slowest", "bound", box=None, pad_edge=False)
    for each in recoveries:
        seconds = (_seconds(value) for value in (each.median_s, each.slowest_s, each.bound_s))
        table.add_row(each.what, str(each.runs), *seconds)
    return table


def _check_table(checks: Sequence[Check]) -> Table:
    table = Table("check", "verdict", "", box=None, pad_edge=False)
    for check in checks:
        table.add_row(f"{check.id} {check.name}", check.verdict, check.detail)
    return table


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
