"""Tables and texts on a terminal: a Rich console in which a string is one line and never markup.

What is not a table leaves by `squall.services.printing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from squall.bus.border import disarmed, masked
from squall.services.printing import SENTENCE_LENGTH_MAX


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
        return _unpadded(map(_harmless, super().render(renderable, options)))


def _harmless(segment: Segment) -> Segment:
    if segment.control:
        return segment  # Rich's own, for a status line
    return Segment(disarmed(masked(segment.text, lines=True)), segment.style)


def _unpadded(segments: Iterable[Segment]) -> Iterator[Segment]:
    """The same without blanks at the ends of lines, which a table fills its cells with.

    A cell of a table is rendered by itself, and filled up by the table.
    """
    line: list[Segment] = []
    for segment in segments:
        if segment.control:
            line.append(segment)
            continue
        *ended, begun = segment.text.split("\n")
        for text in ended:
            yield from _stripped([*line, Segment(text, segment.style)])
            yield Segment.line()
            line = []
        if begun:
            line.append(Segment(begun, segment.style))
    yield from line


def _stripped(line: list[Segment]) -> list[Segment]:
    """A line without the blanks at its end."""
    while line and not line[-1].control:
        text = line[-1].text.rstrip(" ")
        if text:
            return [*line[:-1], Segment(text, line[-1].style)]
        line = line[:-1]
    return line


def styled(text: str, style: str = "") -> Text:
    """One line of text with one style."""
    return Text(_line(text), style)


def spaced(*parts: Text) -> Text:
    """Texts of different styles on one line."""
    return Text("  ").join(parts)


def stacked(*parts: Text) -> Text:
    """Texts on lines of their own."""
    return Text("\n").join(parts)


def _line(text: str) -> str:
    cut = text if len(text) <= SENTENCE_LENGTH_MAX else f"{text[: SENTENCE_LENGTH_MAX - 1]}…"
    return disarmed(masked(cut))
