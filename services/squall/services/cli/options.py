"""The arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from squall.services.launch.places import PLACES


def a_path(text: str) -> Path:
    """A path that somebody named: an empty one would be the current folder, which nobody means by it."""
    if not text:
        raise typer.BadParameter("it is empty, and a path is asked for")
    return Path(text)


Pattern = Annotated[str, typer.Argument(help="A pattern, or the path of a swarm.toml.")]
TasksFrom = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Your own tasks: a file of JSON lines or .csv, - for a pipe, or nats:SUBJECT as they come.",
    ),
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
EFFECTS_HELP = (
    "Where effects go: venue, none, the URL of an HTTP service, nats:SUBJECT of a stream of yours, "
    "or package.module:function."
)
Agents = Annotated[int | None, typer.Option(help=AGENTS_HELP)]
Tasks = Annotated[int | None, typer.Option(help=TASKS_HELP)]
Rate = Annotated[float | None, typer.Option(help=RATE_HELP)]
Handler = Annotated[str | None, typer.Option(help=HANDLER_HELP)]
On = Annotated[str, typer.Option(metavar="PLACE", help=f"Where the nodes run: {' or '.join(PLACES)}.")]
InsecureNats = Annotated[
    bool, typer.Option("--insecure-nats", help="Allow nats:// to another machine, in clear text.")
]
