"""One lane a node: when it lived, when it led, and what was done to it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from squall.chaos.tell.page.frame import GLYPH, NARROW, Frame, drawing, seconds_axis
from squall.chaos.tell.page.kinds import does
from squall.chaos.tell.page.lanes import Lane, Span
from squall.chaos.tell.page.markup import Markup, el

BAR, STRUCK = 14.0, 16.0
"""Heights of a node's life, and of what was done to it below."""

GAP, ABOVE = 10.0, 18.0
"""Between two lanes, and on a narrow page for the name."""


def timeline(lanes: Sequence[Lane], length_s: float, width: float, left: float) -> Markup:
    """The drawing; names stand left of their lanes, on a narrow page above them.

    Args:
        lanes: At least one.
        length_s: Seconds, from the first task that was due; what came before is drawn at the left border.
        left: The margin that all drawings of the page share.
    """
    narrow = width <= NARROW
    frame = Frame(width=width, length_s=length_s, left=left)
    drawn: list[Markup] = []
    top = 4.0
    for lane in lanes:
        name = _shortened(lane.node, (width - left if narrow else left) - 14)
        if narrow:
            drawn.append(el("text", name, class_="name", x=left, y=top + 12))
            top += ABOVE
        else:
            named = [el("title", lane.node), name] if name != lane.node else [name]
            drawn.append(el("text", *named, class_="name", x=left - 12, y=top + 11.5, text_anchor="end"))
        drawn += _lane(lane, frame, top)
        top += BAR + GAP + ((STRUCK + 2) if lane.strikes else 0.0)
    struck = sum(bool(lane.strikes) for lane in lanes)
    led = sum(len(lane.led) for lane in lanes)
    restarts = sum(len(lane.lives) - 1 for lane in lanes)
    about = (
        f"Timeline of {len(lanes)} nodes: {struck} struck by faults, restarts: {restarts}, terms led: {led}."
    )
    return drawing([*seconds_axis(frame, 0.0, top), *drawn], width, top + 26, about, narrow=narrow)


def _shortened(name: str, room: float) -> str:
    most = max(4, int(room / GLYPH))
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _lane(lane: Lane, frame: Frame, top: float) -> list[Markup]:
    drawn = []
    for life in lane.lives:
        about = f"{lane.node}, incarnation {life.name}: {life.start_s:.2f} to {life.end_s:.2f} s"
        drawn.append(_bar(frame, life, top, BAR, "life", about))
        if life.start_s > 0:
            drawn.append(
                el("path", class_="born", d=f"M{frame.x(life.start_s):.1f} {top - 3:.1f}v{BAR + 6:.0f}")
            )
    for term in lane.led:
        about = f"{lane.node} led term {term.name}: {term.start_s:.2f} to {term.end_s:.2f} s"
        drawn.append(_bar(frame, term, top, BAR, "leading", about))
        words, x = f"term {term.name}", frame.x(term.start_s) + 6
        if x + len(words) * GLYPH <= frame.x(term.end_s):
            drawn.append(el("text", words, class_="label on-leading", x=x, y=top + 11.5))
    return [*drawn, *_struck(lane, frame, top + BAR + 2)]


def _struck(lane: Lane, frame: Frame, top: float) -> list[Markup]:
    """What was done to a node, with its number and its kind where there is room before the next."""
    drawn = []
    for strike, follower in pairwise([*lane.strikes, None]):
        assert strike is not None
        limit = frame.width if follower is None else frame.x(follower.start_s)
        over = f"{strike.start_s:.2f} to {strike.end_s:.2f} s"
        about = f"{strike.number} {strike.kind} of {lane.node}: {over}; {does(strike.kind)}".rstrip("; ")
        span = Span(str(strike.number), strike.start_s, strike.end_s)
        drawn.append(_bar(frame, span, top, STRUCK, "struck", about))
        for words in (f"{strike.number} {strike.kind}", str(strike.number)):
            x = _beside(frame, span, len(words) * GLYPH)
            if x + len(words) * GLYPH <= limit:
                drawn.append(el("text", words, class_="label fault", x=x, y=top + 12.5))
                break
    return drawn


def _beside(frame: Frame, span: Span, width: float) -> float:
    """Where words go: into a bar that holds them, or behind it."""
    left, right = frame.x(span.start_s), frame.x(span.end_s)
    return (left if left + width + 4 <= right else right) + 4


def _bar(frame: Frame, span: Span, top: float, height: float, kind: str, about: str) -> Markup:
    left = frame.x(span.start_s)
    width = max(2.5, frame.x(span.end_s) - left)
    return el("rect", el("title", about), class_=kind, x=left, y=top, width=width, height=height, rx=2.0)
