"""What was asked and what came back, one line an operation, written as it happens.

Each node appends to the run's one file: a line is one ``write`` on a descriptor
opened for appending, so lines of several processes never mix and a killed process
loses nothing it had written. A line carries its writer's own count (``i``), so
that a missing one shows.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec

_now = time.time
"""Kept here, so that a node whose clock is set wrong on purpose still tells the truth about when."""

Kind = Literal["invoke", "ok", "fail", "unknown"]


class History:
    """Appends to a run's history. With no path, writes nothing.

    Args:
        path: The file, or None.
        node: Who writes.
        incarnation: Which start of the node this is, from 1.
    """

    def __init__(self, path: Path | None, node: str, incarnation: int) -> None:
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._node = node
        self._incarnation = incarnation
        self._lines = 0
        self._encode = msgspec.json.Encoder().encode

    def __call__(self, op: str, kind: Kind, /, **facts: Any) -> None:
        """Write one line; see `chaos/history.py` for the operations there are."""
        if self._file is None:
            return
        self._lines += 1
        line = {
            "time_s": _now(),
            "node": self._node,
            "inc": self._incarnation,
            "i": self._lines,
            "op": op,
            "type": kind,
            **facts,
        }
        os.write(self._file, self._encode(line) + b"\n")

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
