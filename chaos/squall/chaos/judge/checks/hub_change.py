"""Which hub led, and who obeyed which: S2, S3 and S6. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from squall.chaos.evidence.facts import Injected, Operation
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Fenced, Lead, Resign
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks import leading
from squall.chaos.judge.checks.hub_log import Decided, Requested
from squall.chaos.judge.decide import Finding, decide, some, unexercised, unknown
from squall.chaos.judge.succession import SILENCING, Takeover, overlaps
from squall.chaos.plan.kinds import HAND_OVER
from squall.chaos.plan.surface import BROKER

ON_ITS_WAY_S = 1.0
"""How long what a hub announced may be on its way where nothing holds it up."""


class Command(Operation, frozen=True, kw_only=True):
    """An announcement that a node obeyed, the first of its term; or refused, because of ``highest``."""

    term: int
    holder: str = ""
    highest: int = 0


@dataclass(frozen=True, slots=True)
class _Zombie:
    """A hub that stood still while it was followed, and has been there again since."""

    fault: Injected
    term: int
    successor: Lead


def _zombies(case: Case) -> list[_Zombie]:
    found = []
    for fault in case.succession.leader_faults:
        leading_then = case.succession.leader_at(fault.start_s)
        if fault.kind == "crash" or fault.kind not in SILENCING or leading_then is None:
            continue
        if leading_then.node != fault.node or fault.end_s is None:
            continue
        successor = next(
            (
                lead
                for lead in case.succession.terms
                if fault.start_s < lead.time_s < fault.end_s and lead.node != fault.node
            ),
            None,
        )
        if successor is not None:
            found.append(_Zombie(fault, leading_then.term, successor))
    return found


def zombie_hub(case: Case) -> Finding:
    """S2: a hub that wakes after it was followed writes nothing, and nobody obeys it; nor does it go on."""
    history, zombies = case.history, _zombies(case)
    obeyed, ghosts = _obeyed(case), _ghosts(history)
    if not zombies and not obeyed and not ghosts:
        return unexercised(case, "no hub came back after it was followed")
    written = [
        f"{made.task} by {zombie.fault.node} in term {zombie.term}"
        for zombie in zombies
        for made in history.of(Decided)
        if made.term == zombie.term and made.seq > zombie.successor.term
    ]
    terms = {zombie.term for zombie in zombies}
    refused_writes = [
        refused
        for zombie in zombies
        for refused in history.of(Fenced)
        if (refused.node, refused.term) == (zombie.fault.node, zombie.term)
    ]
    refused = [said for said in history.of(Command) if said.type == "fail" and said.term in terms]
    return decide(
        case,
        shown=[
            *([f"{len(written)} decisions of a hub that was followed: {some(written)}"] if written else []),
            *([f"a lower term was obeyed by {some(obeyed)}"] if obeyed else []),
            *([f"terms were announced long after they had been given up: {some(ghosts)}"] if ghosts else []),
        ],
        unseen=[
            *([] if refused_writes else ["no hub that came back had a write refused"]),
            *([] if refused else ["no hub that came back had an announcement refused"]),
            *(
                f"the {z.fault.kind} of {z.fault.node} was not verified"
                for z in zombies
                if not z.fault.verified
            ),
        ],
        passed=f"{plural(len(zombies), 'hub')} came back after being followed: "
        f"{plural(len(refused_writes), 'write')} and {plural(len(refused), 'announcement')} refused by "
        f"{plural(len({said.node for said in refused}), 'node')}, none obeyed.",
    )


def _ghosts(history: History) -> list[str]:
    """Hubs that went on announcing a term that they had given up, by whoever refused that."""
    resigned = {(gone.node, gone.term): gone.time_s for gone in history.of(Resign)}
    found: dict[tuple[str, int], float] = {}
    for said in history.of(Command):
        since_s = resigned.get((said.holder, said.term))
        if said.type != "fail" or since_s is None or said.time_s - since_s <= ON_ITS_WAY_S:
            continue
        if not any(
            fault.kind != HAND_OVER
            and fault.node in (said.node, said.holder, BROKER)
            and overlaps(fault, since_s, said.time_s)
            for fault in history.faults
        ):
            who = (said.holder, said.term)
            found[who] = max(found.get(who, 0.0), said.time_s - since_s)
    return [f"{holder} of term {term}, after {later_s:.1f} s" for (holder, term), later_s in found.items()]


def _obeyed(case: Case) -> list[str]:
    """Who obeyed a lower term than it had heard of."""
    highest: dict[tuple[str, int], int] = {}
    found = []
    for said in case.history.of(Command):
        who = (said.node, said.incarnation)
        if said.type == "ok" and said.term < highest.get(who, 0):
            found.append(f"{said.node} (term {said.term} after {highest[who]})")
        highest[who] = max(highest.get(who, 0), said.term)
    return found


def recovery_time(case: Case) -> Finding:
    """S3: from the loss of a hub to the first decision of the next in time, a hand-over in a second.

    Time in which there was no broker, and in which the new hub had nothing to decide on, does not count. A
    hand-over by a hub that was itself under another fault is a take-over like any other.
    """
    changes, kept, unreplaced = case.succession.takeovers, leading.kept(case), leading.unreplaced(case)
    if not changes and not kept and not unreplaced:
        return unexercised(case, "no hub was followed by another")
    if case.history.asked.lease_s is None:
        return unknown("the lease is not known")
    late: list[str] = []
    untimed: list[str] = []
    timed: list[tuple[float, float, Takeover]] = []
    for change in changes:
        took_s = decided_after_s(case, change)
        bound_s = leading.bound_s(case, change)
        if took_s is None:
            untimed.append(f"the take-over by {change.next.node} cannot be timed")
        elif change.is_obstructed or change.is_idle:
            untimed.append(f"{change.next.node} was itself under a fault when it was to decide")
        elif took_s > bound_s:
            (untimed if change.since in ("last dispatch", "disturbance") else late).append(
                f"{change.next.node} decided {took_s:.2f} s after the {change.since} of "
                f"{change.previous.node}, the bound is {bound_s:.2f} s"
            )
        else:
            timed.append((took_s, bound_s, change))
    slowest = max(timed, key=lambda each: each[0], default=None)
    passed = ""
    if slowest is not None:
        took_s, bound_s, change = slowest
        passed = (
            f"{len(timed)} of {len(changes)} changes timed, the slowest {took_s:.2f} s from {change.since} "
            f"to first decision (bound {bound_s:g} s)."
        )
    return decide(
        case,
        shown=kept,
        late=[*late, *unreplaced],
        unseen=untimed if not timed else [],
        passed=passed,
    )


def decided_after_s(case: Case, change: Takeover) -> float | None:
    """From the loss of a hub to its successor's first decision, in seconds; None if the loss cannot be dated.

    Time without a broker does not count, nor time in which the successor had nothing to decide on.
    """
    if change.start_s is None or change.possible_s is None:
        return None
    decided = [made for made in case.history.of(Decided) if made.term == change.next.term]
    if not decided:
        return change.possible_s
    first = min(decided, key=lambda made: made.seq)
    asked = next((r.stored_s for r in case.history.of(Requested) if r.seq == first.request), 0.0)
    ready_s = max(change.next.time_s, asked)
    return change.possible_s + max(0.0, first.stored_s - ready_s)


def no_flapping(case: Case) -> Finding:
    """S6: the leader changes after a fault on it or the broker only, and once a fault at most."""
    struck = [
        fault
        for fault in case.history.faults
        if fault.node is not None and (fault.node == BROKER or fault.node in leading.leaders(case))
    ]
    flapping = leading.flapping(case)
    if not struck and not flapping:
        return unexercised(case, "no hub and no broker was struck")
    changes = case.succession.takeovers
    return decide(
        case,
        late=flapping,  # who is held up by the machine for a lease is followed
        unseen=["nobody led"] if not case.succession.terms else [],
        passed=f"{plural(len(struck), 'fault')} on hubs and broker, {plural(len(changes), 'takeover')}, "
        "at most one for each fault.",
    )
