"""What U1 asks of producers: they keep the pace, and their patience, that they were told. Pure.

begins ─► due ─ 1/rate ─► due ─ 1/rate ─► due …
           └─ asked ─► no room ─► asked again … patience ends ─► refused

A producer that dates a task when it comes to send it, or gives up at once, hides what the swarm did to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from squall.chaos.evidence.model import History, Pace
from squall.chaos.judge.decide import named
from squall.services.intake.source import is_streamed
from squall.services.patterns.pattern import PRODUCER

CLOCKS = ("clock-off", "clock-jump")
"""Kinds of faults after which a node's own lines tell nothing of how long something took."""

PATIENCE_MARGIN_S = 0.05
"""By how much two clocks of one node may differ over a producer's patience."""

PACE_MARGIN_S = 0.001
"""What rounding may add to the time between two tasks."""

BEGIN_S = 5.0
"""By when a start of a producer must be due to submit something: it imports, connects, and reads what it did
before."""


def hasty(history: History) -> list[str]:
    """Tasks that a producer gave up while it should have had patience, and went on to others.

    One that is told to end gives up what it waits for.
    """
    patience_s = history.asked.patience_s
    last_s = max((offer.intended_s or 0.0 for offer in history.submissions.values()), default=0.0)
    if patience_s is None or _moved(history):
        return []
    given_up = [
        offer.task
        for offer in history.submissions.values()
        if (times := offer.refused_s) is not None
        and times[1] < last_s
        and times[1] - times[0] < patience_s - PATIENCE_MARGIN_S
    ]
    return named(given_up, "task", "been refused before the producer's patience ended")


def refused_undisturbed(history: History) -> list[str]:
    """Tasks that were refused while the swarm, undisturbed, kept up with what was offered."""
    steady = next((phase for phase in history.phases if phase.what == "steady"), None)
    if steady is None:
        return []
    refused = [
        offer.task
        for offer in history.submissions.values()
        if offer.refused_s is not None and steady.time_s - steady.seconds < offer.refused_s[1] < steady.time_s
    ]
    return named(refused, "task", "been refused in the steady state, which nothing disturbed")


def off_pace(history: History) -> list[str]:
    """Starts of the producer whose tasks were due further apart than was asked for."""
    rate = history.asked.rate_per_s
    if not rate or _moved(history) or _comes_in(history):
        return []
    return [
        f"tasks of {name} were due up to {pace.widest_s:.3f} s apart, where {1 / rate:.3f} s was asked for"
        for name, _, pace in _paces(history)
        if pace.widest_s > 1 / rate + PACE_MARGIN_S
    ]


def late_beginnings(history: History) -> list[str]:
    """Starts of the producer that were due to submit nothing for long."""
    if _moved(history) or _comes_in(history):
        return []
    return [
        f"{name} was due to submit nothing for its first {pace.first_s - started_s:.1f} s"
        for name, started_s, pace in _paces(history)
        if pace.first_s - started_s > BEGIN_S
    ]


def _comes_in(history: History) -> bool:
    """Whether tasks are due as they come in, which is no producer's doing."""
    return is_streamed(history.asked.tasks_from)


def _moved(history: History) -> bool:
    """Whether somebody moved the producer's clock."""
    return any(fault.kind in CLOCKS and fault.node == PRODUCER for fault in history.faults)


def _paces(history: History) -> Iterator[tuple[str, float, Pace]]:
    """Each start of a producer, in words, when it was started, and when its tasks were due."""
    for start in history.nodes:
        pace = history.paces.get((start.node, start.incarnation))
        if start.role == PRODUCER and pace is not None:
            yield f"start {start.incarnation} of {start.node}", start.started_s, pace
