"""`squall init`: a swarm of one's own to begin with, which runs as it is."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path

from squall.bus.border import printable
from squall.services.errors import SpecError

FILES = ("swarm.toml", "mine.py", "tasks.jsonl", "test_mine.py")


def write(folder: Path) -> None:
    """Write them into a folder, which is made if it is not there.

    Raises:
        SpecError: One of them is there already, so none is written; or the folder cannot be written to.
    """
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise SpecError(f"{printable(str(folder / there[0]))} is there already", "name another folder")
    source = resources.files("squall.services") / "starter"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).write_bytes((source / name).read_bytes())
    except OSError as error:
        raise SpecError(f"{printable(str(folder))} cannot be written: {error.strerror}") from error


def next_steps(folder: Path) -> list[str]:
    """What to do with them, as lines for a shell."""
    steps = ["squall run swarm.toml", "pytest test_mine.py"]
    if folder.resolve() != Path.cwd():
        steps.insert(0, shlex.join(["cd", str(folder)]))
    return steps
