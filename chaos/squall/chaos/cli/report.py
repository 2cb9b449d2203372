"""``squall report``: the page of a run, or of a series and each of its runs, from the directory alone."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from squall.chaos.cli.check import Run
from squall.chaos.errors import ChaosError, NotARunError
from squall.chaos.evidence.files import digest_in, require_run, require_spec
from squall.chaos.evidence.model import History
from squall.chaos.evidence.series import planned_in
from squall.chaos.judge.run import result
from squall.chaos.judge.series import Judged, judged_of, series_result
from squall.chaos.tell.documents import history_of
from squall.chaos.tell.page.notices import unwhole
from squall.chaos.tell.page.page import page, series_page
from squall.services.cli.options import a_path
from squall.services.cli.sentences import failing, sentences
from squall.services.errors import DiskError, SpecError
from squall.services.printing import print_line, say
from squall.services.run.directory import replace, writing
from squall.services.run.result import REPORT, Result


def report(
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file to write.", show_default="report.html in it", parser=a_path, metavar="PATH"
        ),
    ] = None,
) -> None:
    """Write a run's page from its directory alone: one file, which needs no network.

    Of a series it writes the page, which leads to those of its runs; and these too, unless it is told where.
    """
    with sentences(as_json=False):
        try:
            planned = planned_in(run)
            if planned is None:
                require_run(run)
                require_spec(run)
                history, judged = _judged(run)
                _write(out or run / REPORT, page(run, history, judged))
                _tell(run, history)
                return
            runs = []
            for name in planned.runs:
                with contextlib.suppress(NotARunError):  # the check of completeness misses it
                    runs.append((name, *_of_series(run / name, keep=out is None)))
            series = series_result(planned, [judged for _, judged, _ in runs])
            _write(out or run / REPORT, series_page(run, series, out))
            for name, _, history in runs:
                _tell(run / name, history)
        except ChaosError as error:
            failing(error.kind, str(error), error.remedy, error.exit_code, as_json=False)


def _judged(run: Path) -> tuple[History, Result]:
    history = history_of(run)
    return history, result(history, run.absolute().name)


def _tell(run: Path, history: History) -> None:
    """Say so if the run's record is not whole."""
    if missing := unwhole(history):
        more = f"; and {len(missing) - 1} more, which its page begins with" if missing[1:] else ""
        say(f"{run}: {missing[0]}{more}")


def _of_series(run: Path, *, keep: bool) -> tuple[Judged, History]:
    history, judged = _judged(run)
    if keep:
        _write(run / REPORT, page(run, history, judged))
    return judged_of(judged, history, digest_in(run)), history


def _write(path: Path, content: bytes) -> None:
    try:
        with writing(path):
            if path.is_dir():
                remedy = f"name one in it, for instance {path / REPORT}"
                raise SpecError(f"{path} is a directory, and a page is a file", remedy)
            replace(path, content)
    except DiskError as error:  # nothing was begun, and another place will do
        raise SpecError(str(error), error.remedy) from error
    print_line(str(path))
