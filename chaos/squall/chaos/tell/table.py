"""A series in the terminal: a few lines a run; then in words, and in tables, what holds over all."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table

from squall.chaos.evidence.plural import plural
from squall.chaos.judge.exercised import Exercised
from squall.chaos.judge.series import Hits, Recovered, SeriesCheck, SeriesResult, verdict_of_run
from squall.chaos.plan.cells import STRIKES
from squall.chaos.tell.exercised import NEVER, Matrix, facts, left_out, matrix
from squall.chaos.tell.summary import in_words
from squall.services.cli.layout import Flow, Listing, Paragraph, folded
from squall.services.cli.table import more_of
from squall.services.cli.terminal import Terminal, styled
from squall.services.run.result import Result, blamed_on_handler

COVERAGE = ("struck at", *STRIKES)
RECOVERY = ("recovery", "runs", "median", "slowest", "bound")
CHECKS = ("check", "verdict", "")
SEEN = "seen in force"
LEFT_OUT = ("not exercised",)
"""The headers of the tables."""

LETTERS = (12, 7, 6, 5)
"""How many letters of a word stand beside each other in the head of a column, the more the better."""


def print_run(result: Result, console: Terminal, run: Path) -> None:
    """What the user's own handler did wrong, the run's facts, and each check that failed.

    Args:
        run: The run's directory.
    """
    if blame := blamed_on_handler(result):
        console.print(Paragraph(styled(blame)))
        console.print(more_of(result, run), soft_wrap=True)
    verified = sum(fault.verified for fault in result.faults)
    recovery = result.recovery_s
    facts_of_run = [
        f"{result.run:10}",
        f"{verdict_of_run(result):8}".rstrip(),
        f"faults {verified}/{len(result.faults)} verified",
        f"accepted {_count(result.accepted)}",
        f"lost {_count(result.lost)}",
        f"duplicated {_count(result.duplicated)}",
        f"conflicting {_count(result.conflicting)}",
        f"fail-over {_seconds(recovery.failover)}",
        f"drain {_seconds(recovery.drain)}",
    ]
    console.print(Flow(facts_of_run, indent=12))
    indent = 12 if console.width >= 60 else 2
    for check in result.checks:
        if check.verdict == "fail" and check.detail != blame:
            # Indented on every line, so that no line of a detail can pose as one of ours.
            text = folded(styled(f"{check.id} {check.name}: {check.detail}"))
            console.print(Padding(text, (0, 0, 0, indent)))


def print_series(series: SeriesResult, console: Terminal) -> None:
    """What holds over all runs, a group of tables for each pattern where there are several."""
    console.print("", Paragraph(styled(in_words(series), "bold")), sep="\n")
    patterns = list(dict.fromkeys(run.pattern or "" for run in series.runs))
    for pattern in patterns:
        if len(patterns) > 1:
            console.print("", styled(pattern, "bold"), sep="\n")
        covered = [cell for cell in series.coverage if cell.pattern == pattern]
        tables: list[RenderableType] = [
            _recovery([step for step in series.recovery if step.pattern == pattern])
        ]
        if any(cell.hits for cell in covered):  # narrowed to faults without points, all would be holes
            tables.insert(0, _coverage(covered, whole=series.all_faults))
        for each in series.exercised:
            if each.pattern == pattern:
                tables += _exercised(each, covered, console)
                if series.all_faults:  # narrowed to some, what is left out was meant to be
                    tables.append(_left_out(left_out(each, covered)))
        if len(patterns) > 1:
            tables.append(_checks([check for check in series.checks if check.pattern == pattern]))
        for table in tables:
            console.print("", table, sep="\n")
    of_all = series.checks if len(patterns) < 2 else [check for check in series.checks if not check.pattern]
    console.print("", _checks(of_all), "", f"verdict  {series.verdict}", sep="\n")


def _coverage(covered: Sequence[Hits], *, whole: bool) -> Listing:
    """How often each step was struck.

    Args:
        whole: Also the steps at which nothing struck, each by itself: they were to be struck.
    """
    rows = []
    idle = 0
    for point, cells in itertools.groupby(covered, lambda cell: cell.point):
        counts = {cell.strike: cell.hits for cell in cells}
        if whole or any(counts.values()):
            none = "hole" if whole else NEVER
            rows.append([point, *(str(counts[strike] or none) for strike in STRIKES)])
        else:
            idle += 1
    if idle:
        rows.append([plural(idle, "other step"), *(NEVER for _ in STRIKES)])
    return Listing(COVERAGE, rows, labelled=True)


def _exercised(found: Exercised, covered: Sequence[Hits], console: Terminal) -> list[RenderableType]:
    """Faults by kind and target, and what else the series put its swarms to."""
    drawn = matrix(found, whole=False)
    told = Listing(("", ""), facts(found, covered))
    if not drawn.rows:
        return [told]
    for letters in LETTERS:
        heads = [_parts(target, letters) for target in drawn.targets]
        kinds = max(len(SEEN), *(len(kind) for kind, _ in drawn.rows))
        if kinds + sum(1 + max(map(len, parts)) for parts in heads) <= console.width:
            return [_matrix(drawn, heads), told]
    rows = []
    for kind, cells in drawn.rows:
        counts = [
            f"{to} {cell}" for to, cell in zip(drawn.targets, cells, strict=True) if cell not in ("", NEVER)
        ]
        rows.append([kind, ", ".join(counts)])
    return [Listing((SEEN, ""), rows), told]


def _matrix(drawn: Matrix, heads: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(SEEN, no_wrap=True)
    for parts in heads:
        table.add_column(" ".join(parts), justify="right", max_width=max(map(len, parts)))
    for kind, cells in drawn.rows:
        table.add_row(kind, *cells)
    return table


def _parts(target: str, letters: int) -> list[str]:
    """The name of a target in pieces of so many letters at most, as equal as can be."""
    pieces = []
    for word in target.replace("-", "- ").split() or [""]:
        count = 1 if len(word) <= letters else math.ceil(len(word) / (letters - 1))
        size = math.ceil(len(word) / count)
        cut = [word[at : at + size] for at in range(0, len(word), size)] or [""]
        pieces += [*(f"{piece}-" for piece in cut[:-1]), cut[-1]]
    return pieces


def _left_out(missing: Sequence[str]) -> Listing:
    return Listing(LEFT_OUT, [[what] for what in missing or ["nothing that there is"]])


def _recovery(steps: Sequence[Recovered]) -> Listing:
    rows = [
        [
            step.said,
            str(step.runs),
            *(_seconds(each) for each in (step.median_s, step.slowest_s, step.bound_s)),
        ]
        for step in steps
    ]
    return Listing(RECOVERY, rows, labelled=True)


def _checks(checks: Sequence[SeriesCheck]) -> Listing:
    return Listing(CHECKS, [[f"{check.id} {check.name}", check.said, check.detail] for check in checks])


def _count(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
