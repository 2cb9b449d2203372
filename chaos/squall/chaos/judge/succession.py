"""Who led after whom, and how long the seat was empty. Pure.

lead(term) ··· fault on the leader ··· lead(next term) ··· first dispatch under it
               └────────── detect ─────────┘                       │
               └────────────────────── failover ───────────────────┘
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

from squall.chaos.evidence.model import History, Injected, Reign

Since = Literal["fault", "disturbance", "death", "resignation", "last dispatch", "unknown"]

SILENCING = frozenset({"pause", "crash", "refuse", "blackhole", "blackhole-nofin", "stall", "one-way-up"})
"""Faults from whose beginning on nothing that a leader writes arrives. Under any other it may lead on."""

BROKER = "broker"


@dataclass(frozen=True, slots=True)
class Takeover:
    """One change of leader.

    Attributes:
        old, new: The first word of both reigns.
        since: What the time is measured from. A last dispatch, or a fault that need not silence a leader,
            only bounds it from above: the old one may have led on for long.
        start_s: When that was; None if nothing is known.
        fault: The fault that asked for it, if one did.
        broker_s: When the broker came back in between, if it was away: before, nobody could take over.
        hampered: Whether the successor, or the broker, was itself struck or started in between, so that the
            time says nothing of the take-over.
        hindered: Whether the successor, the broker or every agent was struck between the take-over and the
            first dispatch, so that the time till then says nothing of the fail-over: with no agent at work
            there is soon no room to dispatch into.
        dispatched_s: First dispatch under the new term.
    """

    old: Reign
    new: Reign
    since: Since
    start_s: float | None
    fault: Injected | None
    broker_s: float | None
    hampered: bool
    hindered: bool
    dispatched_s: float | None

    @property
    def detect_s(self) -> float | None:
        return None if self.start_s is None else self.new.time_s - self.start_s

    @property
    def possible_s(self) -> float | None:
        """The part of `detect_s` in which there was a broker to take over through."""
        if self.start_s is None:
            return None
        return self.new.time_s - max(self.start_s, self.broker_s or self.start_s)

    @property
    def failover_s(self) -> float | None:
        if self.start_s is None or self.dispatched_s is None or self.hindered:
            return None
        return self.dispatched_s - self.start_s


def reigns(history: History) -> list[Reign]:
    """The terms that began before the run was read back, in order; later ones belong to stopping it."""
    end_s = float("inf") if history.read_back_s is None else history.read_back_s
    return sorted((lead for lead in history.leads if lead.time_s <= end_s), key=lambda lead: lead.term)


def takeovers(history: History) -> list[Takeover]:
    """Every change of leader, in the order of terms."""
    led = reigns(history)
    return [_takeover(history, old, new) for old, new in itertools.pairwise(led)]


def leader_faults(history: History) -> list[Injected]:
    """The faults that struck whoever led, by the term of their moment."""
    led = reigns(history)
    found = []
    for fault in history.faults:
        reigning = next((reign for reign in reversed(led) if reign.time_s <= fault.start_s), None)
        if fault.target == "leader" or (reigning is not None and fault.node == reigning.node):
            found.append(fault)
    return found


def _takeover(history: History, old: Reign, new: Reign) -> Takeover:
    since, start_s, fault = _beginning(history, old, new)
    brokers = [start.started_s for start in history.nodes if start.role == "broker"]
    returned = max((time_s for time_s in brokers if old.time_s <= time_s <= new.time_s), default=None)
    first = min((d.time_s for d in history.dispatches if d.term == new.term), default=None)
    return Takeover(
        old=old,
        new=new,
        since=since,
        start_s=start_s,
        fault=fault,
        broker_s=returned,
        hampered=start_s is not None and _hampered(history, new, start_s),
        hindered=first is not None and _hindered(history, new, first),
        dispatched_s=first,
    )


def _hampered(history: History, new: Reign, start_s: float) -> bool:
    struck = any(
        fault.node in (new.node, BROKER) and overlaps(fault, start_s, new.time_s) for fault in history.faults
    )
    started = any(node.node == new.node and start_s <= node.started_s <= new.time_s for node in history.nodes)
    return struck or started


def _hindered(history: History, new: Reign, dispatched_s: float) -> bool:
    struck = {fault.node for fault in history.faults if overlaps(fault, new.time_s, dispatched_s)}
    agents = {node.node for node in history.nodes if node.role == "agent"}
    return not struck.isdisjoint((new.node, BROKER)) or (bool(agents) and agents <= struck)


def overlaps(fault: Injected, start_s: float, end_s: float) -> bool:
    """Whether a fault was in force at any time in between."""
    return fault.start_s <= end_s and (fault.end_s is None or fault.end_s >= start_s)


def _beginning(history: History, old: Reign, new: Reign) -> tuple[Since, float | None, Injected | None]:
    """When the old leader was lost: the best known of what is known."""

    def within(time_s: float) -> bool:
        return old.time_s <= time_s <= new.time_s

    faults = [
        fault for fault in leader_faults(history) if fault.node in (None, old.node) and within(fault.start_s)
    ]
    if faults:
        fault = max(faults, key=lambda fault: fault.start_s)
        return "fault" if fault.kind in SILENCING else "disturbance", fault.start_s, fault
    deaths = [
        start.started_s
        for start in history.nodes
        if start.node == old.node and start.incarnation > old.incarnation and within(start.started_s)
    ]
    if deaths:
        return "death", min(deaths), None
    resigned = [r.time_s for r in history.resigned if r.term == old.term and within(r.time_s)]
    if resigned:
        return "resignation", max(resigned), None
    dispatched = [d.time_s for d in history.dispatches if d.term == old.term and within(d.time_s)]
    if dispatched:
        return "last dispatch", max(dispatched), None
    return "unknown", None, None
