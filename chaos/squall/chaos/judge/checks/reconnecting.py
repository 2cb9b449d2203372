"""L4: a node whose way refused connections is connected again soon after the way is whole. Pure.

    cut ─► try ─ refused ─► pause ─► try ─ refused ─► pause … whole ─► try ─► connected
                                                        └── one pause ──┘

A way that refuses ends each try at once, so when it is whole there is one pause left at most. A pause that
grows without a bound does no harm until an outage is long, and then the node is away for as long again.
"""

from __future__ import annotations

from squall.bus.connection import BACKOFF_S
from squall.chaos.evidence.facts import Injected
from squall.chaos.evidence.model import History
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.case import Case
from squall.chaos.judge.decide import Finding, decide
from squall.chaos.judge.promise import Promise, an_experiment
from squall.chaos.judge.succession import overlaps
from squall.chaos.plan.bounds import SLACK_S
from squall.chaos.plan.surface import BROKER

REFUSING = "refuse"
"""The kind of fault under which each try to connect comes to nothing at once."""

BOUND_S = BACKOFF_S[1] + SLACK_S
"""The longest pause between two tries, and what the machine may add."""


def was_refused(history: History) -> bool:
    """Whether a way refused connections, and was whole again, while nothing else disturbed its node."""
    return bool(an_experiment(history) and _undisturbed(history))


def back_in_time(case: Case) -> Finding:
    """L4."""
    history = case.history
    away, late, took_s = [], [], []
    for fault, end_s, start in _undisturbed(history):
        linked_s = next((s for s in history.lives.links.get(start, ()) if s >= fault.start_s), None)
        if linked_s is None:
            away.append(f"{fault.node} was not connected again after its way had refused connections")
            continue
        took_s.append(linked_s - end_s)
        if took_s[-1] > BOUND_S:
            late.append(
                f"{fault.node} was connected {took_s[-1]:.2f} s after its way was whole again, "
                f"the bound is {BOUND_S:.2f} s"
            )
    slowest_s = max(took_s, default=0.0)
    return decide(
        case,
        late=late,
        inferred=away,
        passed=f"{plural(len(took_s), 'time')} a way that had refused connections was whole again, and its "
        f"node connected {max(0.0, slowest_s):.2f} s later at most; the bound is {BOUND_S:.2f} s.",
    )


def _undisturbed(history: History) -> list[tuple[Injected, float, tuple[str, int]]]:
    """The faults of that kind, when each was over, and which start of the node lived through it.

    Left out is a node that was struck otherwise, or started, about then, or ended soon after.
    """
    on_the_bus = {writer.node: writer.last_s or 0.0 for writer in history.writers}
    found = []
    for fault in history.faults:
        if (
            fault.kind != REFUSING
            or fault.node not in on_the_bus
            or fault.end_s is None
            or not fault.verified
        ):
            continue
        until_s = fault.end_s + BOUND_S
        starts = [start for start in history.nodes if start.node == fault.node]
        lives = [start for start in starts if start.started_s <= fault.start_s]
        if (
            not lives
            or lives[-1] is not starts[-1]
            or on_the_bus[fault.node] < until_s
            or (history.read_back_s or 0.0) < until_s
            or any(
                other is not fault
                and other.node in (fault.node, BROKER)
                and overlaps(other, fault.start_s, until_s)
                for other in history.faults
            )
        ):
            continue
        found.append((fault, fault.healed_s or fault.end_s, (fault.node, lives[-1].incarnation)))
    return found


RECONNECTING = Promise(
    id="L4",
    name="reconnecting",
    text="A node whose way refused connections is connected again one pause after the way is whole, at most.",
    check=back_in_time,
    when=was_refused,
    sometimes=True,
)
