"""How long recovering took in each run, against what it might have taken: a row a step, a dot a run. Pure.

fail-over   0 ··•·•••·············│ bound
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from squall.chaos.judge.series import SeriesResult
from squall.chaos.tell.page import words
from squall.chaos.tell.page.frame import NARROW, WIDE, drawing
from squall.chaos.tell.page.markup import Markup, el, join
from squall.services.run.result import Result

ROW, LABEL, DOT = 52.0, 18.0, 5.0

LEFT, RIGHT = 8.0, 14.0


@dataclass(frozen=True, slots=True)
class Timed:
    """One step of recovering in one run, at its slowest."""

    run: str
    what: str
    took_s: float
    bound_s: float | None

    @property
    def share(self) -> float | None:
        """How much of its bound it took; None if it has none."""
        return self.took_s / self.bound_s if self.bound_s else None

    @property
    def of_bound(self) -> str:
        bound = "" if self.bound_s is None else f" of {words.seconds(self.bound_s)}"
        return words.seconds(self.took_s) + bound


def timed_in(series: SeriesResult) -> list[Timed]:
    """Every step that could be timed, run by run."""
    bounds = {each.run: each for each in series.bounds}
    found = []
    for run in series.runs:
        own = bounds.get(run.run)
        take_over_s, drain_s = (own.take_over_s, own.drain_s) if own is not None else (None, None)
        for what, took_s, bound_s in (
            ("take-over", run.recovery_s.detect, take_over_s),
            ("fail-over", run.recovery_s.failover, take_over_s),
            ("drain", run.recovery_s.drain, drain_s),
        ):
            if took_s is not None:
                found.append(Timed(run.run, what, took_s, bound_s))
    return found


def nearest(run: Result, timed: Sequence[Timed]) -> Timed | None:
    """Where a run came nearest to a bound; None where nothing of it was timed against one."""
    own = [each for each in timed if each.run == run.run and each.share is not None]
    return max(own, key=lambda each: each.share or 0.0, default=None)


def against(timed: Sequence[Timed]) -> Markup | None:
    """The drawing, wide and narrow; None where nothing was timed."""
    if not timed:
        return None
    return join(*(_drawn(timed, width) for width in (WIDE, NARROW)))


def _drawn(timed: Sequence[Timed], width: float) -> Markup:
    drawn: list[Markup] = []
    said = []
    for place, what in enumerate(dict.fromkeys(each.what for each in timed)):
        steps = [each for each in timed if each.what == what]
        worst = max(steps, key=lambda each: (each.share or 0.0, each.took_s))
        said.append(f"{what}: at worst {worst.of_bound}")
        drawn += _row(what, steps, worst, 4 + place * ROW, width)
    about = f"Recovery against bounds. {'; '.join(said)}"
    return drawing(drawn, width, 4 + ROW * len(said), about, narrow=width <= NARROW)


def _row(what: str, steps: Sequence[Timed], worst: Timed, top: float, width: float) -> list[Markup]:
    """A step's dots, each at its share of its own run's bound; past the bound, if one took longer.

    Where there are no bounds, at their share of the slowest.
    """
    slowest_s = max(each.took_s for each in steps) or 1.0
    shares = [each.took_s / slowest_s if each.share is None else each.share for each in steps]
    most = max(1.0, *shares)
    y = top + LABEL + 12

    def x(share: float) -> float:
        return LEFT + share / most * (width - LEFT - RIGHT)

    drawn = [
        el("text", what, class_="name", x=LEFT, y=top + 12),
        el("path", class_="axis", d=f"M{LEFT:.1f} {y:.1f}H{width - RIGHT:.1f}"),
        el("path", class_="axis", d=f"M{LEFT:.1f} {y - 6:.1f}v12"),
        el("text", f"at worst {worst.of_bound}", x=width - RIGHT, y=top + 12, text_anchor="end"),
    ]
    if worst.share is not None:
        bound = el("title", "the bound")
        drawn.append(el("path", bound, class_="bound", d=f"M{x(1.0):.1f} {y - 11:.1f}v22"))
    for each, share in zip(steps, shares, strict=True):
        kind = "dot past" if each.share is not None and each.share > 1 else "dot"
        title = el("title", f"{each.run}: {what} {each.of_bound}")
        drawn.append(el("circle", title, class_=kind, cx=x(share), cy=y, r=DOT))
    return drawn
