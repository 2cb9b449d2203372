"""`squall run`: a swarm from its start to its verdict."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from squall.services.cli.asked import check_on, check_url, named_apart, resolve
from squall.services.cli.help import default_of
from squall.services.cli.options import (
    AGENTS_HELP,
    EFFECTS_HELP,
    HANDLER_HELP,
    RATE_HELP,
    TASKS_HELP,
    AsJson,
    InsecureNats,
    On,
    Pattern,
    Quiet,
    ResultsTo,
    TasksFrom,
    a_path,
)
from squall.services.cli.progress import show_progress
from squall.services.cli.sentences import sentences
from squall.services.cli.signals import INTERRUPTED, interrupting
from squall.services.cli.table import more_of, print_table
from squall.services.cli.terminal import Terminal
from squall.services.errors import SpecError
from squall.services.intake.arrivals import arrived, begin
from squall.services.intake.piped import BEGIN_S, Piped
from squall.services.intake.source import STDIN, is_streamed, shown
from squall.services.intake.store import Taken, taken_in
from squall.services.intake.subject import comes_in
from squall.services.launch.places import PROCESSES
from squall.services.printing import print_document, print_line, say
from squall.services.run.directory import SET_ASIDE, RunDirectory, claim
from squall.services.run.driven import run_once
from squall.services.run.hints import command, named
from squall.services.run.progress import Begun, Phase
from squall.services.run.result import REPORT, Result, blamed_on_handler, exit_code, judge
from squall.services.run.results import STDOUT, Results, check_place
from squall.services.run.spec import Spec
from squall.services.run.written import submitted


def run(
    pattern: Pattern,
    agents: Annotated[int | None, typer.Option(help=AGENTS_HELP, show_default=default_of("agents"))] = None,
    tasks: Annotated[int | None, typer.Option(help=TASKS_HELP, show_default=default_of("tasks"))] = None,
    tasks_from: TasksFrom = None,
    seconds: Annotated[
        float | None, typer.Option(help="How long tasks are taken from a subject.", show_default="no end")
    ] = None,
    results: ResultsTo = None,
    rate: Annotated[float | None, typer.Option(help=RATE_HELP, show_default=default_of("rate_per_s"))] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Where the workload's randomness comes from.", show_default=default_of("seed")),
    ] = None,
    handler: Annotated[
        str | None, typer.Option(help=HANDLER_HELP, show_default=default_of("handler"))
    ] = None,
    effects: Annotated[
        str | None, typer.Option(help=EFFECTS_HELP, show_default=default_of("effects"))
    ] = None,
    on: On = PROCESSES,
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
        check_on(on)
        spec = resolve(
            pattern,
            agents=agents,
            tasks=tasks,
            tasks_from=tasks_from,
            tasks_seconds=seconds,
            rate_per_s=rate,
            seed=seed,
            handler=handler,
            effects=effects,
        )
        if nats is not None:
            check_url(nats, insecure=insecure_nats)
            spec = named_apart(spec)
    start(spec, nats=nats, on=on, results=results, out=out, quiet=quiet, as_json=as_json)


def start(
    spec: Spec,
    *,
    nats: str | None = None,
    on: str = PROCESSES,
    results: str | None = None,
    out: Path | None = None,
    quiet: bool = False,
    as_json: bool = False,
) -> None:
    """Run a swarm to its verdict, print it, and end with its exit code.

    Args:
        nats: An outside broker.
        on: Where its nodes run.
        results: Where to write what came of each task, a path or ``-``.
        out: Directory of the run.
    """
    with sentences(as_json=as_json):
        if results is not None:
            check_place(results, adds=bool(spec.tasks_from))
        if results == STDOUT and as_json:
            raise SpecError("--json and --results - both want the standard output", "name a file for results")
        with contextlib.ExitStack() as held:
            directory = held.enter_context(claim(spec, out))
            own = None
            if spec.tasks_from:
                before = Path(results) if results not in (None, STDOUT) else None
                own = directory.tasks
                if is_streamed(spec.tasks_from):
                    begin(directory, before)
                else:
                    spec, taken = taken_in(spec, directory, results=before)
                    _tell_of(taken, spec.tasks_from, directory)
                    if not taken.tasks:
                        _leave(directory, taken, as_json=as_json)
                        return
            pipe = None
            if spec.tasks_from == STDIN:
                pipe = held.enter_context(Piped(directory.path, spec.tasks, spec.able))
                if pipe.holds_none(BEGIN_S):
                    _end_of(pipe, directory)
                    _leave(directory, pipe.taken, as_json=as_json)
                    return
            written = held.enter_context(Results(results, own)) if results is not None else None
            progress = held.enter_context(show_progress(quiet=quiet))
            progress.tell(Begun(run=spec.pattern))
            interrupted = run_loop(
                lambda interrupt: run_once(
                    spec,
                    directory,
                    url=nats,
                    on=on,
                    interrupt=interrupt,
                    progress=progress.tell,
                    results=written,
                )
            )
            if comes_in(spec.tasks_from):
                _tell_of_arrivals(spec, directory)
            if pipe is not None:
                _end_of(pipe, directory)
                if not pipe.taken.tasks and not interrupted:
                    _leave(directory, pipe.taken, as_json=as_json)
                    return
            progress.tell(Phase(stage="judging"))
            try:
                result = judge(directory.path)
            except KeyboardInterrupt:
                say(f"interrupted while it was judged; `{command('check', directory.path)}` judges it again")
                raise
        code = _report(result, directory.path, as_json=as_json, beside=results == STDOUT)
    raise typer.Exit(INTERRUPTED if interrupted else code)


def _leave(directory: RunDirectory, taken: Taken, *, as_json: bool) -> None:
    """End without a run, as all tasks ended in an earlier one."""
    directory.leave_nothing()
    if as_json:
        print_document({"offered": 0, "ended_before": taken.ended})


def _end_of(pipe: Piped, directory: RunDirectory) -> None:
    """Read no more of a pipe, and say what of it was not run.

    Raises:
        SpecError, DiskError: It could not be read, or kept, or holds no task.
    """
    pipe.close()
    pipe.check()
    _tell_of(pipe.taken, STDIN, directory)
    offered, _ = submitted(directory.history)
    if left := pipe.taken.tasks - offered:
        were = "task was" if left == 1 else "tasks were"
        say(f"{left:,} {were} read of {shown(STDIN)} and not offered, as the run was ended before")


def _tell_of(taken: Taken, tasks_from: str, directory: RunDirectory) -> None:
    """Say what of a user's tasks is not offered."""
    source = shown(tasks_from)
    if taken.ended:
        left = "" if taken.tasks or comes_in(tasks_from) else "; nothing is left to run"
        say(f"{taken.ended:,} of {source} ended in an earlier run, and are not run again{left}")
    is_kept = taken.tasks or comes_in(tasks_from)
    kept = f"set aside in {named(directory.path / SET_ASIDE)}" if is_kept else "no task"
    if taken.aside == 1:
        say(f"a record of {source} is {kept}: {taken.first}")
    elif taken.aside:
        say(f"{taken.aside:,} records of {source} are {kept}, the first: {taken.first}")
    if taken.repeated:
        says = "says" if taken.repeated == 1 else "say"
        say(f"{taken.repeated:,} of its records {says} what an earlier one says, which is run once")


def _tell_of_arrivals(spec: Spec, directory: RunDirectory) -> None:
    """Say what came in that was not run."""
    came, source = arrived(directory.path), shown(spec.tasks_from)
    _tell_of(came.taken, spec.tasks_from, directory)
    if came.dropped:
        say(f"{came.dropped:,} of {source} came faster than they were taken, and are lost")


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
