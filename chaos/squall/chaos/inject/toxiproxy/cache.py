"""The user's cache of a built toxiproxy-server: in it is what was built, or it is built again.

    build ──► keep: program, and its SHA-256 beside it      use ──► intact? ──► run it
                                                                      └──► no: build anew

Whoever may write the program may write the sum too, so the folder is the user's own, and nobody else may
write there; the sum finds a program that was cut short, overwritten, or put there by anything but `keep`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path

from squall.chaos.errors import HarnessBrokenError

SUM_SUFFIX = ".sha256"


def make_private(folder: Path) -> None:
    """Make the folder, for this user alone, and refuse one that others may write.

    Raises:
        HarnessBrokenError: Somebody else could put a program there.
        OSError: It cannot be made.
    """
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    for place in (folder.parent, folder):  # a mode is for the last folder of a path alone
        place.mkdir(exist_ok=True, mode=0o700)
    check_private(folder)


def check_private(folder: Path) -> None:
    """Refuse a folder in which somebody else could put a program.

    Its parent too, whose writer could exchange the whole folder.

    Raises:
        HarnessBrokenError: It is another user's, or others may write there.
        OSError: It cannot be looked at.
    """
    for place in (folder, folder.parent):
        found = place.stat()
        if found.st_uid not in (os.geteuid(), 0):
            raise HarnessBrokenError(
                f"the cache {place} belongs to another user, who could put any program there",
                "remove it, or set XDG_CACHE_HOME to a directory of your own",
            )
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise HarnessBrokenError(
                f"the cache {place} can be written by other users, who could put any program there",
                f"run `chmod go-w {place}`, or set XDG_CACHE_HOME to a directory of your own",
            )


def keep(built: Path, program: Path) -> None:
    """Move what was built to its place; its sum goes first, so that a crash between leaves a mismatch.

    Raises:
        OSError: It cannot be moved.
    """
    sum_of(program).write_text(f"{digest(built)}  {program.name}\n")
    built.replace(program)


def is_intact(program: Path) -> bool:
    """Whether the program is, byte for byte, what `keep` put there. 11 MB take about 10 ms."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return sum_of(program).read_text().split() == [digest(program), program.name]
    return False


def sum_of(program: Path) -> Path:
    """Where the sum of a program is kept."""
    return program.with_name(program.name + SUM_SUFFIX)


def digest(file: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        OSError: It cannot be read.
    """
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
