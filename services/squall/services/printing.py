"""The one door to standard output and standard error: nothing that a run says can act on a terminal.

    a sentence    ──► `say`              one line on standard error
    a document    ──► `print_document`   one line of JSON on standard output
    a path        ──► `print_line`       one line on standard output
    a traceback   ──► `print_traceback`  its lines on standard error
    the rest      ──► `cli.terminal`     tables and texts, through Rich

Reasons, ids, exceptions, file names and the broker's words were written by others. They are made harmless
here, whoever prints them; a test reads the sources and fails if another module writes to either stream.
"""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

import msgspec

from squall.bus.border import escaped, printable

SENTENCE_LENGTH_MAX = 2000
"""Of a sentence or of one text in a table, in characters: no reason that is quoted in it fills the screen."""

PATH_LENGTH_MAX = 5000
"""More than the 4,096 bytes that an operating system takes, so that no path is cut."""

TRACEBACK_LINES_MAX = 200


def say(text: str) -> None:
    """One sentence on standard error."""
    sys.stderr.write(f"squall: {printable(text, SENTENCE_LENGTH_MAX)}\n")
    sys.stderr.flush()


def print_line(text: str) -> None:
    """One line on standard output, which a path as long as it may be fits into."""
    sys.stdout.write(f"{printable(text, PATH_LENGTH_MAX)}\n")


def print_document(document: object) -> None:
    """One JSON document on standard output, on one line."""
    sys.stdout.write(f"{escaped(msgspec.json.encode(document).decode())}\n")


def guard_streams() -> None:
    """Make the interpreter's own ways to the terminal harmless: tracebacks, and what an encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    sys.excepthook = print_traceback


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
