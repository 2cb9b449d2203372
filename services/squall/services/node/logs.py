"""How a process logs: a record is one line, in which nothing that was logged can act on a terminal.

Exceptions keep their lines, each of them indented, so that no text in one can pose as another record.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from squall.bus.border import printable
from squall.services.printing import SENTENCE_LENGTH_MAX, harmless_lines, print_traceback, say


class PrintableFormatter(logging.Formatter):
    """A formatter whose every line is printable."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the lines of its exception."""
        record.message = record.getMessage()
        record.asctime = self.formatTime(record, self.datefmt)
        lines = [printable(self.formatMessage(record), SENTENCE_LENGTH_MAX)]
        if record.exc_info:
            lines += harmless_lines(self.formatException(record.exc_info))
        if record.stack_info:
            lines += harmless_lines(self.formatStack(record.stack_info))
        return "\n".join(lines)


class _LogFile(logging.StreamHandler[TextIO]):
    """Standard error of a node, which its launcher keeps in a file."""

    def handleError(self, record: logging.LogRecord) -> None:
        """A record whose arguments do not fit its message is the caller's fault, and no reason to end."""
        say(f"a record of {record.name} could not be written")


class _Sentences(logging.Handler):
    """What the command's own process logs, as sentences beside its progress."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # as above
            text = f"a record of {record.name} could not be written"
        say(text)
        if record.exc_info:
            print_traceback(*record.exc_info)


def log_to_file() -> None:
    """Log as a node does: everything from INFO on, to standard error."""
    handler = _LogFile(sys.stderr)
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)


def log_as_sentences() -> None:
    """Log as the command does: warnings and errors, each one sentence."""
    logging.basicConfig(handlers=[_Sentences(level=logging.WARNING)])
    # It warns of each stream that goes over to TLS after it was opened, which is how NATS does it.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
