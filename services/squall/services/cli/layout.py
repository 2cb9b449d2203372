"""Tables that fit a terminal of any width: side by side where there is room, else one part below the other.

wide     H1 no-loss   pass   5,000 tasks accepted, each with one register …
narrow   H1 no-loss  pass
           5,000 tasks accepted, each with one register …
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from squall.services.cli.terminal import spaced, styled

GAP = 2

TEXT_WIDTH_MIN = 28
"""Columns that a text of several words must have beside others; with fewer it goes below them."""

Cell = Text | str


class Listing:
    """Rows whose last cell may be folded; in a narrow terminal it goes below the others.

    Args:
        headers: One for each column.
        labelled: Below each other, cells have their headers before them.
    """

    def __init__(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        *,
        labelled: bool = False,
    ) -> None:
        self._headers = headers
        self._rows = [[cell if isinstance(cell, Text) else styled(cell) for cell in row] for row in rows]
        self._labelled = labelled

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._table() if self._fits(options.max_width) else Group(*self._stacked())

    def _fits(self, width: int) -> bool:
        widths = [
            max(cell_len(cell if isinstance(cell, str) else cell.plain) for cell in column)
            for column in zip(self._headers, *self._rows, strict=True)
        ]
        *others, last = widths
        left = width - sum(others) - GAP * len(others)
        return last <= left or (left >= TEXT_WIDTH_MIN and not self._labelled)

    def _table(self) -> Table:
        table = Table(
            box=None,
            pad_edge=False,
            padding=(0, GAP, 0, 0),
            header_style="dim",
            show_header=any(self._headers),
        )
        for place, header in enumerate(self._headers):
            table.add_column(styled(header), no_wrap=place < len(self._headers) - 1, overflow="fold")
        for row in self._rows:
            table.add_row(*row)
        return table

    def _stacked(self) -> Iterator[RenderableType]:
        heads = [header for header in self._headers if header]
        if heads:
            yield Flow([styled(header, "dim") for header in (heads[:1] if self._labelled else heads)])
        for first, *rest in self._rows:
            if self._labelled:
                named = zip(self._headers[1:], rest, strict=True)
                yield folded(first)
                facts = [styled(" ").join([styled(header, "dim"), cell]) for header, cell in named]
                yield Padding(Flow(facts, indent=0), (0, 0, 0, GAP))
            elif rest:
                *middle, last = rest
                yield folded(spaced(*[cell for cell in (first, *middle) if cell.plain]))
                if last.plain:
                    yield below(last)
            else:
                yield folded(first)


def folded(text: Text) -> Text:
    """A text that is folded where it does not fit, and never cut."""
    text.overflow = "fold"
    return text


def below(text: Text) -> Padding:
    """A text that belongs to what stands above it."""
    return Padding(folded(text), (0, 0, 0, GAP))


class Paragraph:
    """Sentences that quote others: all lines but the first are indented, so that none poses as ours."""

    def __init__(self, text: Text) -> None:
        self._text = folded(text)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        first, *rest = self._text.wrap(console, max(1, options.max_width - GAP))
        yield first
        for line in rest:
            yield Padding(line, (0, 0, 0, GAP))


class Pairs:
    """Names and values in two groups: beside each other, or one below the other."""

    def __init__(self, left: Sequence[tuple[str, Text]], right: Sequence[tuple[str, Text]]) -> None:
        self._left = left
        self._right = right

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        needed = sum(_width(group) for group in (self._left, self._right)) + 2 * GAP
        if needed > options.max_width:
            yield _grid([[*pair] for pair in (*self._left, *self._right)])
            return
        empty = ("", styled(""))
        beside = zip_longest(self._left, self._right, fillvalue=empty)
        yield _grid([[*one, *other] for one, other in beside])


def _width(group: Sequence[tuple[str, Text]]) -> int:
    return max(cell_len(name) for name, _ in group) + GAP + max(text.cell_len for _, text in group)


def _grid(rows: Sequence[Sequence[Cell]]) -> Table:
    """Pairs of a name and a value; counts, which stand on the left of others, are set to the right."""
    table = Table.grid(padding=(0, 2 * GAP, 0, 0))
    for place in range(len(rows[0])):
        is_count = place == 1 and len(rows[0]) > 2
        table.add_column(justify="right" if is_count else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else styled(cell, "dim") for cell in row))
    return table


class Flow:
    """Short facts one after the other, so many on a line as fit; none is broken.

    Args:
        indent: Of all lines but the first.
    """

    def __init__(self, facts: Sequence[Cell], *, indent: int = GAP) -> None:
        self._facts = [fact if isinstance(fact, Text) else styled(fact) for fact in facts]
        self._indent = indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        indent = (
            self._indent if self._indent + TEXT_WIDTH_MIN <= options.max_width else min(GAP, self._indent)
        )
        lines: list[list[Text]] = [[]]
        width = 0
        for fact in self._facts:
            if lines[-1] and width + GAP + fact.cell_len > options.max_width:
                lines.append([])
                width = indent
            width += fact.cell_len + (GAP if lines[-1] else 0)
            lines[-1].append(fact)
        for place, line in enumerate(lines):
            text = folded(spaced(*line))
            yield Padding(text, (0, 0, 0, indent)) if place else text
