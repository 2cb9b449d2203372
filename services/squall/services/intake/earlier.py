"""Which of a user's tasks have ended before: those of which an earlier run has left the results.

A command that is killed may leave its last line in part. That one is as if it had not been written; the task
is run again then, under the same id.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from squall.bus.border import printable
from squall.services.errors import SpecError

LINE_BYTES_MAX = 8 * 1024**2
"""Of one result; ours have no more than a register and its names."""

BEGINNING = b'{"id":'
"""How each line of results begins, so that a part of one is known."""


class Ended(NamedTuple):
    """A task that has a result.

    Attributes:
        id: As its user calls it.
        input: A digest of what it was asked; see `records.digest`.
    """

    id: str
    input: str


class _Line(msgspec.Struct):
    id: str
    status: str
    ended_s: float
    input: str


_decoder = msgspec.json.Decoder(_Line)


def ended(results: Path) -> Iterator[Ended]:
    """The tasks that have ended by a file of results, in its order; of no file, none.

    Raises:
        SpecError: It cannot be read, or holds something else.
    """
    for line, number in _lines(results):
        try:
            said = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise SpecError(
                f"{printable(str(results))} holds something already, and line {number} of it is no result",
                "name another file with --results",
            ) from None
        yield Ended(said.id, said.input)


def whole_bytes(results: Path) -> int:
    """How long a file of results is without a line that was written in part."""
    return sum(len(line) for line, _ in _lines(results))


def _lines(results: Path) -> Iterator[tuple[bytes, int]]:
    """Its lines with their ends, and their numbers; without a last one in part."""
    if not results.is_file():
        return
    try:
        with results.open("rb") as file:
            number = 0
            while line := file.readline(LINE_BYTES_MAX):
                number += 1
                if not line.endswith(b"\n") and BEGINNING.startswith(line[: len(BEGINNING)]):
                    return
                yield line, number
    except OSError as error:
        raise SpecError(f"{printable(str(results))} cannot be read: {error.strerror}") from error
