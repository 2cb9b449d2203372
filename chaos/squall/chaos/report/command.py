"""``squall report``: the page of a run, from its directory alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from squall.chaos.errors import ChaosError
from squall.chaos.history import read
from squall.chaos.judge import replace, result
from squall.chaos.report.page import PAGE, page
from squall.services.cli import failing, sentences
from squall.services.run_directory import writing


def report(
    run: Annotated[Path, typer.Argument(help="The directory of a run.")],
    out: Annotated[Path | None, typer.Option(help="The file to write; default report.html in it.")] = None,
) -> None:
    """Write a run's page from its directory alone: one file, which needs no network."""
    path = out or run / PAGE
    with sentences(as_json=False):
        try:
            history = read(run)
        except ChaosError as error:
            failing(error.kind, str(error), error.remedy, error.code, as_json=False)
        content = page(run, history, result(history, run.absolute().name))
        with writing(path):
            replace(path, content)
    sys.stdout.write(f"{path}\n")
