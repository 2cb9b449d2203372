"""What the harness adds to the command ``squall``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from squall.bus.errors import SquallError
from squall.chaos.evidence.files import require_run, require_spec
from squall.chaos.evidence.plural import plural
from squall.chaos.evidence.series import Planned, planned_in
from squall.chaos.evidence.task import gather, nearest, newest_run
from squall.chaos.judge.series import EXIT, series_result
from squall.chaos.tell.documents import judge, judge_all
from squall.chaos.tell.fate import GOOD
from squall.chaos.tell.table import print_run, print_series
from squall.chaos.tell.trace import Timeline, timeline
from squall.services.cli.layout import Cell, Listing
from squall.services.cli.options import AsJson, a_path
from squall.services.cli.sentences import failing
from squall.services.cli.table import print_table
from squall.services.cli.terminal import Terminal, spaced, styled
from squall.services.printing import print_document
from squall.services.run.result import exit_code

Run = Annotated[Path, typer.Argument(help="The directory of a run, or of a series of them.", parser=a_path)]


def check(
    run: Run,
    as_json: AsJson = False,
) -> None:
    """Judge a run, or a series, again from its directory alone, which is left as it is."""
    try:
        planned = planned_in(run)
        if planned is not None:
            raise typer.Exit(_check_series(run, planned, as_json=as_json))
        require_run(run)
        require_spec(run)
        result = judge(run, keep=False)
    except SquallError as error:
        failing(error.kind, error.sentence, error.remedy, error.exit_code, as_json=as_json)
    if as_json:
        print_document(result)
    else:
        print_table(result, Terminal(), run)
    raise typer.Exit(exit_code(result))


def _check_series(folder: Path, planned: Planned, *, as_json: bool) -> int:
    judged = judge_all(folder, planned)
    series = series_result(planned, judged)
    if as_json:
        print_document(series)
    else:
        console = Terminal()
        for result in series.runs:
            print_run(result, console, folder / result.run)
        print_series(series, console)
    return EXIT[series.verdict]


def trace(
    task: Annotated[str, typer.Argument(help="A task, or the id of an order of one.")],
    run: Annotated[
        Path | None,
        typer.Option(
            help="The directory of a run.", show_default="the newest in runs/", parser=a_path, metavar="PATH"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what happened to one task, and to the swarm meanwhile, from a run's directory alone."""
    if not task:
        remedy = "report.html names those that did not end well, and the slowest"
        failing("input", "no task is named", remedy, 2, as_json=as_json)
    try:
        path = run or newest_run()
        evidence = gather(path, task)
        near = nearest(path, task) if evidence is None else []
    except SquallError as error:
        failing(error.kind, error.sentence, error.remedy, error.exit_code, as_json=as_json)
    if evidence is None:
        remedy = f"the nearest are {', '.join(near)}" if near else "none of its tasks has a similar name"
        failing("input", f"{path} knows no task {task}", remedy, 2, as_json=as_json)
    traced = timeline(evidence)
    if as_json:
        print_document(traced)
    else:
        _show(traced, Terminal())


def _show(traced: Timeline, console: Terminal) -> None:
    """A line a moment, its time counted from when the task was due, and what became of it."""
    begun = datetime.fromtimestamp(traced.moments[0].time_s, UTC) if traced.moments else None
    job = f"job {traced.job}  " if traced.job else ""
    console.print(spaced(styled(traced.task, "bold"), styled(f"{job}run {traced.run}", "dim")))
    if begun is not None:
        since = "the first line" if traced.due_s is None else "due"
        first = f"first line {begun:%Y-%m-%d %H:%M:%S.%f} UTC; ms since {since}"
        console.print(styled(first, "dim"), "", sep="\n")
    times = [f"{(moment.time_s - traced.origin_s) * 1e3:+,.1f}" for moment in traced.moments]
    width = max(map(len, times), default=0)
    rows: list[list[Cell]] = [
        [f"{at:>{width}}", moment.node, moment.what, styled(moment.detail, "dim")]
        for at, moment in zip(times, traced.moments, strict=True)
    ]
    console.print(Listing(("", "", "", ""), rows))
    if traced.executions:
        console.print("", _executions(traced), sep="\n")
    for untold in traced.not_recorded:
        console.print(styled(f"not recorded: {untold}", "dim"), soft_wrap=True)
    style = "" if traced.fate in GOOD else "bold red"
    console.print("", styled(traced.outcome, style), sep="\n", soft_wrap=True)


def _executions(traced: Timeline) -> Listing:
    """The starts of the task's handler, and how each ended."""
    more = f", the first {len(traced.executions)}" if traced.executed > len(traced.executions) else ""
    is_witnessed = traced.executions[0].witness is not None
    headers = [
        f"handler started {plural(traced.executed, 'time')}{more}",
        *(["the handler wrote"] if is_witnessed else []),
        "ended",
    ]
    rows: list[list[Cell]] = []
    for one in traced.executions:
        who = f"{one.node}, incarnation {one.incarnation}, attempt {one.attempt}"
        rows.append([who, *([one.witness or ""] if is_witnessed else []), one.end])
    return Listing(headers, rows)
