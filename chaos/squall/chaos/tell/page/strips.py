"""What became of tasks over time, a row for each outcome, whatever it was. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from squall.chaos.evidence.model import History
from squall.chaos.tell.page import words
from squall.chaos.tell.page.buckets import nice
from squall.chaos.tell.page.frame import NARROW, Frame, drawing, lead_lines, seconds_axis, shading
from squall.chaos.tell.page.lanes import Window
from squall.chaos.tell.page.markup import Markup, el
from squall.chaos.tell.page.outcomes import MEANINGS, NAMES, WRONG, Kind, Outcome
from squall.chaos.tell.page.plots import Setting

HEIGHT, LABEL, GAP = 22.0, 18.0, 8.0

LEAST = 4.0
"""How high a bar is at least, so that one task among thousands is seen."""

BUCKETS = 150
NARROW_BUCKETS = 80


@dataclass(frozen=True, slots=True)
class Strip:
    """A row: when each of its tasks, or attempts, came to that, in seconds since the first was due."""

    name: str
    kind: str
    about: str
    times_s: Sequence[float]


def strips(history: History, found: Sequence[Outcome], seen: Window) -> list[Strip]:
    """A row for each outcome that there was, what matters most first; and one for attempts that failed."""
    times: Mapping[Kind, list[float]] = {kind: [] for kind in NAMES}
    for outcome in found:
        if outcome.at_s is not None:
            times[outcome.kind].append(seen.at(outcome.at_s))
    failed = [
        seen.at(one.failed_s)
        for executions in history.executions.values()
        for one in executions
        if one.failed_s is not None
    ]
    rows = [
        Strip(NAMES[kind], "wrong" if kind in WRONG else kind, MEANINGS[kind], times[kind]) for kind in NAMES
    ]
    attempts = Strip(
        "failed attempts", "attempt", "the handler raised, or took too long; tried again", failed
    )
    after = next(place for place, row in enumerate(rows) if row.kind == "dead") + 1
    return [row for row in (*rows[:after], attempts, *rows[after:]) if row.times_s]


def drawn(rows: Sequence[Strip], setting: Setting, width: float) -> Markup:
    """The drawing.

    Args:
        rows: At least one.
    """
    narrow = width <= NARROW
    frame = Frame(width=width, length_s=setting.length_s, left=setting.left(width))
    bucket_s = nice(setting.length_s / (NARROW_BUCKETS if narrow else BUCKETS))
    bottom = len(rows) * (LABEL + HEIGHT + GAP)
    children = [
        *shading(frame, setting.strikes, 0.0, bottom),
        *seconds_axis(frame, 0.0, bottom),
        *lead_lines(frame, setting.terms, 0.0, bottom),
    ]
    for place, row in enumerate(rows):
        top = place * (LABEL + HEIGHT + GAP)
        children.append(
            el(
                "text",
                f"{words.count(len(row.times_s))} {row.name}",
                class_="row",
                x=frame.left + 2,
                y=top + 14,
            )
        )
        children += _bars(row, frame, bucket_s, top + LABEL)
    about = "What became of tasks over time: " + ", ".join(f"{len(row.times_s):,} {row.name}" for row in rows)
    return drawing(children, width, bottom + 26, about, narrow=narrow)


def _bars(row: Strip, frame: Frame, bucket_s: float, top: float) -> list[Markup]:
    """Bars as high as the share of the row's fullest bucket, on its own base line."""
    counts = Counter(max(0, int(time_s // bucket_s)) for time_s in row.times_s)
    most = max(counts.values())
    base = top + HEIGHT
    bars = [el("path", class_="base", d=f"M{frame.left:.1f} {base:.1f}H{frame.end:.1f}")]
    for index, count in sorted(counts.items()):
        x = frame.x(index * bucket_s)
        wide = max(1.5, frame.x((index + 1) * bucket_s) - x - 0.5)
        high = max(LEAST, count / most * HEIGHT)
        about = f"{count:,} {row.name}, {index * bucket_s:,.2f} to {(index + 1) * bucket_s:,.2f} s"
        shape = {"x": x, "y": base - high, "width": wide, "height": high}
        bars.append(el("rect", el("title", about), class_=f"outcome {row.kind}", **shape))
    return bars


def key(rows: Sequence[Strip]) -> list[tuple[str, str]]:
    """What each row means, a name and a sentence."""
    return [(row.name, row.about) for row in rows]
