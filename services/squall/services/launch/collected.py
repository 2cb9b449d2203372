"""Lines that nodes write each to a file of its own, brought together in the history of their run.

A node that writes to its own file alone can tell of itself only: a line that names another node is left out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from squall.services.run.directory import RunDirectory, is_in_use, open_private, writing

LINE_BYTES_MAX = 1024 * 1024
"""Of one line; what is longer is left out."""

READ_BYTES = 4 * 1024 * 1024
"""Of one file at a time."""

HISTORY = "history.jsonl"


def recover(run: Path) -> None:
    """Bring over what the nodes of a run wrote whose command was killed; in a run that goes on, nothing.

    Raises:
        DiskError: Its history cannot be written.
    """
    directory = RunDirectory(run)
    if directory.containers.is_dir() and not is_in_use(run):
        with writing(run):
            Collected(directory.containers, directory.history).collect_rest()


class _Line(msgspec.Struct):
    """Who wrote a line, by its own word, and which of the lines it was."""

    node: str
    inc: int
    i: int


_lines = msgspec.json.Decoder(_Line)


class Collected:
    """Brings together what nodes write.

    Args:
        folder: Holds a folder for each node, called as it is.
        history: What it is brought together in.

    Attributes:
        refused: Lines that were left out so far, as they are none, or name another node.
    """

    def __init__(self, folder: Path, history: Path) -> None:
        self.refused = 0
        self._folder = folder
        self._history = history
        self._read: dict[str, int] = {}

    def collect(self) -> int:
        """Bring over what is new and whole; how many lines.

        Raises:
            OSError: The history cannot be written.
        """
        new = [line for node in self._nodes() for line in self._new(node)]
        self._append(new)
        return len(new)

    def collect_rest(self) -> int:
        """Bring over what is not there yet, whoever brought over the rest; how many lines.

        Raises:
            OSError: The history cannot be written.
        """
        wanted = set(self._nodes())
        there = set()
        with contextlib.suppress(FileNotFoundError), self._history.open("rb") as lines:
            for line in lines:
                if (said := _said(line)) is not None and said.node in wanted:
                    there.add((said.node, said.inc, said.i))
        rest = []
        for node in wanted:
            while new := self._new(node):
                for line in new:
                    said = _said(line)
                    if said is not None and (said.node, said.inc, said.i) not in there:
                        rest.append(line)
        self._append(rest)
        return len(rest)

    def close(self) -> None:
        """Bring over the rest, and leave nothing where it was that is in the history now.

        Raises:
            OSError: The history cannot be written.
        """
        while self.collect():
            pass
        for node in self._nodes():
            (self._folder / node / HISTORY).unlink(missing_ok=True)

    def _nodes(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(entry.name for entry in self._folder.iterdir() if entry.is_dir())
        return []

    def _new(self, node: str) -> list[bytes]:
        """The whole lines of a node that were not read yet, or some of them."""
        try:
            # Its folder is the node's own: what lies there may be a link, or a pipe.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.open(self._folder / node / HISTORY, flags)
        except OSError:
            return []
        try:
            data = os.pread(file, READ_BYTES, self._read.get(node, 0))
        except OSError:
            return []
        finally:
            os.close(file)
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) == READ_BYTES:
            self.refused += 1
            whole = len(data)
        self._read[node] = self._read.get(node, 0) + whole
        lines = data[:whole].splitlines(keepends=True)
        own = [line for line in lines if (said := _said(line)) is not None and said.node == node]
        self.refused += len(lines) - len(own)
        return own

    def _append(self, lines: Iterable[bytes]) -> None:
        data = b"".join(lines)
        if data:
            with open_private(self._history, "ab") as file:
                while data:
                    data = data[file.write(data) or 0 :]


def _said(line: bytes) -> _Line | None:
    if len(line) > LINE_BYTES_MAX:
        return None
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        return _lines.decode(line)
    return None
