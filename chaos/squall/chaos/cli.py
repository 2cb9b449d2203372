"""The harness's subcommands, plugged into the command by entry points."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from squall.chaos.judge import judge
from squall.services.cli import AsJson, sentences
from squall.services.report import print_table
from squall.services.result import document, exit_code


def check(run: Annotated[Path, typer.Argument(help="A run's directory.")], as_json: AsJson = False) -> None:
    """Judge a run again, from its directory alone."""
    with sentences(as_json=as_json):
        result = judge(run, write=False)
    if as_json:
        sys.stdout.write(document(result).decode() + "\n")
    else:
        print_table(result, Console())
    raise typer.Exit(exit_code(result))
