"""Commands that are told as a hint: each works as it is pasted into a shell that is in the current folder.

``squall trace a-1 --run 'my runs/20260102-101500-a1b2c3'``
"""

from __future__ import annotations

import shlex
from pathlib import Path


def command(*words: str | Path) -> str:
    """A command of ours as a shell reads it.

    Args:
        words: The command and what it is given; a path is named from the current folder, if it is in there.
    """
    return shlex.join(["squall", *(named(word) if isinstance(word, Path) else word for word in words)])


def trace(task: str, run: Path) -> str:
    """The command that tells what happened to a task of a run."""
    return command("trace", task, "--run", run)


def named(path: Path) -> str:
    """A path as a command names it: from the current folder, if it is in there; never as an option."""
    whole, here = path.absolute(), Path.cwd()
    short = str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)
    return f"./{short}" if short.startswith("-") else short
