"""The command ``squall``.

Standard output carries what was asked for, or with ``--json`` one document and
nothing else; progress and errors go to standard error. An error is one sentence
with its remedy. Exit codes: 0 all pass, 1 a check fails, 2 unusable input, 3 a
verdict is unknown, 4 the harness or the broker is broken, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import re
import secrets
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import msgspec
import typer
from typer.exceptions import Abort, TyperException

from squall.bus.border import NAME_LENGTH_MAX, printable
from squall.bus.errors import SquallError, first_error
from squall.bus.guard_process import seal
from squall.bus.tls import is_clear_text
from squall.services.cli import doctor as doctoring
from squall.services.cli import explain as explaining
from squall.services.cli import init as starting
from squall.services.cli import plan as planning
from squall.services.cli.defects import BROKEN, end_with
from squall.services.cli.help import Commands, default_of, width
from squall.services.cli.progress import show_progress
from squall.services.cli.signals import INTERRUPTED, interrupt, interrupting, on_interrupts
from squall.services.cli.table import more_of, print_table
from squall.services.cli.terminal import Terminal
from squall.services.cli.usage import told
from squall.services.errors import SpecError
from squall.services.installing import command_for
from squall.services.intake.source import shown
from squall.services.intake.store import take_in
from squall.services.node.logs import log_as_sentences
from squall.services.patterns import DEFAULT
from squall.services.printing import (
    SENTENCE_LENGTH_MAX,
    guard_streams,
    print_document,
    print_line,
    say,
    unwritten,
)
from squall.services.run.directory import SET_ASIDE, RunDirectory, claim
from squall.services.run.driven import run_once
from squall.services.run.hints import command, named
from squall.services.run.progress import Begun, Phase
from squall.services.run.result import REPORT, Result, blamed_on_handler, exit_code, judge
from squall.services.run.results import STDOUT, Results, check_new
from squall.services.run.spec import Spec
from squall.services.run.swarm_toml import convert, read, with_tasks
from squall.services.words import words

PATH_LENGTH_MAX = 100

app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": width()},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its frames cut words where the terminal is narrow
)


PROCESSES = "processes"
"""Where nodes run; the one place there is."""


def a_path(text: str) -> Path:
    """A path that somebody named: an empty one would be the current folder, which nobody means by it."""
    if not text:
        raise typer.BadParameter("it is empty, and a path is asked for")
    return Path(text)


Pattern = Annotated[str, typer.Argument(help="A pattern, or the path of a swarm.toml.")]
TasksFrom = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Your own tasks: a file of JSON lines or .csv, or - for a pipe."),
]
ResultsTo = Annotated[
    str | None,
    typer.Option("--results", metavar="FILE", help="Where to write what came of each task; - for here."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
AGENTS_HELP = "How many agents."
TASKS_HELP = "How many tasks to offer."
RATE_HELP = "How many tasks to offer a second."
HANDLER_HELP = (
    "What a task is given to: package.module:function, path/to/file.py:function, "
    "exec:COMMAND, or the URL of an HTTP service."
)
Agents = Annotated[int | None, typer.Option(help=AGENTS_HELP)]
Tasks = Annotated[int | None, typer.Option(help=TASKS_HELP)]
Rate = Annotated[float | None, typer.Option(help=RATE_HELP)]
Handler = Annotated[str | None, typer.Option(help=HANDLER_HELP)]
InsecureNats = Annotated[
    bool, typer.Option("--insecure-nats", help="Allow nats:// to another machine, in clear text.")
]


def _version(asked: bool) -> None:
    if asked:
        print_line(f"squall {importlib.metadata.version('squall')}")
        raise typer.Exit()


@app.callback()
def squall(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Swarms of agents over NATS: run them, break them, see what survived."""


def resolve(pattern: str, **overrides: Any) -> Spec:
    """The spec that a PATTERN argument and options mean.

    Raises:
        SpecError: There is no such pattern or file, or it cannot be run.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    if given.get("tasks_from") == "":
        raise SpecError("--tasks-from names no file", "for instance --tasks-from tasks.jsonl")
    if pattern.endswith(".py"):
        named = printable(pattern, PATH_LENGTH_MAX)
        raise SpecError(
            f"{named} is no pattern", f"if its function is decide: {DEFAULT} --handler {named}:decide"
        )
    if is_file(pattern):
        said = said_in(Path(pattern))
        convert(said, pattern)  # so that what is wrong in it is said of it
        return convert({**with_tasks(said), **given}, "the command line")
    return convert({"pattern": pattern, **given}, "the command line")


def said_in(path: Path) -> dict[str, Any]:
    """What a `swarm.toml` says; that it says nothing is told, as nobody writes a file for that.

    Raises:
        SpecError: It cannot be read.
    """
    says = read(path)
    if not says:
        say(f"{path} says nothing, and all defaults of {DEFAULT} are taken")
    return says


def is_file(pattern: str) -> bool:
    """Whether a PATTERN argument is the path of a file."""
    return pattern.endswith(".toml") or "/" in pattern


def failing(kind: str, message: str, remedy: str, code: int, *, as_json: bool) -> NoReturn:
    """End with one sentence, and as a document where one was asked for."""
    if as_json:
        print_document(error_document(kind, message, remedy))
    say(f"{message}{'; ' + remedy if remedy else ''}")
    raise typer.Exit(code)


def error_document(kind: str, message: str, remedy: str) -> dict[str, dict[str, str]]:
    """What stands for a result where there is none."""
    texts = {"kind": kind, "message": message, "remedy": remedy}
    return {"error": {name: printable(text, SENTENCE_LENGTH_MAX) for name, text in texts.items()}}


@contextlib.contextmanager
def sentences(*, as_json: bool, prefer: type[SquallError] = SquallError) -> Iterator[None]:
    """Turn what was raised inside into one sentence and an exit code.

    Args:
        prefer: Of several errors, one of this type is told.
    """
    try:
        yield
    except (SquallError, BaseExceptionGroup) as group:
        error = first_error(group, prefer)
        if not isinstance(error, SquallError):
            raise
        failing(error.kind, error.sentence, error.remedy, error.exit_code, as_json=as_json)


@app.command()
def run(
    pattern: Pattern,
    agents: Annotated[int | None, typer.Option(help=AGENTS_HELP, show_default=default_of("agents"))] = None,
    tasks: Annotated[int | None, typer.Option(help=TASKS_HELP, show_default=default_of("tasks"))] = None,
    tasks_from: TasksFrom = None,
    results: ResultsTo = None,
    rate: Annotated[float | None, typer.Option(help=RATE_HELP, show_default=default_of("rate_per_s"))] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Where the workload's randomness comes from.", show_default=default_of("seed")),
    ] = None,
    handler: Annotated[
        str | None, typer.Option(help=HANDLER_HELP, show_default=default_of("handler"))
    ] = None,
    on: Annotated[
        str, typer.Option(metavar="PLACE", help=f"Where the nodes run; {PROCESSES} is the one there is.")
    ] = PROCESSES,
    nats: Annotated[str | None, typer.Option(help="An outside broker; credentials in NATS_CREDS.")] = None,
    insecure_nats: InsecureNats = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Directory of the run.", show_default="runs/<id>", parser=a_path, metavar="PATH"),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Start a swarm, drive its workload, drain, judge, print what was measured."""
    with sentences(as_json=as_json):
        if on != PROCESSES:
            where = printable(on, NAME_LENGTH_MAX)
            raise SpecError(f"nodes cannot run on {where!r} yet", "leave --on out to run them as processes")
        spec = resolve(
            pattern,
            agents=agents,
            tasks=tasks,
            tasks_from=tasks_from,
            rate_per_s=rate,
            seed=seed,
            handler=handler,
        )
        if nats is not None:
            check_url(nats, insecure=insecure_nats)
            spec = named_apart(spec)
        if results is not None:
            check_new(results)
        if results == STDOUT and as_json:
            raise SpecError("--json and --results - both want the standard output", "name a file for results")
        with contextlib.ExitStack() as held:
            directory = held.enter_context(claim(spec, out))
            if spec.tasks_from:
                spec = _taken_in(spec, directory)
            own = directory.tasks if spec.tasks_from else None
            written = held.enter_context(Results(results, own)) if results is not None else None
            progress = held.enter_context(show_progress(quiet=quiet))
            progress.tell(Begun(run=spec.pattern))
            interrupted = run_loop(
                lambda interrupt: run_once(
                    spec, directory, url=nats, interrupt=interrupt, progress=progress.tell, results=written
                )
            )
            progress.tell(Phase(stage="judging"))
            try:
                result = judge(directory.path)
            except KeyboardInterrupt:
                say(f"interrupted while it was judged; `{command('check', directory.path)}` judges it again")
                raise
        code = _report(result, directory.path, as_json=as_json, beside=results == STDOUT)
    raise typer.Exit(INTERRUPTED if interrupted else code)


def _taken_in(spec: Spec, directory: RunDirectory) -> Spec:
    """The spec with all tasks that its user brings, which are in its directory then; what is not is said.

    Raises:
        SpecError: They cannot be read, or there are none.
    """
    taken = take_in(spec.tasks_from, directory.path, tasks_max=spec.tasks)
    source, aside = shown(spec.tasks_from), named(directory.path / SET_ASIDE)
    if taken.aside == 1:
        say(f"a record of {source} is set aside in {aside}: {taken.first}")
    elif taken.aside:
        say(f"{taken.aside:,} records of {source} are set aside in {aside}, the first: {taken.first}")
    if taken.repeated:
        says = "says" if taken.repeated == 1 else "say"
        say(f"{taken.repeated:,} of its records {says} what an earlier one says, which is run once")
    return directory.with_tasks(spec, taken.tasks)


def named_apart(spec: Spec) -> Spec:
    """The spec of a swarm whose streams are called like no other's, for a broker that others use too."""
    return msgspec.structs.replace(spec, swarm=f"{spec.swarm[:30]}-{secrets.token_hex(4)}")


def check_url(url: str, *, insecure: bool) -> None:
    """See that an outside broker can be reached at a URL, and may be.

    Args:
        insecure: Whether clear text may pass a network.

    Raises:
        SpecError: It is no such URL, or would send in clear text what must not be.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SpecError(f"{url!r} is no NATS URL", "for instance --nats nats://127.0.0.1:4222") from error
    # What nats-py reads in a URL must be what is read here: so no upper case, and nothing that is left out.
    ordinary = url.startswith(("nats://", "tls://")) and re.fullmatch(r"[!-~]+", url) is not None
    if not ordinary or not parts.hostname or port == 0:
        raise SpecError(f"{url!r} is no NATS URL", "for instance --nats nats://127.0.0.1:4222")
    if parts.username or parts.password:
        raise SpecError(
            "credentials do not belong in a URL, which is logged", "name a credentials file in NATS_CREDS"
        )
    if is_clear_text(url) and not insecure:
        raise SpecError(
            f"{url} is another machine, and nats:// would send signatures and all traffic in clear text",
            f"use tls://{parts.netloc}, or add --insecure-nats if the network is yours alone",
        )


def run_loop(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> bool:
    """Run to the end; whether the user, or a supervisor, interrupted. A second signal ends it at once.

    Args:
        work: Given an event that is set once the user wants an end.
    """

    async def interruptible() -> bool:
        interrupt = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work(interrupt))

        def asked() -> None:
            if interrupt.is_set():
                task.cancel()
            else:
                interrupt.set()
                say("draining; once more to kill")

        # The loop's own way would leave a moment, when it closes, in which a signal kills.
        with interrupting(lambda number, frame: loop.call_soon_threadsafe(asked)):
            try:
                await task
            except asyncio.CancelledError:
                say("killed before it had drained")
                raise typer.Exit(INTERRUPTED) from None
        return interrupt.is_set()

    return asyncio.run(interruptible())


def _report(result: Result, path: Path, *, as_json: bool, beside: bool = False) -> int:
    """Print a result, to standard error where something else has the standard output; its exit code."""
    if as_json:
        print_document(result)
        if blame := blamed_on_handler(result):
            say(blame)
            say(more_of(result, path))
    else:
        tell = say if beside else print_line
        print_table(result, Terminal(stderr=beside), path)
        tell(f"run  {named(path)}")
        if (path / REPORT).exists():
            tell(f"report  {named(path / REPORT)}")
    return exit_code(result)


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
) -> None:
    """Write a swarm of your own to begin with: swarm.toml, a handler, ten tasks, and a test under faults."""
    with sentences(as_json=False):
        starting.write(folder)
    print_line(f"written to {named(folder)}: {', '.join(starting.FILES)}")
    print_line("next")
    for line in starting.next_steps(folder):
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
