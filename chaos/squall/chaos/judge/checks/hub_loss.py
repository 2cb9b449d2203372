"""S5: what nodes do while they hear of no hub. Pure.

hub lost ──2 leases──► degraded: nothing but reductions ──► the next term ──► as before
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from squall.chaos.evidence.facts import NodeStart, Operation
from squall.chaos.evidence.model import History
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.explained import ENDING
from squall.chaos.judge.checks.holdings import away, moves
from squall.chaos.judge.checks.hub_log import Decided, Requested, orders
from squall.chaos.judge.checks.unheard import needless
from squall.chaos.judge.decide import Finding, decide, named, some, unexercised, unknown
from squall.chaos.judge.succession import SILENCING, overlaps
from squall.chaos.plan.bounds import DEGRADED_LEASES, RETURN_S, degraded_bound_s
from squall.chaos.plan.surface import BROKER
from squall.services.handlers import effect_id
from squall.services.patterns.pattern import VENUE

LISTENING = ("agent", "gateway")
"""The roles that a hub announces itself to."""

CUTTING = ("refuse", "reset", "errors")
"""Faults of a way after which nothing is on it any more that could still arrive."""

HEALING_S = 2.0
"""How long before its end is written a fault may be over, at one of several nodes or on a busy machine."""

FLIGHT_S = 1.0
"""How long an effect or a request may be on its way: what was sent just before a node was degraded may arrive
just after."""


DELAYED_S = 10.0
"""How long a fault may keep a request from being stored."""

OUTSIDE = 3
OUTSIDE_SHARE = 0.02
"""How many requests, and which share, may be stored long after they were made for no reason on record: a busy
machine keeps some."""


class Degraded(Operation, frozen=True, kw_only=True):
    """A node has become degraded (``what`` is ``begin``), or is not any more (``end``)."""

    what: str
    term: int
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Spell:
    """One time in which a node was degraded; ``end_s`` is None if no line tells of its end."""

    node: str
    incarnation: int
    begin_s: float
    end_s: float | None


def degraded_mode(case: Case) -> Finding:
    """S5: entered in time, left in time, and in between nothing but reductions."""
    history = case.history
    spells = list(_spells(history))
    if history.asked.lease_s is None:
        return unknown("the lease is not known")
    missed, late = _entered(case, spells)
    unleft, left_late = _left(case, spells)
    unfounded, unled = _unfounded(case)
    carried, filled = _carried(history, spells)
    asked, wrong = _asked(history, spells)
    if not spells and not missed:
        return unexercised(case, "nobody was degraded")
    return decide(
        case,
        shown=[*carried, *wrong, *_marked_outside(history, spells)],
        late=[
            *late,
            *left_late,
            *unfounded,
            *needless(case, ((spell.node, spell.begin_s, _until_s(history, spell)) for spell in spells)),
        ],
        inferred=[*missed, *unleft, *unled],
        unseen=[history.unwitnessed] if history.unwitnessed else [],
        passed=f"{len({spell.node for spell in spells})} nodes were degraded {len(spells)} times; meanwhile "
        f"{asked:,} requests, each decided as a reduction, and {filled:,} fills, none of anything else.",
    )


def _spells(history: History) -> Iterator[Spell]:
    begun: dict[tuple[str, int], float] = {}
    for line in history.of(Degraded):
        who = (line.node, line.incarnation)
        if line.what == "begin":
            begun[who] = line.time_s
        elif who in begun:
            yield Spell(*who, begun.pop(who), line.time_s)
    for who, begin_s in begun.items():
        yield Spell(*who, begin_s, None)


def _since_s(history: History, spell: Spell) -> float:
    """When the silence began that a node was degraded for."""
    return spell.begin_s - DEGRADED_LEASES * (history.asked.lease_s or 0.0)


def _listeners(history: History) -> set[str]:
    return {node.node for node in history.nodes if node.role in LISTENING}


def _is_struck(history: History, node: str, start_s: float, end_s: float) -> bool:
    """Whether a node or the broker was under a fault, away after one, or started, in between."""
    return (
        any(fault.node in (node, BROKER) and overlaps(fault, start_s, end_s) for fault in history.faults)
        or any(
            start.node in (node, BROKER) and start_s <= start.started_s <= end_s for start in history.nodes
        )
        or any(_is_away(history, who, start_s) for who in (node, BROKER))
    )


def _is_away(history: History, node: str, time_s: float) -> bool:
    """Whether a fault had ended a node, and it was not started again by then."""
    ended = [f.start_s for f in history.faults if f.node == node and f.kind in ENDING and f.start_s <= time_s]
    return bool(ended) and not any(
        start.node == node and max(ended) <= start.started_s <= time_s for start in history.nodes
    )


def _entered(case: Case, spells: list[Spell]) -> tuple[list[str], list[str]]:
    """Who did not enter it while nobody led for long; and who did, but late."""
    history = case.history
    bound_s = degraded_bound_s(history.asked.lease_s or 0.0)
    missed, late = [], []
    for start_s, end_s in _leaderless(case):
        until_s = start_s + bound_s
        if end_s <= until_s:
            continue
        for node in sorted(_listeners(history)):
            if _is_struck(history, node, start_s - (history.asked.lease_s or 0.0), until_s):
                continue
            mine = [spell for spell in spells if spell.node == node and spell.begin_s <= end_s]
            if any(spell.begin_s <= until_s and (spell.end_s or end_s) >= start_s for spell in mine):
                continue
            after = next((spell.begin_s for spell in mine if spell.begin_s > start_s), None)
            if after is None:
                missed.append(f"{node} was not degraded though nobody led for {end_s - start_s:.2f} s")
            else:
                late.append(
                    f"{node} was degraded {after - start_s:.2f} s after the hub was lost, "
                    f"the bound is {bound_s:.2f} s"
                )
    return missed, late


def _leaderless(case: Case) -> Iterator[tuple[float, float]]:
    """When nobody led, as faults tell: from one that silenced the leader to its end, or to the next term."""
    last_s = case.history.read_back_s or 0.0
    for fault in case.succession.leader_faults:
        led = case.succession.leader_at(fault.start_s)
        if fault.kind not in SILENCING or not fault.verified or led is None or led.node != fault.node:
            continue
        ends = [lead.time_s for lead in case.succession.terms if lead.time_s > fault.start_s]
        if fault.kind != "crash" and fault.end_s is not None:
            ends.append(fault.end_s)
        yield fault.start_s, min(ends, default=last_s)


def _left(case: Case, spells: list[Spell]) -> tuple[list[str], list[str]]:
    """Who did not leave it once a new term had begun; and who did, but late."""
    history = case.history
    unleft: list[str] = []
    late: list[str] = []
    for spell in spells:
        lead = next((lead for lead in case.succession.terms if lead.time_s > spell.begin_s), None)
        if lead is None or (spell.end_s is not None and spell.end_s <= lead.time_s + RETURN_S):
            continue
        until_s = lead.time_s + RETURN_S
        if (
            until_s > (history.read_back_s or 0.0)
            or _is_struck(history, spell.node, _since_s(history, spell), until_s)
            or _is_struck(history, lead.node, lead.time_s, until_s)
        ):
            continue
        said = f"{spell.node} was degraded for more than {RETURN_S:g} s after {lead.node} had taken over"
        (unleft if spell.end_s is None else late).append(said)
    return unleft, late


def _unfounded(case: Case) -> tuple[list[str], list[str]]:
    """Ends of degraded times that no announcement can be behind; and those by terms that nobody may have led.

    What ends one is a term that somebody leads and says so; who stands still, or is not heard, does not.
    A node that was held up itself may hear late what was said before.
    """
    found: list[str] = []
    unled: list[str] = []
    for end in case.history.of(Degraded):
        if end.what != "end" or _is_held_up(case.history, end.node, end.time_s):
            continue
        lead = next((lead for lead in case.succession.leads if lead.term == end.term), None)
        if lead is None:
            unled.append(f"{end.node} was degraded no more by term {end.term}, which nobody led")
        elif _is_silent(case.history, lead.node, end.time_s):
            found.append(f"{end.node} was degraded no more while {lead.node} of term {lead.term} was silent")
    return found, unled


def _is_held_up(history: History, node: str, time_s: float) -> bool:
    """Whether a fault that keeps messages, and does not lose them, was on a node just then, or the broker."""
    return any(
        fault.node in (node, BROKER)
        and fault.kind not in CUTTING
        and overlaps(fault, time_s - FLIGHT_S, time_s)
        for fault in history.faults
    )


def _venue_is_held_up(history: History, time_s: float) -> bool:
    """Whether an order may have been on its way to the venue just then, to be filled whenever it is."""
    return any(
        fault.node == VENUE
        and fault.kind not in CUTTING
        and overlaps(fault, time_s - FLIGHT_S, time_s + FLIGHT_S)
        for fault in history.faults
    )


def _is_silent(history: History, node: str, time_s: float) -> bool:
    """Whether nothing that a node said can have been on its way any more, and it was not healed yet.

    One that was killed is silent until it is started again, however long the fault is said to have lasted.
    """
    started_s = [start.started_s for start in history.nodes if start.node == node]
    return any(
        fault.node == node
        and fault.kind in SILENCING
        and fault.verified
        and fault.start_s + FLIGHT_S < time_s < (fault.end_s or 0.0) - HEALING_S
        and not (fault.kind == "crash" and any(fault.start_s < at_s <= time_s for at_s in started_s))
        for fault in history.faults
    )


def _carried(history: History, spells: list[Spell]) -> tuple[list[str], int]:
    """What a degraded gateway let through that was no reduction; and how much it let through.

    What was sent before may be filled then, where the venue was held up as the time began.
    """
    if history.venue is None:
        return [], 0
    others = {
        effect_id(made.task, index): made.task
        for made in history.of(Decided)
        if made.status == "ok" and not made.reduces
        for index in range(len(made.effects))
    }
    gateways = {node.node for node in history.nodes if node.role == "gateway"}
    times = [
        (spell.begin_s + FLIGHT_S, _until_s(history, spell))
        for spell in spells
        if spell.node in gateways and not _venue_is_held_up(history, spell.begin_s)
    ]
    wrong, count = [], 0
    for order_id, filled in history.venue.fills.items():
        if any(begin_s < time_s < end_s for time_s in filled for begin_s, end_s in times):
            count += 1
            if order_id in others:
                wrong.append(order_id)
    said = named(wrong, "order", "been filled in degraded mode though it is no reduction")
    return [*said, *away(moves(history, orders(history)), times)], count


def _until_s(history: History, spell: Spell) -> float:
    """When a degraded time was over: by its own line, or because the process was."""
    if spell.end_s is not None:
        return spell.end_s
    again: list[NodeStart] = [
        start for start in history.nodes if start.node == spell.node and start.incarnation > spell.incarnation
    ]
    deaths = [
        fault.start_s
        for fault in history.faults
        if fault.node == spell.node and fault.kind in ("crash", "restart") and fault.start_s > spell.begin_s
    ]
    # A start is written down once it serves, which may be after it sent something.
    starts = [start.started_s - FLIGHT_S for start in again]
    who = (spell.node, spell.incarnation)
    last = [
        writer.last_s
        for writer in history.writers
        if (writer.node, writer.incarnation) == who and who in history.lives.ended and writer.last_s
    ]
    return min([*deaths, *starts, *last], default=history.read_back_s or spell.begin_s)


def _marked_outside(history: History, spells: list[Spell]) -> list[str]:
    """Requests for reductions only by spokes that were not degraded: who was once, must not stay it."""
    times: dict[str, list[tuple[float, float]]] = {}
    for spell in spells:
        times.setdefault(spell.node, []).append(
            (spell.begin_s - FLIGHT_S, _until_s(history, spell) + FLIGHT_S)
        )
    requests = [request for request in history.of(Requested) if request.status == "ok"]
    outside = [
        f"{request.task} of {request.agent}"
        for request in requests
        if request.reduce_only
        and not any(begin_s <= request.stored_s <= end_s for begin_s, end_s in times.get(request.agent, ()))
        and not _is_struck(history, request.agent, request.stored_s - DELAYED_S, request.stored_s)
    ]
    if len(outside) <= max(OUTSIDE, OUTSIDE_SHARE * len(requests)):
        return []
    return [f"{len(outside):,} requests ask for reductions only, and no hub was missed: {some(outside)}"]


def _asked(history: History, spells: list[Spell]) -> tuple[int, list[str]]:
    """How much was asked for in degraded mode; and what is wrong with it, or with its decisions."""
    decisions = {made.request: made for made in history.of(Decided) if made.request}
    marked = [request for request in history.of(Requested) if request.reduce_only]
    unreduced = [
        request.task
        for request in marked
        if (made := decisions.get(request.seq)) and made.status == "ok" and not made.reduces
    ]
    unmarked = []
    for spell in spells:
        end_s = spell.end_s
        if end_s is None or _is_struck(history, spell.node, _since_s(history, spell), end_s):
            continue
        unmarked += [
            f"{request.task} of {request.agent}"
            for request in history.of(Requested)
            if request.agent == spell.node
            and request.status == "ok"
            and not request.reduce_only
            and spell.begin_s + FLIGHT_S < request.stored_s < end_s
        ]
    wrong = named(unreduced, "task", "asked for a reduction and been allowed more")
    if unmarked:
        wrong.append(
            f"{len(unmarked)} requests of degraded spokes may be more than reductions: {some(unmarked)}"
        )
    return len(marked), wrong
