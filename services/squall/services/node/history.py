"""What was asked and what came back, one line an operation, written as it happens.

Each node appends to the run's one file: a line is one ``write`` on a descriptor
opened for appending, so lines of several processes never mix and a killed process
loses nothing it had written. A line carries its writer's own count (``i``), so
that a missing one shows; what cannot be written as it is is made printable, or cut,
so that no content makes a line missing.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec

from squall.bus.border import printable

LINE_BYTES_MAX = 1024 * 1024
"""A longer line has its texts cut."""

TEXT_LENGTH_MAX = 300
"""Of a text in a line that could not be written as it was, in characters."""

ITEMS_MAX = 512
"""Of a list or an object in such a line; a task has at most half as many effects."""

MISTAKE = "handler"
"""The operation by which an agent tells what its handler did wrong."""

_now = time.time
"""Kept here, so that a node whose clock is set wrong on purpose still tells the truth about when."""

Kind = Literal["invoke", "ok", "fail", "unknown"]


class History:
    """Appends to a run's history. With no path, writes nothing.

    Args:
        path: The file, or None.
        node: Who writes.
        incarnation: Which start of the node this is, from 1.
        now_s: The time, in seconds since the epoch.
    """

    def __init__(
        self, path: Path | None, node: str, incarnation: int, *, now_s: Callable[[], float] = _now
    ) -> None:
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._node = node
        self._incarnation = incarnation
        self._lines = 0
        self._now_s = now_s
        self._encode = msgspec.json.Encoder().encode
        self._writing = threading.Lock()  # a thread tells of a loop that stands still

    def __call__(self, op: str, kind: Kind, /, **facts: Any) -> None:
        """Write one line; see `chaos/evidence/reader.py` for the operations there are."""
        if self._file is None:
            return
        with self._writing:
            self._lines += 1
            line = {
                "time_s": self._now_s(),
                "node": self._node,
                "inc": self._incarnation,
                "i": self._lines,
                "op": op,
                "type": kind,
                **facts,
            }
            os.write(self._file, self._encoded(line) + b"\n")

    def _encoded(self, line: dict[str, Any]) -> bytes:
        try:
            encoded = self._encode(line)
            if len(encoded) <= LINE_BYTES_MAX:
                return encoded
        except (TypeError, ValueError, OverflowError, RecursionError):
            pass  # a lone surrogate, what has no JSON, what contains itself
        return self._encode(_cut(line, levels=4))

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write nothing more. Done again, it changes nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _cut(value: Any, *, levels: int) -> Any:
    """What can be written of a value: printable and short, and of so many levels."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else printable(hex(value), TEXT_LENGTH_MAX)
    if isinstance(value, str):
        return printable(value, TEXT_LENGTH_MAX)
    if levels and isinstance(value, dict):
        items = itertools.islice(value.items(), ITEMS_MAX)
        return {printable(str(name), 40): _cut(item, levels=levels - 1) for name, item in items}
    if levels and isinstance(value, list | tuple):
        return [_cut(item, levels=levels - 1) for item in value[:ITEMS_MAX]]
    return f"({type(value).__name__}, left out)"
