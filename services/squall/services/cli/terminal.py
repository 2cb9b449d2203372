"""The one door to standard output and standard error: nothing that a run says can act on a terminal.

    a sentence      ──► `say`              one line on standard error
    a document      ──► `print_document`   one line of JSON on standard output
    a path          ──► `print_line`       one line on standard output
    tables, texts   ──► `Terminal`         a Rich console in which strings are never markup

Reasons, ids, exceptions, file names and the broker's words were written by others. They are made harmless
here, whoever prints them; a test reads the sources and fails if another module writes to either stream.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import IO, Any

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from squall.bus.border import disarmed, escaped, masked, printable

SENTENCE_LENGTH_MAX = 2000
"""Of a sentence or of one text in a table, in characters: no reason that is quoted in it fills the screen."""

PATH_LENGTH_MAX = 5000
"""More than the 4,096 bytes that an operating system takes, so that no path is cut."""

TRACEBACK_LINES_MAX = 200


class Terminal(Console):
    """A Rich console for texts from outside.

    A string is one line and never markup; a character that would act is shown as U+FFFD.

    Args:
        stderr: Print to standard error.
        file: Print there instead.
        width: Columns, where they are not the terminal's.
    """

    def __init__(
        self, *, stderr: bool = False, file: IO[str] | None = None, width: int | None = None
    ) -> None:
        super().__init__(
            stderr=stderr, file=file, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """Also what measures and renders the cells of a table: so their widths are those of what is shown."""
        return super().render_str(_line(text), **{**options, "markup": False, "emoji": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Everything that is printed passes here, nested parts more than once."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment  # Rich's own, for a status line
            else:
                yield Segment(disarmed(masked(segment.text, lines=True)), segment.style)


@contextlib.contextmanager
def show_progress() -> Iterator[Callable[[str], None]]:
    """A status line while the block runs; where there is no terminal, a sentence for each new step."""
    terminal = Terminal(stderr=True)
    if terminal.is_terminal:
        with Status(styled("starting"), console=terminal) as status:
            yield lambda text: status.update(styled(text))
        return
    last = ""

    def tell(text: str) -> None:
        nonlocal last
        if text != last and " of " not in text:
            say(text)
            last = text

    yield tell


def styled(text: str, style: str = "") -> Text:
    """One line of text with one style."""
    return Text(_line(text), style)


def spaced(*parts: Text) -> Text:
    """Texts of different styles on one line."""
    return Text("  ").join(parts)


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


def _line(text: str) -> str:
    cut = text if len(text) <= SENTENCE_LENGTH_MAX else f"{text[: SENTENCE_LENGTH_MAX - 1]}…"
    return disarmed(masked(cut))
