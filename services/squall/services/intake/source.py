"""Reads a user's records one at a time: lines of JSON, rows of a table, or what comes through a pipe."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from squall.bus.border import printable
from squall.services.errors import SpecError
from squall.services.intake.records import BODY_BYTES_MAX, FIELDS, Record, RecordError, from_json, from_row
from squall.services.intake.subject import comes_in

STDIN = "-"
JSON_LINES = (".jsonl", ".ndjson", ".json")
TABLE = ".csv"

LINE_BYTES_MAX = BODY_BYTES_MAX + 16 * 1024
"""Of a record as it is written; a longer one is not kept in memory to be looked at."""

BOM = codecs.BOM_UTF8


class Read(NamedTuple):
    """One record of a source, or why there is none.

    Attributes:
        line: Where it begins, from 1.
        text: As it was written; of one that is too long, its beginning.
        record: None if no task can be made of it.
        reason: Why not.
    """

    line: int
    text: bytes
    record: Record | None
    reason: str = ""


def read(source: str) -> Iterator[Read]:
    """All records of a source, in order; blank lines are none.

    Args:
        source: A path, or ``-`` for the standard input, which is JSON lines.

    Raises:
        SpecError: It cannot be read, or is of no kind that is known.
    """
    suffix = Path(source).suffix.lower()
    if source != STDIN and suffix not in (*JSON_LINES, TABLE):
        raise SpecError(
            f"{shown(source)} is neither JSON lines nor a table", "name it .jsonl or .csv, as what it is"
        )
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if source == STDIN else Path(source).open("rb") as file:
            yield from _rows(file, source) if suffix == TABLE else lines(file)
    except OSError as error:
        raise SpecError(f"{shown(source)} cannot be read: {error.strerror}") from error


def is_streamed(source: str) -> bool:
    """Whether tasks come while the swarm runs, on a subject or through a pipe, and are not read before it."""
    return source == STDIN or comes_in(source)


def shown(source: str) -> str:
    """A source as it is named in a sentence."""
    return "the standard input" if source == STDIN else printable(source)


def lines(file: BinaryIO) -> Iterator[Read]:
    """All records of a file of JSON lines, as `read` gives them; each as soon as its line has ended."""
    for number, line, whole in _bounded(file):
        if not line.strip():
            continue
        if not whole:
            yield Read(number, line, None, f"is longer than {LINE_BYTES_MAX:,} bytes")
            continue
        try:
            yield Read(number, line, from_json(line))
        except RecordError as error:
            yield Read(number, line, None, str(error))


def _bounded(file: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Lines without their ends, and whether each is whole; never more than its bound is kept of one."""
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        whole = len(line) <= LINE_BYTES_MAX or line.endswith(b"\n")
        end = line
        while not end.endswith(b"\n") and (end := file.readline(LINE_BYTES_MAX)):
            whole = False
        yield number, (line.removeprefix(BOM) if number == 1 else line).rstrip(b"\r\n"), whole


class _Text:
    """The lines of a table as text; what can be none is an error, and the next call gives the next line."""

    def __init__(self, file: BinaryIO) -> None:
        self._lines = _bounded(file)
        self.number = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        self.number, line, whole = next(self._lines)
        if not whole:
            raise csv.Error(f"a line is longer than {LINE_BYTES_MAX:,} bytes")
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError:
            raise csv.Error("it is not UTF-8") from None


def _rows(file: BinaryIO, source: str) -> Iterator[Read]:
    """Rows of a table, whose first names the columns."""
    csv.field_size_limit(LINE_BYTES_MAX)
    text = _Text(file)
    rows = csv.reader(text, strict=True)
    try:
        columns = next(rows, [])
    except csv.Error as error:
        raise SpecError(f"{shown(source)} is no table: {printable(str(error))}") from error
    _check(columns, source)
    while True:
        begins = text.number + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Read(begins, b"", None, f"is no row of a table: {printable(str(error))}")
            continue
        if row is None:
            return
        if not row:
            continue
        try:
            yield Read(begins, _written(row), from_row(columns, row))
        except RecordError as error:
            yield Read(begins, _written(row), None, str(error))


def _written(row: list[str]) -> bytes:
    """A row as it would be written; a reader of tables does not tell how it was."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue().encode()


def _check(columns: list[str], source: str) -> None:
    """See that the first line of a table names its columns.

    Raises:
        SpecError: It does not.
    """
    remedy = f"name the columns in the first line, as in: {','.join(FIELDS)}"
    if "key" not in columns:
        raise SpecError(f"{shown(source)} has no column called key", remedy)
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise SpecError(f"{shown(source)} has two columns called {printable(twice[0], 40)}", remedy)
