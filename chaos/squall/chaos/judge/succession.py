"""Who led after whom, and how long nobody did, for any role that leads. Pure.

lead(term) ··· fault on the leader ··· lead(next term) ··· first batch stored under it
               └────────── detect ─────────┘                       │
               └────────────────────── failover ───────────────────┘   less the time in which nothing was due
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from squall.chaos.evidence.facts import Injected
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Batch, Lead, Resign
from squall.chaos.plan.kinds import DISCONNECT, HAND_OVER, NO_FIN
from squall.chaos.plan.surface import BROKER

Since = Literal["fault", "disturbance", "hand-over", "death", "resignation", "last dispatch", "unknown"]


SILENCING = frozenset({"pause", "crash", "refuse", "blackhole", NO_FIN, DISCONNECT, "stall", "one-way-up"})
"""Faults from whose beginning on nothing that a leader writes arrives. Under any other it may lead on."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """One change of leader.

    Attributes:
        previous, next: The lines with which the two took over.
        since: What the time is measured from. A last batch, or a fault that need not silence a leader, only
            bounds it from above: the previous leader may have led on for long.
        start_s: When that was; None if nothing is known.
        fault: The fault that asked for it, if one did.
        broker_s: When the broker came back in between, if it was away: before, nobody could take over.
        is_obstructed: Whether the successor, or the broker, was itself struck or started in between, so that
            the time says nothing of the take-over.
        is_idle: Whether the successor, the broker or every agent was struck between the take-over and the
            first batch, so that the time till then says nothing of the fail-over: with no agent at work
            there is soon nothing to store.
        acted_s: When the first batch under the new term was stored.
        ready_s: From when on there was something to store.
    """

    previous: Lead
    next: Lead
    since: Since
    start_s: float | None
    fault: Injected | None
    broker_s: float | None
    is_obstructed: bool
    is_idle: bool
    acted_s: float | None
    ready_s: float

    @property
    def detect_s(self) -> float | None:
        return None if self.start_s is None else self.next.time_s - self.start_s

    @property
    def possible_s(self) -> float | None:
        """The part of `detect_s` in which there was a broker to take over through."""
        if self.start_s is None:
            return None
        return self.next.time_s - max(self.start_s, self.broker_s or self.start_s)

    @property
    def failover_s(self) -> float | None:
        if self.start_s is None or self.acted_s is None or self.is_idle:
            return None
        return self.next.time_s - self.start_s + max(0.0, self.acted_s - self.ready_s)


@dataclass(frozen=True, slots=True)
class Succession:
    """Who led in a run.

    Attributes:
        leads: Every line of a take-over, also while the run was being stopped.
        terms: Those before the run was read back, in the order of terms; later ones belong to stopping it.
        takeovers: Every change of leader among these.
        leader_faults: The faults that struck whoever led at that moment.
        batches: What leaders stored, in order.
    """

    leads: Sequence[Lead] = ()
    terms: Sequence[Lead] = ()
    takeovers: Sequence[Takeover] = ()
    leader_faults: Sequence[Injected] = ()
    batches: Sequence[Batch] = ()

    def leader_at(self, time_s: float) -> Lead | None:
        """Who had taken over last by then."""
        return next((lead for lead in reversed(self.terms) if lead.time_s <= time_s), None)


def terms(history: History) -> list[Lead]:
    """The take-overs before the run was read back, in the order of their terms."""
    end_s = float("inf") if history.read_back_s is None else history.read_back_s
    return sorted((lead for lead in history.of(Lead) if lead.time_s <= end_s), key=lambda lead: lead.term)


def succession(history: History, batches: type[Batch] | None) -> Succession:
    """Who led in a run.

    Args:
        batches: The operation that tells what a leader stored; None if nobody leads.
    """
    led = terms(history)
    stored = history.of(batches) if batches is not None else ()
    due = sorted(offer.intended_s for offer in history.submissions.values() if offer.intended_s is not None)
    struck = _leader_faults(history, led)
    changes = [
        _takeover(history, stored, struck, due, previous, following)
        for previous, following in itertools.pairwise(led)
    ]
    return Succession(history.of(Lead), led, changes, struck, stored)


def _leader_faults(history: History, led: Sequence[Lead]) -> list[Injected]:
    found = []
    for fault in history.faults:
        leading = next((lead for lead in reversed(led) if lead.time_s <= fault.start_s), None)
        if fault.target == "leader" or (leading is not None and fault.node == leading.node):
            found.append(fault)
    return found


def _takeover(
    history: History,
    stored: Sequence[Batch],
    struck: Sequence[Injected],
    due: Sequence[float],
    previous: Lead,
    following: Lead,
) -> Takeover:
    since, start_s, fault = _beginning(history, stored, struck, previous, following)
    brokers = [start.started_s for start in history.nodes if start.role == BROKER]
    returned = [time_s for time_s in brokers if previous.time_s <= time_s <= following.time_s]
    acted_s = min((batch.time_s for batch in stored if batch.term == following.term), default=None)
    return Takeover(
        previous=previous,
        next=following,
        since=since,
        start_s=start_s,
        fault=fault,
        broker_s=max(returned, default=None),
        is_obstructed=start_s is not None and _is_obstructed(history, following, start_s),
        is_idle=acted_s is not None and _is_idle(history, following, acted_s),
        acted_s=acted_s,
        ready_s=_ready_s(stored, due, previous, following, acted_s),
    )


def _ready_s(
    stored: Sequence[Batch], due: Sequence[float], previous: Lead, following: Lead, acted_s: float | None
) -> float:
    """From when on a successor had something to store: at once, unless the next task was due only later.

    Args:
        due: When each task was, in order.
        acted_s: When it stored the first.
    """
    last_s = max((b.time_s for b in stored if b.term == previous.term), default=previous.time_s)
    place = bisect.bisect_right(due, last_s)
    if acted_s is None or place == len(due) or due[place] > acted_s:
        return following.time_s  # what it stored had been due before
    return max(following.time_s, due[place])


def _is_obstructed(history: History, following: Lead, start_s: float) -> bool:
    struck = any(
        fault.node in (following.node, BROKER) and overlaps(fault, start_s, following.time_s)
        for fault in history.faults
    )
    started = any(
        node.node == following.node and start_s <= node.started_s <= following.time_s
        for node in history.nodes
    )
    return struck or started


def _is_idle(history: History, following: Lead, acted_s: float) -> bool:
    struck = {fault.node for fault in history.faults if overlaps(fault, following.time_s, acted_s)}
    agents = {node.node for node in history.nodes if node.role == "agent"}
    return not struck.isdisjoint((following.node, BROKER)) or (bool(agents) and agents <= struck)


def overlaps(fault: Injected, start_s: float, end_s: float) -> bool:
    """Whether a fault was in force at any time in between."""
    return fault.start_s <= end_s and (fault.end_s is None or fault.end_s >= start_s)


def _beginning(
    history: History, stored: Sequence[Batch], struck: Sequence[Injected], previous: Lead, following: Lead
) -> tuple[Since, float | None, Injected | None]:
    """When the previous leader was lost: the best known of what is known."""

    def within(time_s: float) -> bool:
        return previous.time_s <= time_s <= following.time_s

    faults = [f for f in struck if f.node in (None, previous.node) and within(f.start_s)]
    if faults:
        fault = max(faults, key=lambda fault: fault.start_s)
        if fault.kind == HAND_OVER:
            return "hand-over", fault.start_s, fault
        return "fault" if fault.kind in SILENCING else "disturbance", fault.start_s, fault
    deaths = [
        start.started_s
        for start in history.nodes
        if start.node == previous.node
        and start.incarnation > previous.incarnation
        and within(start.started_s)
    ]
    if deaths:
        return "death", min(deaths), None
    resigned = [r.time_s for r in history.of(Resign) if r.term == previous.term and within(r.time_s)]
    if resigned:
        return "resignation", max(resigned), None
    batches = [batch.time_s for batch in stored if batch.term == previous.term and within(batch.time_s)]
    if batches:
        return "last dispatch", max(batches), None
    return "unknown", None, None
