"""What a pattern tells of itself over time: a row for what waited, and one for how each part stood. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from squall.chaos.judge.track import Band, Level, Standing, Stretch, Track
from squall.chaos.tell.page import words
from squall.chaos.tell.page.buckets import nice
from squall.chaos.tell.page.frame import GLYPH, NARROW, Frame, drawing, lead_lines, seconds_axis, shading
from squall.chaos.tell.page.lanes import Window
from squall.chaos.tell.page.markup import Markup, el
from squall.chaos.tell.page.plots import Setting
from squall.chaos.tell.page.strips import BUCKETS, GAP, HEIGHT, LABEL, NARROW_BUCKETS

BAND = 14.0

MEANINGS: dict[Standing, str] = {
    "well": "as it should be",
    "changed": "the same, after a change",
    "away": "left alone, or with nobody to do it",
    "trying": "tried out",
    "operated": "as an operator has it",
    "wrong": "as it must never be",
}


def drawn(rows: Sequence[Track], seen: Window, setting: Setting, width: float) -> Markup:
    """The drawing.

    Args:
        rows: At least one.
    """
    narrow = width <= NARROW
    frame = Frame(width=width, length_s=setting.length_s, left=setting.left(width))
    bucket_s = nice(setting.length_s / (NARROW_BUCKETS if narrow else BUCKETS))
    children: list[Markup] = []
    top = 0.0
    for row in rows:
        if isinstance(row, Level):
            levels = highest(row, seen, bucket_s)
            most = max(levels, default=0)
            said = f"{row.name}: at most {words.count(most)}"
            children += _levels(row, levels, max(1, most), frame, bucket_s, top + LABEL)
            high = HEIGHT
        else:
            said = row.name
            children += [_stretch(row, stretch, seen, frame, top + LABEL) for stretch in row.stretches]
            children += _told(row, seen, frame, top + LABEL)
            high = BAND
        children.append(el("text", said, class_="row", x=frame.left + 2, y=top + 14))
        top += LABEL + high + GAP
    about = "Over time: " + ", ".join(row.name for row in rows)
    behind = [*shading(frame, setting.strikes, 0.0, top), *seconds_axis(frame, 0.0, top)]
    children = [*behind, *lead_lines(frame, setting.terms, 0.0, top), *children]
    return drawing(children, width, top + 26, about, narrow=narrow)


def standings(rows: Sequence[Track]) -> list[Standing]:
    """Those that are drawn, in one order."""
    there = {stretch.standing for row in rows if isinstance(row, Band) for stretch in row.stretches}
    return [standing for standing in MEANINGS if standing in there]


def highest(row: Level, seen: Window, bucket_s: float) -> list[int]:
    """How many there were at most in each stretch of so many seconds, to the end of the window."""
    changes = defaultdict[int, list[int]](list)
    for time_s, more in sorted(row.changes):
        changes[max(0, int(seen.at(time_s) // bucket_s))].append(more)
    level, found = 0, []
    for bucket in range(int(seen.length_s // bucket_s) + 1):
        most = level
        for more in changes[bucket]:
            level += more
            most = max(most, level)
        found.append(most)
    return found


def _levels(
    row: Level, levels: Sequence[int], most: int, frame: Frame, bucket_s: float, top: float
) -> list[Markup]:
    """A bar for each stretch in which there was any."""
    base = top + HEIGHT
    bars = [el("path", class_="base", d=f"M{frame.left:.1f} {base:.1f}H{frame.end:.1f}")]
    for bucket, level in enumerate(levels):
        if level <= 0:
            continue
        x = frame.x(bucket * bucket_s)
        wide = max(1.5, frame.x((bucket + 1) * bucket_s) - x)
        high = max(1.0, level / most * HEIGHT)
        over = f"{bucket * bucket_s:,.2f} to {(bucket + 1) * bucket_s:,.2f} s"
        shape = {"x": x, "y": base - high, "width": wide, "height": high}
        about = f"{words.count(level)} {row.name}, {over}"
        bars.append(el("rect", el("title", about), class_="outcome filled", **shape))
    return bars


def _stretch(row: Band, stretch: Stretch, seen: Window, frame: Frame, top: float) -> Markup:
    left, right = _ends(stretch, seen, frame)
    about = f"{row.name}, {_over(stretch, seen)}: {stretch.about}"
    shape = {"x": left, "y": top, "width": max(2.0, right - left), "height": BAND}
    return el("rect", el("title", about), class_=f"stands {stretch.standing}", **shape)


def _told(row: Band, seen: Window, frame: Frame, top: float) -> list[Markup]:
    """In words, where these have room."""
    told = []
    for stretch in row.stretches:
        left, right = _ends(stretch, seen, frame)
        said = stretch.about.partition(":")[0]
        if len(said) * GLYPH + 8 <= right - left:
            told.append(el("text", said, class_="struck-words", x=left + 4, y=top + 11.5))
    return told


def _ends(stretch: Stretch, seen: Window, frame: Frame) -> tuple[float, float]:
    return frame.x(seen.at(stretch.since_s)), frame.x(min(seen.at(stretch.until_s), seen.length_s))


def _over(stretch: Stretch, seen: Window) -> str:
    until_s = min(seen.at(stretch.until_s), seen.length_s)
    return f"{seen.at(stretch.since_s):,.2f} to {until_s:,.2f} s"
