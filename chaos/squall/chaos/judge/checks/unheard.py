"""Degraded times that nothing asks for: a leader led, undisturbed, and who listens did not hear it. Pure.

lead ├──── undisturbed ────┤ a fault on leader, listener or broker
     └─ announced three times a lease ─┘
        heard by here ··················· nobody is degraded ··················· two leases after the last
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Lead, Resign
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.leading import AFTER_S
from squall.chaos.plan.bounds import DEGRADED_LEASES, RETURN_S
from squall.chaos.plan.surface import BROKER

ANNOUNCED = 3
"""How often a lease a leader says that it leads."""

ARRIVES_S = 0.4
"""How long what it says may be on its way, where nothing disturbs that."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """Some time in which a leader led, and nothing was done to it, to a listener, or to what is between."""

    leader: str
    begin_s: float
    end_s: float


def needless(case: Case, spells: Iterable[tuple[str, float, float]]) -> list[str]:
    """Degraded times in which, or less than two leases before which, a leader was to be heard.

    Args:
        spells: Who was degraded, since when, and until when: it was so no more, or its process ended.
    """
    lease_s = case.history.asked.lease_s or 0.0
    hears_s = lease_s / ANNOUNCED + ARRIVES_S
    found = []
    for node, begin_s, end_s in spells:
        for led in _undisturbed(case, node):
            last_s = led.end_s - hears_s  # an announcement was heard since
            if led.begin_s + hears_s <= begin_s < last_s + DEGRADED_LEASES * lease_s and led.begin_s < last_s:
                silent_s = max(0.0, begin_s - led.end_s)
                found.append(
                    f"{node} was degraded {silent_s:.2f} s after {led.leader} had led undisturbed, "
                    f"and {DEGRADED_LEASES} leases are {DEGRADED_LEASES * lease_s:.2f} s"
                )
                break
            if begin_s < led.begin_s + RETURN_S < min(led.end_s, end_s):
                left_s = min(led.end_s, end_s) - led.begin_s
                found.append(
                    f"{node} was still degraded when {led.leader} had led {left_s:.2f} s undisturbed"
                )
                break
    return found


def _undisturbed(case: Case, listener: str) -> Iterator[Undisturbed]:
    """The times in which somebody led and must have been heard by a listener."""
    history = case.history
    for lead, until_s in _offices(case):
        struck = sorted(_struck(history, {lead.node, listener, BROKER}))
        for begin_s, end_s in _between(struck, lead.time_s, until_s):
            yield Undisturbed(lead.node, begin_s, end_s)


def _offices(case: Case) -> Iterator[tuple[Lead, float]]:
    """Each term, and when it was over at the latest."""
    resigned = {(resign.node, resign.term): resign.time_s for resign in case.history.of(Resign)}
    terms = case.succession.terms
    last_s = case.history.read_back_s or 0.0
    for place, lead in enumerate(terms):
        following_s = terms[place + 1].time_s if place + 1 < len(terms) else last_s
        yield lead, min(following_s, resigned.get((lead.node, lead.term), last_s))


def _struck(history: History, nodes: set[str]) -> Iterator[Span]:
    """When one of these was struck, or away, or had just been."""
    for fault in history.faults:
        if fault.node in nodes:
            end_s = fault.healed_s or fault.end_s
            yield fault.start_s, float("inf") if end_s is None else end_s + AFTER_S
    for start in history.nodes:
        if start.node in nodes:
            yield (start.launched_s or start.started_s) - AFTER_S, start.started_s + AFTER_S


def _between(struck: Sequence[Span], begin_s: float, end_s: float) -> Iterator[Span]:
    """What is left of a time."""
    for since_s, until_s in struck:
        if since_s > begin_s:
            yield begin_s, min(since_s, end_s)
        begin_s = max(begin_s, until_s)
        if begin_s >= end_s:
            return
    if begin_s < end_s:
        yield begin_s, end_s
