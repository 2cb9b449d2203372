"""Latency and throughput over time, as SVG. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from squall.chaos.tell.page import frame as over_time
from squall.chaos.tell.page.buckets import Bucket, nice
from squall.chaos.tell.page.frame import Frame, Led, behind, drawing, hit, lead_lines, place, seconds_axis
from squall.chaos.tell.page.lanes import Strike
from squall.chaos.tell.page.markup import Markup, coordinate, el

GAP_BUCKETS = 3
"""After so many empty buckets a line breaks; in fewer nothing happened to be due."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all drawings over time are drawn on.

    Attributes:
        length_s: Seconds, from the first task that was due.
        strikes: Faults, shaded.
        terms: Who led from when on.
        names: Of the nodes, which stand left of their lanes.
    """

    length_s: float
    strikes: Sequence[Strike]
    terms: Sequence[Led]
    names: Sequence[str] = ()

    def left(self, width: float) -> float:
        """The left margin of every drawing over time."""
        return over_time.margin(width, self.names)

    def under(self, from_s: float, to_s: float) -> str:
        """The faults that were in force in a stretch of time, in words."""
        found = [s for s in self.strikes if s.start_s <= to_s and s.end_s >= from_s]
        return ", under " + ", ".join(f"{s.number} {s.kind}" for s in found) if found else ""


RUG = 6.0
"""How high the marks of tasks without a latency stand on the axis."""


def latency(
    buckets: Sequence[Bucket],
    width_s: float,
    setting: Setting,
    width: float,
    unfilled: Sequence[float] = (),
) -> Markup:
    """Median, 99th percentile and largest latency of the tasks due in each bucket, logarithmic.

    Args:
        buckets: At least one.
        width_s: The width of a bucket.
        width: Of the drawing.
        unfilled: When tasks were due that were not filled, so that a gap is not taken for quiet.
    """
    low, high = _decades([value for bucket in buckets for value in (bucket.p50, bucket.max)])
    height = 260.0 if width > over_time.NARROW else 220.0
    frame, top, children = _ground(setting, width, height)
    bottom = top + height

    def y(value: float) -> float:
        share = (math.log10(max(value, 10.0**low)) - low) / (high - low)
        return bottom - share * height

    for exponent in range(low, high + 1):
        children += _line_across(frame, y(10.0**exponent), _power(exponent))
        for step in (2, 5) if high - low < 3 and exponent < high else ():
            children += _line_across(frame, y(step * 10.0**exponent), _power(exponent, step))
    series: tuple[tuple[str, Callable[[Bucket], float]], ...] = (
        ("max", lambda bucket: bucket.max),
        ("p99", lambda bucket: bucket.p99),
        ("p50", lambda bucket: bucket.p50),
    )
    for name, value in series:
        points = [(bucket.at_s, value(bucket)) for bucket in buckets]
        children.append(el("path", class_=f"line {name}", d=_path(points, width_s, frame, y)))
    without = Counter(max(0, math.floor(due_s / width_s)) for due_s in unfilled)
    for index, count in sorted(without.items()):
        x = frame.x(index * width_s)
        shape = {"x": x, "y": bottom - RUG, "width": max(1.5, frame.x((index + 1) * width_s) - x)}
        title = el("title", f"{_between(index * width_s, (index + 1) * width_s)}: {count:,} not filled")
        children.append(el("rect", title, class_="unfilled", height=RUG, **shape))
    for bucket in buckets:
        from_s, to_s = bucket.at_s - width_s / 2, bucket.at_s + width_s / 2
        said = (
            f"{_between(from_s, to_s)}: median {bucket.p50:,.1f} ms, p99 {bucket.p99:,.1f} ms, "
            f"largest {bucket.max:,.1f} ms{setting.under(from_s, to_s)}"
        )
        children.append(hit(frame, from_s, to_s, top, bottom - RUG, said))
    medians = [bucket.p50 for bucket in buckets]
    least, most = f"{min(medians):,.1f}", f"{max(medians):,.1f}"
    about = (
        f"Latency over time: the median is {least if least == most else f'between {least} and {most}'} ms, "
        f"the largest latency {max(bucket.max for bucket in buckets):,.1f} ms. {_told(setting)}"
    )
    return drawing(children, width, bottom + 26, about, narrow=width <= over_time.NARROW)


def throughput(
    filled: Sequence[float], due: Sequence[float], width_s: float, setting: Setting, width: float
) -> Markup:
    """Fills a second as a filled outline, and tasks that were due a second as a dotted line.

    Args:
        filled, due: A second, bucket after bucket from 0 on; ``filled`` has at least one.
    """
    height = 180.0 if width > over_time.NARROW else 170.0
    step = nice(max([*filled, *due]) / 4)
    most = step * max(1, math.ceil(max([*filled, *due]) / step - 1e-9))
    frame, top, children = _ground(setting, width, height)
    bottom = top + height

    def y(value: float) -> float:
        return bottom - value / most * height

    for index in range(round(most / step) + 1):
        words = f"{index * step:,.{max(0, -math.floor(math.log10(step)))}f}"
        children += _line_across(frame, y(index * step), words)
    outline = _steps(filled, width_s, frame, y)
    under = f"{outline}V{coordinate(bottom)}H{coordinate(frame.left)}Z"
    children.append(el("path", class_="area", d=under))
    children.append(el("path", class_="line fills", d=outline))
    children.append(el("path", class_="line due", d=_steps(due, width_s, frame, y)))
    for index, rate in enumerate(filled):
        from_s, to_s = index * width_s, (index + 1) * width_s
        asked = due[index] if index < len(due) else 0.0
        said = f"{_between(from_s, to_s)}: {rate:,.1f} fills/s, {asked:,.1f} due/s"
        children.append(hit(frame, from_s, to_s, top, bottom, said + setting.under(from_s, to_s)))
    about = f"Fills a second over time, at most {max(filled):,.0f}. {_told(setting)}"
    return drawing(children, width, bottom + 26, about, narrow=width <= over_time.NARROW)


def _ground(setting: Setting, width: float, height: float) -> tuple[Frame, float, list[Markup]]:
    """The frame, the top of the plot below the labels, and what is drawn first."""
    narrow = width <= over_time.NARROW
    frame = Frame(width=width, length_s=setting.length_s, left=setting.left(width))
    labels = [
        *over_time.strike_labels(setting.strikes, setting.length_s, narrow=narrow),
        *over_time.leader_labels(setting.terms),
    ]
    placed = place(frame, labels)
    top = 12.0 + over_time.ROW * over_time.rows(placed)
    bottom = top + height
    children = [
        *behind(frame, setting.strikes, placed, top, bottom),
        *seconds_axis(frame, top, bottom),
        *lead_lines(frame, setting.terms, top, bottom),
    ]
    return frame, top, children


def _between(from_s: float, to_s: float) -> str:
    return f"{from_s:,.2f} to {to_s:,.2f} s"


def _told(setting: Setting) -> str:
    led = sum(term.at_s > 0 for term in setting.terms)
    return f"Faults: {len(setting.strikes)}; changes of leader: {led}."


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around all values; at least one apart. What is not above 0 has no logarithm."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    return low, max(high, low + 1)


def _power(exponent: int, step: int = 1) -> str:
    return f"{step * 10.0**exponent:,.{max(0, -exponent)}f}"


def _line_across(frame: Frame, y: float, words: str) -> list[Markup]:
    return [
        el("path", class_="grid", d=f"M{frame.left:.1f} {y:.1f}H{frame.end:.1f}"),
        el("text", words, x=frame.left - 8, y=y + 4.5, text_anchor="end"),
    ]


def _path(
    points: Sequence[tuple[float, float]], width_s: float, frame: Frame, y: Callable[[float], float]
) -> str:
    """A line through points; one that stands alone becomes a dot, by its round ends."""
    parts: list[str] = []
    before: float | None = None
    for at_s, value in points:
        joined = before is not None and at_s - before <= (GAP_BUCKETS + 0.5) * width_s
        place = f"{coordinate(frame.x(at_s))} {coordinate(y(value))}"
        parts.append(f"L{place}" if joined else f"M{place}h0")
        before = at_s
    return "".join(parts)


def _steps(values: Sequence[float], width_s: float, frame: Frame, y: Callable[[float], float]) -> str:
    """A staircase from 0 on."""
    if not values:
        return ""
    parts = [f"M{coordinate(frame.left)} {coordinate(y(values[0]))}"]
    for index, value in enumerate(values):
        parts.append(f"V{coordinate(y(value))}H{coordinate(frame.x((index + 1) * width_s))}")
    return "".join(parts)
