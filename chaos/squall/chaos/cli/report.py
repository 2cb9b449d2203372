"""``squall report``: the page of a run, from its directory alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from squall.chaos.errors import ChaosError
from squall.chaos.evidence.series import planned_in
from squall.chaos.judge.run import result
from squall.chaos.tell.documents import history_of
from squall.chaos.tell.page.page import PAGE, page
from squall.services.cli.main import failing, sentences
from squall.services.printing import print_line
from squall.services.run.directory import replace, writing


def report(
    run: Annotated[Path, typer.Argument(help="The directory of a run, or of a series of them.")],
    out: Annotated[Path | None, typer.Option(help="The file to write; default report.html in it.")] = None,
) -> None:
    """Write a run's page from its directory alone: one file, which needs no network."""
    with sentences(as_json=False):
        try:
            planned = None if out is not None else planned_in(run)
            runs = [run] if planned is None else [run / name for name in planned.runs]
            for each in runs:
                _write(each, out or each / PAGE)
        except ChaosError as error:
            failing(error.kind, str(error), error.remedy, error.exit_code, as_json=False)


def _write(run: Path, path: Path) -> None:
    history = history_of(run)
    content = page(run, history, result(history, run.absolute().name))
    with writing(path):
        replace(path, content)
    print_line(str(path))
