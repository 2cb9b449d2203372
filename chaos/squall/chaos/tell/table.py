"""A series in the terminal: a line a run, and tables of what holds over all, and of what was exercised."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rich.padding import Padding
from rich.table import Table

from squall.chaos.judge.exercised import Exercised
from squall.chaos.judge.series import Hits, Recovered, SeriesCheck, SeriesResult, verdict_of_run
from squall.chaos.plan.cells import STRIKES
from squall.chaos.tell.exercised import facts, left_out, matrix
from squall.services.cli.table import indented
from squall.services.cli.terminal import Terminal, styled
from squall.services.run.result import Result, blamed_on_handler


def print_run(name: str, result: Result, console: Terminal) -> None:
    """What the user's own handler did wrong, the run's line, and one for each check that failed."""
    if blame := blamed_on_handler(result):
        console.print(indented(blame))
    verdict = verdict_of_run(result)
    verified = sum(fault.verified for fault in result.faults)
    recovery = result.recovery_s
    console.print(
        f"{name:10}  {verdict:8} faults {verified}/{len(result.faults)} verified"
        f"  accepted {result.accepted or 0:,}  lost {result.lost}  duplicated {result.duplicated}"
        f"  conflicting {result.conflicting}  fail-over {_seconds(recovery.failover)}"
        f"  drain {_seconds(recovery.drain)}",
        soft_wrap=True,
    )
    for check in result.checks:
        if check.verdict == "fail" and check.detail != blame:
            # Indented on every line, so that no line of a detail can pose as one of ours.
            console.print(Padding(styled(f"{check.id} {check.name}: {check.detail}"), (0, 0, 0, 12)))


def print_series(series: SeriesResult, console: Terminal) -> None:
    """What holds over all runs, a group of tables for each pattern where there are several."""
    patterns = list(dict.fromkeys(run.pattern or "" for run in series.runs))
    for pattern in patterns:
        if len(patterns) > 1:
            console.print("", styled(pattern, "bold"), sep="\n")
        covered = [cell for cell in series.coverage if cell.pattern == pattern]
        tables = [_recovery([step for step in series.recovery if step.pattern == pattern])]
        if any(cell.hits for cell in covered):  # narrowed to faults without points, all would be holes
            tables.insert(0, _coverage(covered))
        for each in series.exercised:
            if each.pattern == pattern:
                tables += _exercised(each, covered)
                if series.all_faults:  # narrowed to some, what is left out was meant to be
                    tables.append(_left_out(left_out(each, covered)))
        if len(patterns) > 1:
            tables.append(_checks([check for check in series.checks if check.pattern == pattern]))
        for table in tables:
            console.print("", table, sep="\n")
    of_all = series.checks if len(patterns) < 2 else [check for check in series.checks if not check.pattern]
    console.print("", _checks(of_all), "", f"verdict  {series.verdict}", sep="\n")


def _coverage(covered: Sequence[Hits]) -> Table:
    table = _table("struck at", *STRIKES)
    for point, cells in itertools.groupby(covered, lambda cell: cell.point):
        counts = {cell.strike: cell.hits for cell in cells}
        table.add_row(point, *(str(counts[strike] or "hole") for strike in STRIKES))
    return table


def _exercised(found: Exercised, covered: Sequence[Hits]) -> list[Table]:
    """Faults by kind and target, and what else the series put its swarms to."""
    drawn = matrix(found, whole=False)
    struck = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    struck.add_column("seen in force", no_wrap=True)
    for target in drawn.targets:
        words = target.replace("-", "- ").split()
        struck.add_column(" ".join(words), justify="right", max_width=max(map(len, words), default=1))
    for kind, cells in drawn.rows:
        struck.add_row(kind, *cells)
    told = Table.grid(padding=(0, 2, 0, 0))
    for name, text in facts(found, covered):
        told.add_row(name, text)
    return [struck, told] if drawn.rows else [told]


def _left_out(missing: Sequence[str]) -> Table:
    table = _table("not exercised")
    for what in missing or ["nothing that there is"]:
        table.add_row(what)
    return table


def _recovery(steps: Sequence[Recovered]) -> Table:
    table = _table("recovery", "runs", "median", "slowest", "bound")
    for step in steps:
        seconds = (_seconds(value) for value in (step.median_s, step.slowest_s, step.bound_s))
        table.add_row(step.what, str(step.runs), *seconds)
    return table


def _checks(checks: Sequence[SeriesCheck]) -> Table:
    table = _table("check", "verdict", "")
    for check in checks:
        table.add_row(f"{check.id} {check.name}", check.verdict, check.detail)
    return table


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
