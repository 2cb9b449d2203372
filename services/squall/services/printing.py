"""The one door to standard output and standard error: nothing that a run says can act on a terminal.

    a sentence    ──► `say`              one line on standard error
    a document    ──► `print_document`   one line of JSON on standard output
    a path        ──► `print_line`       one line on standard output
    a traceback   ──► `print_traceback`  its lines on standard error
    the rest      ──► `cli.terminal`     tables and texts, through Rich

A stream that is closed, whose reader has gone, or whose disk is full ends nothing: what is written to it goes
nowhere, and `unwritten` says so at the end.

Reasons, ids, exceptions, file names and the broker's words were written by others. They are made harmless
here, whoever prints them; a test reads the sources and fails if another module writes to either stream.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import traceback
from types import TracebackType
from typing import TextIO

import msgspec

from squall.bus.border import escaped, printable

PREFIX = "squall: "
"""Of every sentence on standard error."""

SENTENCE_LENGTH_MAX = 2000
"""Of a sentence or of one text in a table, in characters: no reason that is quoted in it fills the screen."""

PATH_LENGTH_MAX = 5000
"""More than the 4,096 bytes that an operating system takes, so that no path is cut."""

TRACEBACK_LINES_MAX = 200


def say(text: str) -> None:
    """One sentence on standard error."""
    sys.stderr.write(f"{PREFIX}{printable(text, SENTENCE_LENGTH_MAX)}\n")
    sys.stderr.flush()


def print_line(text: str) -> None:
    """One line on standard output, which a path as long as it may be fits into."""
    sys.stdout.write(f"{printable(text, PATH_LENGTH_MAX)}\n")


def print_document(document: object) -> None:
    """One JSON document on standard output, on one line."""
    sys.stdout.write(f"{escaped(msgspec.json.encode(document).decode())}\n")


class Output(io.TextIOWrapper):
    """Standard output or standard error, where writing never fails.

    Attributes:
        failure: What the operating system said when something could not be written; None if all was.
    """

    failure: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """From now on into nothing, what waits in the buffers too."""
        self.failure = self.failure or error
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            super().flush()


def guard_streams() -> None:
    """Make the interpreter's own ways to the terminal harmless, and see that none of the three is closed.

    A file of ours would otherwise take the number of one that is, and what children say would go into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest number that is free, which is this one
    sys.stdout = _guarded(sys.stdout, 1)
    sys.stderr = _guarded(sys.stderr, 2)
    sys.excepthook = print_traceback


def _guarded(stream: TextIO | None, number: int) -> TextIO:
    """The stream as one that never fails; what its encoding lacks is written out."""
    if isinstance(stream, Output):
        return stream
    if stream is None:
        binary = io.BufferedWriter(io.FileIO(number, "w", closefd=False))
        return Output(binary, encoding="utf-8", errors="backslashreplace")
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # somebody catches what is printed
    encoding, by_line = stream.encoding, stream.line_buffering
    return Output(stream.detach(), encoding=encoding, errors="backslashreplace", line_buffering=by_line)


def unwritten() -> str:
    """Why not all of standard output could be written, in words; empty if it was, or nobody wanted it.

    A reader that has gone, such as ``head``, and a closed stream want nothing more.
    """
    sys.stdout.flush()
    failure = getattr(sys.stdout, "failure", None)
    if failure is None or failure.errno in (errno.EPIPE, errno.EBADF):
        return ""
    return f"standard output cannot be written: {failure.strerror}"


def print_traceback(
    kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    """A defect on standard error, line by line."""
    for line in harmless_lines("".join(traceback.format_exception(kind, error, trace))):
        sys.stderr.write(f"{line}\n")


def harmless_lines(text: str) -> list[str]:
    """A traceback line by line, each of them printable; of one too long the beginning and the end."""
    lines = [_indented(line) for line in text.removesuffix("\n").split("\n")]
    if len(lines) > TRACEBACK_LINES_MAX:
        half = TRACEBACK_LINES_MAX // 2
        lines = [*lines[:half], f"  … {len(lines) - 2 * half} lines …", *lines[-half:]]
    return lines


def _indented(line: str) -> str:
    """The indentation tells a traceback's lines from those that begin a record."""
    return f"  {printable(line, SENTENCE_LENGTH_MAX)}"
