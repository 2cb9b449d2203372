"""How long recovering took in each run, against what it may take: a row a step, a dot a run. Pure.

fail-over   0 ··•·•••·············│ bound 3.00 s
"""

from __future__ import annotations

from collections.abc import Sequence

from squall.chaos.judge.series import Recovered
from squall.chaos.tell.page import words
from squall.chaos.tell.page.frame import NARROW, WIDE, drawing
from squall.chaos.tell.page.grid import took_s
from squall.chaos.tell.page.markup import Markup, el, join
from squall.services.run.result import Result

ROW, LABEL, DOT = 52.0, 18.0, 5.0

LEFT, RIGHT = 8.0, 14.0


def against(steps: Sequence[Recovered], runs: Sequence[Result]) -> Markup | None:
    """The drawing, wide and narrow; None where nothing was timed."""
    timed = [step for step in steps if step.slowest_s is not None]
    if not timed:
        return None
    return join(*(_drawn(timed, runs, width) for width in (WIDE, NARROW)))


def _drawn(steps: Sequence[Recovered], runs: Sequence[Result], width: float) -> Markup:
    drawn: list[Markup] = []
    for place, step in enumerate(steps):
        drawn += _row(step, runs, 4 + place * ROW, width)
    about = "; ".join(f"{step.what}: slowest {words.seconds(step.slowest_s)}{_of(step)}" for step in steps)
    return drawing(
        drawn, width, 4 + ROW * len(steps), f"Recovery against bounds. {about}", narrow=width <= NARROW
    )


def _of(step: Recovered) -> str:
    return "" if step.bound_s is None else f" of {words.seconds(step.bound_s)}"


def _row(step: Recovered, runs: Sequence[Result], top: float, width: float) -> list[Markup]:
    """A step's dots on a line from 0 to its bound; past it, if one took longer."""
    slowest_s = step.slowest_s or 0.0
    most_s = max(slowest_s, step.bound_s or 0.0) or 1.0
    y = top + LABEL + 12

    def x(seconds: float) -> float:
        return LEFT + seconds / most_s * (width - LEFT - RIGHT)

    drawn = [
        el("text", step.what, class_="name", x=LEFT, y=top + 12),
        el("path", class_="axis", d=f"M{LEFT:.1f} {y:.1f}H{width - RIGHT:.1f}"),
        el("path", class_="axis", d=f"M{LEFT:.1f} {y - 6:.1f}v12"),
    ]
    if step.bound_s is not None:
        at = x(step.bound_s)
        drawn.append(el("path", class_="bound", d=f"M{at:.1f} {y - 11:.1f}v22"))
    said = f"slowest {words.seconds(step.slowest_s)}{_of(step)}"
    drawn.append(el("text", said, x=width - RIGHT, y=top + 12, text_anchor="end"))
    for run in runs:
        seconds = took_s(run, step.what)
        if seconds is not None:
            past = step.bound_s is not None and seconds > step.bound_s
            title = el("title", f"{run.run}: {step.what} {words.seconds(seconds)}{_of(step)}")
            kind = "dot past" if past else "dot"
            drawn.append(el("circle", title, class_=kind, cx=x(seconds), cy=y, r=DOT))
    return drawn
