"""What a pattern promises, and all that judging it takes, as one value. Pure.

checks/<pattern>.py ── PROMISES ──┬─ promises ────► verdicts, the page's table, the plugin's ids
                                  ├─ operations ──► the reader of the history
                                  ├─ batches ─────► who led, and how long nobody did
                                  └─ experiment, runs, to_an_effect ──► what a series is, and must cover
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Batch, Operations
from squall.chaos.judge.case import Case
from squall.chaos.judge.decide import Finding
from squall.chaos.judge.track import Track
from squall.chaos.plan.series import EXPERIMENT, Plan

DELIVERING = ("gateway.delivered", "gateway.filled", "venue.journaled", "venue.filled")
"""The points on the way from a register to its effect, in every pattern."""


def every_run(history: History) -> bool:
    """A promise of every run."""
    return True


def an_experiment(history: History) -> bool:
    """A promise of a run that had a steady state, which was then disturbed."""
    return bool(history.phases)


@dataclass(frozen=True, kw_only=True)
class Promise:
    """One promise, and the check that holds a run to it.

    Attributes:
        id: For instance ``H1``; the only one of that id in its pattern.
        name: For instance ``no-loss``.
        text: What must hold, in a sentence.
        check: From the evidence of a run to what it shows.
        when: Whether a run is held to it at all.
        sometimes: Whether it is of what need not happen in each run; over a series of all faults it must have
            in more than one.
        exercised: A figure of the result document that must be above zero in a run, or that run has not put
            the promise to the test; empty if none need be.
        shown_by: The further run of a series of all faults that is made for it, where no other can put it to
            the test; empty where several do.
    """

    id: str
    name: str
    text: str
    check: Callable[[Case], Finding]
    when: Callable[[History], bool] = every_run
    sometimes: bool = False
    exercised: str = ""
    shown_by: str = ""


def _no_more_runs(spec: Any, seed: int) -> Sequence[Plan]:
    return ()


def _nothing_beside(said: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


def _nothing_over_time(history: History) -> Sequence[Track]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Promises:
    """All that judging a pattern takes; registered in `squall.chaos.judge.checks`.

    Attributes:
        pattern: Its name.
        promises: In the order of a report.
        operations: The pattern's own operations of the history, by ``op``, or ``final/<what>``.
        batches: Of these, the one that tells what a leader stored under its term; None if nobody leads.
        to_an_effect: The points on a task's way from its acceptance to its effect: a series must strike each
            in every way.
        experiment: How a swarm is set up for ``squall chaos``: fields of its spec.
        preferred: Given what is said of a swarm, the fields that an experiment has beside those where that
            lets it; whatever is said goes before them.
        runs: The runs that a series of all faults has beside its seeds; given the spec and the first seed.
        tracks: What the pattern tells of itself over time, for the page of a run; see `track.py`.
    """

    pattern: str
    promises: Sequence[Promise]
    operations: Operations = field(default_factory=dict)
    batches: type[Batch] | None = None
    to_an_effect: Sequence[str] = ()
    experiment: Mapping[str, Any] = field(default_factory=lambda: EXPERIMENT)
    preferred: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _nothing_beside
    runs: Callable[[Any, int], Sequence[Plan]] = _no_more_runs
    tracks: Callable[[History], Sequence[Track]] = _nothing_over_time

    def of(self, check: str) -> Promise | None:
        """The promise of an id."""
        return next((promise for promise in self.promises if promise.id == check), None)
