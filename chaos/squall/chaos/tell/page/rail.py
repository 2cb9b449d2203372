"""The faults of a run, a bar each, in rows so that those at one time are told apart; and their list. Pure.

┌─────────────┐ ┌──────────┐
│1 pause      │ │4 flap    │       a row for each that overlaps another
└──────┌──────┴─┴─┐5       │
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from squall.chaos.evidence.plural import plural
from squall.chaos.tell.page.frame import GLYPH, NARROW, Frame, drawing, seconds_axis, told
from squall.chaos.tell.page.kinds import SORTS, does, sort_of
from squall.chaos.tell.page.lanes import Strike
from squall.chaos.tell.page.markup import Markup, el, join
from squall.chaos.tell.page.parts import legend

HEIGHT, GAP = 18.0, 3.0

ROWS_MAX = 24
"""Beyond, faults are in the list alone."""

LISTED_MAX = 80


@dataclass(frozen=True, slots=True)
class Bar:
    """A fault with its place: from ``left`` to ``right``, and its words, which may stand behind it."""

    strike: Strike
    row: int
    left: float
    right: float
    text: str
    text_x: float


def bars(frame: Frame, struck: Sequence[Strike]) -> list[Bar]:
    """A place for each fault, in the first row where it stands on no other; left out beyond `ROWS_MAX`."""
    rows: list[float] = []
    found = []
    for strike in sorted(struck, key=lambda strike: (strike.start_s, strike.number)):
        left = frame.x(strike.start_s)
        right = max(left + 3.0, frame.x(strike.end_s))
        text, text_x, end = _words(frame, strike, left, right)
        begin = min(left, text_x)
        row = next((n for n, taken in enumerate(rows) if taken + 4 <= begin), len(rows))
        if row == ROWS_MAX:
            continue
        if row == len(rows):
            rows.append(0.0)
        rows[row] = end
        found.append(Bar(strike, row, left, right, text, text_x))
    return found


def _words(frame: Frame, strike: Strike, left: float, right: float) -> tuple[str, float, float]:
    """A fault's words, where they begin, and where all of it ends: inside if they fit, else behind.

    Those at the right border, with no room behind them, have their number before them.
    """
    number = str(strike.number)
    for text in (f"{number} {strike.kind}", number):
        width = len(text) * GLYPH
        if left + width + 8 <= right:
            return text, left + 4, right
    for text in (f"{number} {strike.kind}", number):
        width = len(text) * GLYPH
        if right + 4 + width <= frame.width and (text == number or frame.width > NARROW):
            return text, right + 4, right + 4 + width
    return number, left - 4 - len(number) * GLYPH, right


def rail(struck: Sequence[Strike], length_s: float, width: float, left: float) -> Markup:
    """The drawing.

    Args:
        struck: At least one.
        left: The margin that all drawings of the page share.
    """
    frame = Frame(width=width, length_s=length_s, left=left)
    placed = bars(frame, struck)
    bottom = 4 + (HEIGHT + GAP) * (1 + max(bar.row for bar in placed))
    drawn = []
    for bar in placed:
        y = 4 + (HEIGHT + GAP) * bar.row
        about = ": ".join(filter(None, [told(bar.strike), does(bar.strike.kind)]))
        shape = {"x": bar.left, "y": y, "width": bar.right - bar.left, "height": HEIGHT}
        drawn.append(
            el("rect", el("title", about), class_=f"strike {sort_of(bar.strike.kind)}", rx=2.0, **shape)
        )
        drawn.append(el("text", bar.text, class_="struck-words", x=bar.text_x, y=y + 13.5))
    axis = seconds_axis(frame, 0.0, bottom)
    about = f"{plural(len(struck), 'fault')} over time; the list names each."
    return drawing([*axis, *drawn], width, bottom + 26, about, narrow=width <= NARROW)


def listed(struck: Sequence[Strike]) -> Markup:
    """Each fault in words, and what its kind does."""
    sorts = [sort for sort in SORTS if any(sort_of(strike.kind) == sort for strike in struck)]
    items = [
        el(
            "li",
            el("b", str(strike.number)),
            el(
                "span",
                el("span", class_=f"key strike {sort_of(strike.kind)}", aria_hidden="true"),
                f"{strike.kind} of {strike.target}",
                el("small", _where(strike), class_="soft"),
            ),
        )
        for strike in struck[:LISTED_MAX]
    ]
    more = len(struck) - len(items)
    kinds = list(dict.fromkeys(strike.kind for strike in struck if does(strike.kind)))
    return join(
        legend([(f"strike {sort}", SORTS[sort]) for sort in sorts]),
        el("ul", *items, class_="faultlist"),
        el("p", f"and {plural(more, 'more')}; the table of faults has all", class_="about") if more else None,
        el(
            "dl",
            *(el("div", el("dt", kind), el("dd", does(kind))) for kind in kinds),
            class_="does",
        ),
    )


def _where(strike: Strike) -> str:
    names = ", ".join(strike.nodes[:3]) + (
        f" and {len(strike.nodes) - 3} more" if len(strike.nodes) > 3 else ""
    )
    over = f"{strike.start_s:.2f}–{strike.end_s:.2f} s"
    return f"{names}, {over}" if names and names != strike.target else over
