"""What the harness adds to the command ``squall``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from squall.chaos.errors import ChaosError
from squall.chaos.judge import judge
from squall.services.cli import AsJson, failing
from squall.services.report import print_table
from squall.services.result import document, exit_code


def check(
    run: Annotated[Path, typer.Argument(help="The directory of a run.")],
    as_json: AsJson = False,
) -> None:
    """Judge a run again from its directory alone, which is left as it is."""
    try:
        result = judge(run, keep=False)
    except ChaosError as error:
        failing(error.kind, str(error), error.remedy, error.code, as_json=as_json)
    if as_json:
        sys.stdout.write(document(result).decode() + "\n")
    else:
        print_table(result, Console())
    raise typer.Exit(exit_code(result))
