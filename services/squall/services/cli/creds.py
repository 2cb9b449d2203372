"""``squall creds``: a credentials file for an agent that is a guest of a swarm that runs."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from squall.bus.border import is_name, printable
from squall.services.cli.options import AsJson, a_path
from squall.services.cli.sentences import sentences
from squall.services.errors import SpecError
from squall.services.printing import print_document, print_line
from squall.services.run.hints import named
from squall.services.run.operating import SOCKET, invited

GUEST = "guest"
HOURS = 24.0
HOURS_MAX = 24.0 * 366


def creds(
    kind: Annotated[str, typer.Argument(help=f"Whose they are; {GUEST} is what there is.")],
    name: Annotated[str, typer.Argument(help="What the spec of the swarm calls it.")],
    run: Annotated[
        Path | None,
        typer.Option(
            help="The directory of a run that goes on.",
            show_default="the newest in runs/",
            parser=a_path,
            metavar="PATH",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write.", show_default="NAME.creds", parser=a_path, metavar="PATH"),
    ] = None,
    hours: Annotated[
        float, typer.Option(min=0.01, max=HOURS_MAX, help="How long they are good, if the swarm lasts.")
    ] = HOURS,
    as_json: AsJson = False,
) -> None:
    """Write a credentials file for an agent of others, which serves the handler and sees nothing else."""
    with sentences(as_json=as_json):
        if kind != GUEST:
            raise SpecError(
                f"there are no credentials for a {printable(kind, 40)!r}",
                f"use {GUEST}, as in: creds guest pricer",
            )
        if not is_name(name):
            raise SpecError(f"{printable(name, 60)!r} can be no guest", "use the name that the spec has")
        file = out or Path(f"{name}.creds")
        made = invited(run or _newest(Path("runs")), name, hours * 3600)
        _write(file, made.creds)
        until = datetime.fromtimestamp(made.expires_s, UTC)
    if as_json:
        print_document({"file": str(file), "server": made.url, "expires_s": made.expires_s})
    else:
        print_line(f"written to {named(file)}, for {made.url}")
        print_line(f"good until {until:%Y-%m-%d %H:%M} UTC, or until the swarm ends; it is not renewed")


def _newest(runs: Path) -> Path:
    """The run that goes on and began last.

    Raises:
        SpecError: None does.
    """
    found = sorted(runs.glob(f"*/{SOCKET}"), key=lambda socket: socket.stat().st_mtime)
    if not found:
        raise SpecError(f"no swarm runs in {runs}", "name the directory of a run that goes on with --run")
    return found[-1].parent


def _write(file: Path, text: str) -> None:
    """Write a file that only its user may read; one that is there is not written over.

    Raises:
        SpecError: It cannot be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SpecError(
            f"{printable(str(file))} cannot be written: {error.strerror}", "name another file with --out"
        ) from error
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
