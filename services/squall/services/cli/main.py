"""The command ``squall``.

Standard output carries what was asked for, or with ``--json`` one document and
nothing else; progress and errors go to standard error. An error is one sentence
with its remedy. Exit codes: 0 all pass, 1 a check fails, 2 unusable input, 3 a
verdict is unknown, 4 the harness or the broker is broken, 130 interrupted.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.exceptions import Abort, TyperException

from squall.bus.guard_process import seal
from squall.services.cli import doctor as doctoring
from squall.services.cli import explain as explaining
from squall.services.cli import init as starting
from squall.services.cli import plan as planning
from squall.services.cli.asked import resolve
from squall.services.cli.creds import creds
from squall.services.cli.defects import BROKEN, end_with
from squall.services.cli.help import Commands, width
from squall.services.cli.operate import operate
from squall.services.cli.options import Agents, AsJson, Pattern, a_path
from squall.services.cli.run import run
from squall.services.cli.sentences import error_document, failing, sentences
from squall.services.cli.signals import INTERRUPTED, interrupt, on_interrupts
from squall.services.cli.sweep import sweep
from squall.services.cli.terminal import Terminal
from squall.services.cli.usage import told
from squall.services.installing import command_for
from squall.services.node.logs import log_as_sentences
from squall.services.printing import (
    guard_streams,
    print_document,
    print_line,
    say,
    unwritten,
)
from squall.services.run.hints import named
from squall.services.words import words

PATH_LENGTH_MAX = 100

app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": width()},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its frames cut words where the terminal is narrow
)


def _version(asked: bool) -> None:
    if asked:
        print_line(f"squall {importlib.metadata.version('squall')}")
        raise typer.Exit()


app.command()(run)
app.command()(operate)
app.command()(creds)
app.command()(sweep)


@app.callback()
def squall(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Swarms of agents over NATS: run them, break them, see what survived."""


@app.command()
def plan(pattern: Pattern, agents: Agents = None, as_json: AsJson = False) -> None:
    """Print nodes, links, subjects and permissions; start nothing."""
    with sentences(as_json=as_json):
        spec = resolve(pattern, agents=agents)
        if as_json:
            print_document(planning.document(spec))
        else:
            planning.show(spec, Terminal())


@app.command()
def explain(
    term: Annotated[str | None, typer.Argument(help="A word; all there are, if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a word on the screen or the page means. (What a run did, `trace` and `report` tell.)"""
    with sentences(as_json=as_json):
        found = words() if term is None else explaining.explained(term)
    if as_json:
        print_document({"words": found})
    elif term is None:
        explaining.show_all(found, Terminal())
    else:
        explaining.show(found, Terminal())


@app.command()
def init(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where to write it; this folder, if left out.", parser=a_path),
    ] = Path(),
    agent: Annotated[
        str, typer.Option("--agent", metavar="KIND", help=f"Made with {', '.join(starting.FLAVOURS)}.")
    ] = "python",
) -> None:
    """Write a swarm of your own to begin with: swarm.toml, a handler, ten tasks, and a test under faults."""
    with sentences(as_json=False):
        written = starting.write(folder, agent)
    print_line(f"written to {named(folder)}: {', '.join(written)}")
    print_line("next")
    for line in starting.next_steps(folder, agent):
        print_line(f"  {line}")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Tell what is here, what is missing, and how to get it."""
    findings = doctoring.examine()
    if as_json:
        print_document({"findings": findings})
    else:
        doctoring.show(findings, Terminal())
    raise typer.Exit(0 if all(finding.ok or not finding.needed for finding in findings) else 4)


def main() -> NoReturn:
    """Run what the command line asks for; commands of other parts are plugged in by entry points."""
    seal()  # a swarm's keys are kept in here
    guard_streams()
    log_as_sentences()
    try:
        code = _command()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        code = end_with(error)
    if reason := unwritten():
        say(reason)
        code = code or BROKEN
    sys.exit(code)


def _command() -> int:
    """Do what the command line asks for; the exit code."""
    for entry in _plugged_in(sys.argv[1:]):
        try:
            app.command(name=entry.name)(entry.load())
        except ModuleNotFoundError as error:
            anything = {"allow_extra_args": True, "ignore_unknown_options": True}
            app.command(name=entry.name, context_settings=anything)(_missing(entry.name, error.name))
    on_interrupts(interrupt)  # from here on there may be something to put in order first
    try:
        # Typer would print what it was given as it is.
        code: int | None = app(args=sys.argv[1:] or ["--help"], standalone_mode=False)
    except TyperException as error:
        message, remedy = told(error)
        if "--json" in sys.argv:
            print_document(error_document("input", message, remedy))
        say(f"{message}; {remedy}")
        return 2
    except Abort:
        return INTERRUPTED
    except SystemExit as ended:
        if isinstance(ended.__context__, OSError):  # Typer ends with 1 where any pipe or socket is broken
            raise ended.__context__ from None
        raise
    return code or 0


def _plugged_in(arguments: Sequence[str]) -> Sequence[importlib.metadata.EntryPoint]:
    """The commands of other parts that must be known; none but the one that is asked for, if it exists.

    Each loads its part, which takes longer than many a command.
    """
    entries = list(importlib.metadata.entry_points(group="squall.commands"))
    own = {command.callback.__name__ for command in app.registered_commands if command.callback is not None}
    asked = arguments[0] if arguments else "--help"
    if asked == "--version":
        return []
    if asked not in own.union(entry.name for entry in entries):
        return entries
    return [entry for entry in entries if entry.name == asked]


def _missing(name: str, package: str | None) -> Callable[[], None]:
    """Stands for a command whose part lacks a package."""

    def command() -> None:
        remedy = command_for("chaos")
        failing("input", f"squall {name} needs {package}, which is not installed", remedy, 2, as_json=False)

    command.__doc__ = f"Needs {package}, which comes with the extra 'chaos' of squall."
    return command
