"""Reading files of JSON lines that others may have written: bounded in length and depth, and no surprise.

A node that runs somebody's handler can write into its run's files. Whatever stands there ends as a line that
is malformed, never as an error that no reader expects.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, TypeVar

import msgspec

LINE_BYTES_MAX = 4 * 1024**2
"""Longer than any line of ours: a register's reason, every byte of it escaped, is the longest."""

T = TypeVar("T")


def lines(file: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a file, each with its line end if it has one; None for one that is too long to be read."""
    while line := file.readline(LINE_BYTES_MAX + 1):
        if len(line) <= LINE_BYTES_MAX:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(LINE_BYTES_MAX)
        yield None


def decode(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    """What a line says.

    Raises:
        msgspec.DecodeError: It is malformed, which one that is nested too deep counts as.
    """
    try:
        return decoder.decode(line)
    except RecursionError as error:
        raise msgspec.DecodeError("nested too deep") from error
