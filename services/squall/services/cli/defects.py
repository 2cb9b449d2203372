"""An error that nobody foresaw: one sentence, its traceback in a file, exit code 4.

It says nothing of the swarm, so it must not look like a check that failed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback

from squall.bus.border import printable
from squall.bus.errors import first_error
from squall.services.printing import harmless_lines, print_document, say

BROKEN = 4

REMEDY = "this is a defect of Squall or of a package it uses, and says nothing about the swarm"


def end_with(error: BaseException) -> int:
    """Say it, as a document too where one was asked for; the exit code.

    Args:
        error: Of a group, the first is said, and all are in the file.
    """
    first = first_error(error)
    message = printable(f"{type(first).__name__}: {_text(first)}")
    path = _left("\n".join(harmless_lines("".join(traceback.format_exception(error)))))
    remedy = f"{REMEDY}; the traceback is in {path}" if path else REMEDY
    if "--json" in sys.argv:
        print_document({"error": {"kind": "defect", "message": message, "remedy": remedy}})
    say(f"{message}; {remedy}")
    return BROKEN


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "it cannot say what it is"


def _left(text: str) -> str:
    """Where it was written to; empty if it could not be."""
    with contextlib.suppress(OSError):
        descriptor, path = tempfile.mkstemp(prefix="squall-", suffix=".traceback")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{text}\n")
        return path
    return ""
