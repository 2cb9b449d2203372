"""What the drawings over time share: their width, their axis, the faults behind them and the labels above.

    ┌ labels: faults by number and name, changes of leader by term ┐
    │ ░░░░░░ shaded while a fault was in force │ new leader        │
    └ seconds since the first task was due ────────────────────────┘

Each is drawn twice, for a wide page and for a narrow one, since text that is scaled with its drawing can be
read on one of the two only; the style sheet shows the one that fits. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from squall.chaos.tell.page.buckets import nice
from squall.chaos.tell.page.lanes import Strike
from squall.chaos.tell.page.markup import Markup, el

WIDE, NARROW = 1080.0, 400.0
"""Widths in units of their own; on a narrow page of 390 px a unit is about 0.9 px."""

GLYPH = 7.9
"""The width to allow for one letter of the size that all drawings use, 13 units, in a wide typeface."""

ROW = 17.0
"""Height of one row of labels."""

ROWS_MAX = 6

NAME_MAX = 150.0
"""The room left of a wide drawing for the names of nodes, at most; a longer one is shortened."""


@dataclass(frozen=True, slots=True)
class Label:
    """Words at a place; the first of the wordings that finds room is taken."""

    at_s: float
    wordings: tuple[str, ...]
    kind: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A label that found room."""

    anchor: float
    x: float
    row: int
    text: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where a drawing's seconds lie.

    Attributes:
        length_s: Seconds drawn, from 0 on.
        left, right: The margins.
    """

    width: float
    length_s: float
    left: float
    right: float = 14.0

    @property
    def end(self) -> float:
        return self.width - self.right

    def x(self, at_s: float) -> float:
        """The place of a moment; one outside is drawn at the border."""
        share = min(1.0, max(0.0, at_s / self.length_s))
        return self.left + share * (self.end - self.left)


@dataclass(frozen=True, slots=True)
class Led:
    """When somebody began to lead, and in which term."""

    at_s: float
    node: str
    term: int


def margin(width: float, names: Sequence[str]) -> float:
    """The left margin that all drawings of a page share, so that one moment is at one place in all of them.

    Args:
        names: Those of the nodes, which stand there on a wide page.
    """
    least = 68.0  # what a scale needs, up to 100,000
    if width <= NARROW:
        return least
    return min(NAME_MAX, max(least, 16 + max(map(len, names), default=0) * GLYPH))


def seconds_axis(frame: Frame, top: float, bottom: float) -> list[Markup]:
    """Ticks with their seconds, and the unit after the last."""
    step = nice(frame.length_s / (10 if frame.width > NARROW else 4))
    drawn = [el("path", class_="axis", d=f"M{frame.left:.1f} {bottom:.1f}H{frame.end:.1f}")]
    digits = max(0, -math.floor(math.log10(step)))
    for index in range(math.floor(frame.length_s / step + 1e-9) + 1):
        x = frame.x(index * step)
        drawn.append(el("path", class_="grid", d=f"M{x:.1f} {top:.1f}V{bottom + 4:.1f}"))
        words = f"{index * step:,.{digits}f}"
        anchor = "end" if x + len(words) * GLYPH / 2 > frame.width else "middle"
        drawn.append(el("text", words + (" s" if index == 0 else ""), x=x, y=bottom + 18, text_anchor=anchor))
    return drawn


def place(frame: Frame, labels: Sequence[Label]) -> list[Placed]:
    """Labels in rows, none over another or over another's hairline; one without room is left out.

    From the right: a label that would run into its neighbor goes above it, and its hairline, which is where
    the label begins, passes the neighbor on the left. The tables tell of every fault, lines of every term.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in range(ROWS_MAX)]
    placed = []
    for label in sorted(labels, key=lambda label: label.at_s, reverse=True):
        anchor = frame.x(label.at_s)
        found = _room(frame, anchor, label.wordings, taken)
        if found is not None:
            x, row, words = found
            taken[row].append((x, x + len(words) * GLYPH + 8))
            for below in taken[:row]:
                below.append((anchor - 2, anchor + 2))
            placed.append(Placed(anchor, x, row, words, label.kind))
    return placed


def _room(
    frame: Frame, anchor: float, wordings: Sequence[str], taken: Sequence[Sequence[tuple[float, float]]]
) -> tuple[float, int, str] | None:
    for words in wordings:
        width = len(words) * GLYPH
        if anchor + width > frame.width and words != wordings[-1]:
            continue
        x = max(0.0, min(anchor, frame.width - width))
        for row, spans in enumerate(taken):
            if all(x + width + 8 <= begun or x >= ended for begun, ended in spans):
                return x, row, words
    return None


def strike_labels(struck: Sequence[Strike], length_s: float, *, narrow: bool) -> list[Label]:
    """The numbers of faults, those that begin together in one label; `rail` has the words."""
    together: list[list[Strike]] = []
    for strike in sorted(struck, key=lambda strike: strike.start_s):
        if together and strike.start_s - together[-1][0].start_s <= length_s * (0.03 if narrow else 0.01):
            together[-1].append(strike)
        else:
            together.append([strike])
    return [
        Label(group[0].start_s, (", ".join(str(strike.number) for strike in group),), "fault")
        for group in together
    ]


def leader_labels(terms: Sequence[Led]) -> list[Label]:
    return [Label(led.at_s, (f"term {led.term}", f"t{led.term}"), "lead") for led in terms if led.at_s > 0]


def rows(placed: Sequence[Placed]) -> int:
    return 1 + max((label.row for label in placed), default=-1)


def behind(
    frame: Frame, struck: Sequence[Strike], placed: Sequence[Placed], top: float, bottom: float
) -> list[Markup]:
    """Shading, labels, and a hairline from each label down to where it belongs.

    Args:
        top, bottom: Of the plot itself; labels are above, the first row next to it.
    """
    drawn = shading(frame, struck, top, bottom)
    for label in placed:
        y = top - 6 - ROW * label.row
        drawn.append(el("path", class_=f"hair {label.kind}", d=f"M{label.anchor:.1f} {y + 3:.1f}V{top:.1f}"))
        drawn.append(el("text", label.text, class_=f"label {label.kind}", x=label.x + 2, y=y))
    return drawn


def shading(frame: Frame, struck: Sequence[Strike], top: float, bottom: float) -> list[Markup]:
    """A tint where a fault was in force; darker where several were."""
    drawn = []
    for strike in struck:
        left = frame.x(strike.start_s)
        # What was over at once is still to be seen.
        width = max(2.0, frame.x(strike.end_s) - left)
        shape = {"x": left, "y": top, "width": width, "height": bottom - top}
        drawn.append(el("rect", el("title", told(strike)), class_="fault", **shape))
    return drawn


def told(strike: Strike) -> str:
    """A fault in one line."""
    over = f"{strike.start_s:.2f} to {strike.end_s:.2f} s"
    return f"{strike.number} {strike.kind} of {strike.target}, {over}"


def hit(frame: Frame, from_s: float, to_s: float, top: float, bottom: float, about: str) -> Markup:
    """A stretch that is not seen, and says on hover what was then."""
    x = frame.x(from_s)
    shape = {"x": x, "y": top, "width": max(1.0, frame.x(to_s) - x), "height": bottom - top}
    return el("rect", el("title", about), class_="hit", **shape)


def lead_lines(frame: Frame, terms: Sequence[Led], top: float, bottom: float) -> list[Markup]:
    """A dashed line where each term began, also where its label found no room."""
    return [
        el(
            "path",
            el("title", f"{led.node} leads (term {led.term}) from {led.at_s:.2f} s on"),
            class_="hair lead",
            d=f"M{frame.x(led.at_s):.1f} {top:.1f}V{bottom:.1f}",
        )
        for led in terms
        if led.at_s > 0
    ]


def drawing(children: Sequence[Markup], width: float, height: float, about: str, *, narrow: bool) -> Markup:
    """The SVG, said in words for whoever does not see it."""
    return el(
        "svg",
        el("title", about),
        *children,
        class_="narrow" if narrow else "wide",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
        aria_label=about,
    )
