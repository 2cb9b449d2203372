"""`squall dlq`: the dead letters of a run, and what is done with them."""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from squall.bus.border import printable
from squall.chaos.evidence.files import require_run, require_spec
from squall.chaos.evidence.plural import plural
from squall.chaos.evidence.registers import so_far
from squall.chaos.evidence.task import newest_run
from squall.chaos.tell.documents import history_of
from squall.chaos.tell.letters import REPLAY, REPLAYED, Letter, letters, replay
from squall.services.cli.asked import resolve
from squall.services.cli.layout import Cell, Listing
from squall.services.cli.options import HANDLER_HELP, AsJson, Quiet, a_path
from squall.services.cli.run import start
from squall.services.cli.sentences import sentences
from squall.services.cli.terminal import Terminal, spaced, styled
from squall.services.errors import SpecError
from squall.services.intake.store import Named, Names
from squall.services.printing import print_document
from squall.services.run.directory import TASKS, replace, writing
from squall.services.run.hints import command, named

NAME_LENGTH_MAX = 60


def dlq(
    action: Annotated[
        Literal["list", "show", "replay"],
        typer.Argument(help="What to do: list them, show the attempts of some, or try tasks again."),
    ],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Ids of tasks, or keys of effects; all, if left out."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="The directory of a run.", show_default="the newest in runs/", parser=a_path, metavar="PATH"
        ),
    ] = None,
    handler: Annotated[str | None, typer.Option(help=f"For a replay. {HANDLER_HELP}")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Dead letters of a run, which may go on: tasks given up, and effects that nobody will carry out.

    A replay is a run of its own, of the same swarm, in which each task has an id of its own (order-17 becomes
    order-17.2). Done again, it goes on where it ended.
    """
    with sentences(as_json=as_json):
        path = run or newest_run()
        require_run(path)
        require_spec(path)
        chosen = _chosen(path, names or [])
    if action == "replay":
        _replay(path, chosen, handler, quiet=quiet, as_json=as_json)
    elif as_json:
        print_document({"run": path.name, "letters": chosen})
    elif action == "list":
        _list(path, chosen, Terminal())
    else:
        _show(chosen, Terminal())


def _chosen(path: Path, names: list[str]) -> list[Letter]:
    """Those of these names, or all.

    Raises:
        SpecError: There is none of some name, or the run was killed before anybody had read its broker.
        LaunchError: It goes on, and does not answer.
    """
    history = history_of(path)
    if history.closing is None:
        history = dataclasses.replace(history, registers=so_far(path))
    with Names(path / TASKS) if _has_own(path) else contextlib.nullcontext() as known:
        found = letters(history, Named if known is None else known.of)
    for name in names:
        if not any(name in (letter.id, letter.task) for letter in found):
            raise SpecError(
                f"{printable(name, NAME_LENGTH_MAX)!r} is no dead letter of {named(path)}",
                f"`{command('dlq', 'list', '--run', path)}` lists them",
            )
    return [letter for letter in found if not names or {letter.id, letter.task} & {*names}]


def _has_own(path: Path) -> bool:
    return (path / TASKS).exists()


def _list(path: Path, chosen: list[Letter], console: Terminal) -> None:
    tasks = sum(letter.kind == "task" for letter in chosen)
    effects = len(chosen) - tasks
    counted = f"{plural(tasks, 'task')}, {plural(effects, 'effect')}"
    console.print(spaced(styled(counted, "bold"), styled(named(path), "dim")))
    rows: list[list[Cell]] = [
        [letter.kind, letter.id, str(len(letter.attempts)) if letter.attempts else "", letter.reason]
        for letter in chosen
    ]
    if rows:
        console.print(Listing(("what", "id", "attempts", "why"), rows))


def _show(chosen: list[Letter], console: Terminal) -> None:
    for letter in chosen:
        of = f"{letter.kind} of {letter.key}" if letter.key else letter.kind
        console.print(spaced(styled(letter.id, "bold"), styled(of, "dim")))
        console.print(styled(letter.reason), soft_wrap=True)
        rows: list[list[Cell]] = [
            [
                f"attempt {tried.attempt}",
                tried.agent,
                f"{datetime.fromtimestamp(tried.begun_s, UTC):%H:%M:%S.%f} UTC",
                "" if tried.ended_s is None else f"{tried.ended_s - tried.begun_s:.3f} s",
                "failed" if tried.failed else "cut off" if tried.ended_s is None else "ended",
            ]
            for tried in letter.attempts
        ]
        if rows:
            console.print(Listing(("", "", "", "", ""), rows))
        console.print("")


def _replay(path: Path, chosen: list[Letter], handler: str | None, *, quiet: bool, as_json: bool) -> None:
    """Run the tasks among them in a swarm of the same spec; what comes of them is kept beside that run."""
    with sentences(as_json=as_json):
        tasks = [letter for letter in chosen if letter.kind == "task"]
        if not _has_own(path):
            raise SpecError(
                f"the tasks of {named(path)} are its pattern's own workload",
                f"`{command('run', path / 'spec.toml')}` makes the same ones again",
            )
        if not tasks:
            what = "no task among these" if chosen else "no dead letter"
            raise SpecError(
                f"there is {what} to replay in {named(path)}", "an effect alone cannot be replayed"
            )
        is_replay = Path(resolve(str(path / "spec.toml")).tasks_from).name == REPLAY
        with writing(path):
            replace(path / REPLAY, replay(path / TASKS, tasks, is_replay=is_replay))
        spec = resolve(
            str(path / "spec.toml"), tasks_from=str(path / REPLAY), tasks=len(tasks), handler=handler
        )
    start(spec, results=str(path / REPLAYED), quiet=quiet, as_json=as_json)
