"""What holds of any role that leads: take-overs in time, and nothing written under a term that is over. Pure.

Each pattern promises it under an id of its own. A pattern without a leader uses none of it.
"""

from __future__ import annotations

from squall.bus.connection import BACKOFF_S
from squall.chaos.evidence.facts import Injected
from squall.chaos.evidence.operations import Fenced, Leave, Resign
from squall.chaos.judge.case import Case
from squall.chaos.judge.decide import named, some
from squall.chaos.judge.succession import SILENCING, Takeover, overlaps
from squall.chaos.plan.bounds import HAND_OVER_S, take_over_bound_s
from squall.chaos.plan.kinds import HAND_OVER
from squall.chaos.plan.surface import BROKER

FINAL = ("crash", "restart", HAND_OVER)
"""Faults after which a leader leads no more, however long it takes until somebody else does."""

GONE = ("death", "resignation", "hand-over")
"""What a leader is followed after without having been silent for a lease."""

HEARD_LEASES = 0.5
"""Who was heard of so many leases ago has not been silent for one, whatever the clocks say."""

AFTER_S = BACKOFF_S[1]
"""How long a link that is whole again may take to be found."""


def deposed_batches(case: Case) -> list[str]:
    """Batches that leaders stored after they were followed, and terms that two nodes led.

    A batch counts as a deposed leader's by its place in the leader's stream, not by the clock: a term is the
    sequence of its own record there. A leader that was stopped after the broker stored its batch writes that
    line when it wakes, and has done nothing wrong.
    """
    leads = case.succession.leads
    led = sorted({lead.term for lead in leads})
    found = []
    for batch in case.succession.batches:
        newer = next((term for term in led if term > batch.term), None)
        if newer is not None and batch.first + batch.tasks - 1 > newer:
            found.append(f"{batch.node} in term {batch.term}")
    holders: dict[int, set[str]] = {}
    for lead in leads:
        holders.setdefault(lead.term, set()).add(lead.node)
    twice = [str(term) for term, nodes in holders.items() if len(nodes) > 1]
    late = f"{len(found)} batches dispatched by deposed leaders: {some(found)}"
    return [*([late] if found else []), *named(twice, "term", "two leaders")]


def bound_s(case: Case, change: Takeover) -> float:
    """What a change of leader may take: a hand-over that nothing else is in the way of takes little.

    Who handed over itself does not stand again for a lease, and who was struck just before has to find out
    that it leads no more.
    """
    lease_s = case.history.asked.lease_s or 0.0
    just_stood_down = any(
        resign.node == change.next.node and 0.0 <= (change.start_s or 0.0) - resign.time_s <= lease_s
        for resign in case.history.of(Resign)
    )
    if (
        change.since == "hand-over"
        and not just_stood_down
        and not any(
            fault is not change.fault
            and fault.node in (change.previous.node, change.next.node, BROKER)
            and overlaps(fault, (change.start_s or 0.0) - AFTER_S, change.next.time_s)
            for fault in case.history.faults
        )
    ):
        return HAND_OVER_S
    return take_over_bound_s(lease_s)


def late_takeovers(case: Case) -> tuple[list[str], list[str]]:
    """The take-overs beyond their bound; and why it cannot be said, if it can be of none."""
    if case.history.asked.lease_s is None:
        return [], ["the lease is not known"]
    late: list[str] = []
    untimed: list[str] = []
    changes = case.succession.takeovers
    for change in changes:
        took_s = change.possible_s
        if took_s is None:
            untimed.append(f"the takeover by {change.next.node} cannot be timed")
        elif change.is_obstructed:
            untimed.append(f"{change.next.node} was itself under a fault when it was to take over")
        elif took_s > (bound := bound_s(case, change)):
            (untimed if change.since in ("last dispatch", "disturbance") else late).append(
                f"{change.next.node} took over {took_s:.2f} s after the {change.since} of "
                f"{change.previous.node}, the bound is {bound:.2f} s"
            )
    return late, untimed if len(untimed) + len(late) == len(changes) else []


def unreplaced(case: Case) -> list[str]:
    """The leaders that were silent for longer than the bound while nobody took over who could have."""
    history = case.history
    if history.asked.lease_s is None:
        return []
    bound_s = take_over_bound_s(history.asked.lease_s)
    found = []
    for fault in history.faults:
        until_s = fault.start_s + bound_s
        leading = case.succession.leader_at(fault.start_s)
        lasted = fault.end_s is not None and fault.end_s >= until_s and fault.verified
        if fault.kind not in SILENCING or leading is None or leading.node != fault.node or not lasted:
            continue
        if any(fault.start_s < lead.time_s <= until_s for lead in case.succession.terms):
            continue
        others = _candidates(case, leading.node)
        if not others or _are_obstructed(case, others | {BROKER}, fault.start_s, until_s):
            continue
        found.append(
            f"nobody took over from {fault.node} within {bound_s:.2f} s of its {fault.kind}, which lasted "
            f"{(fault.end_s or 0.0) - fault.start_s:.2f} s"
        )
    return found


def _candidates(case: Case, leader: str) -> set[str]:
    """The other nodes of a leader's role."""
    roles = {node.role for node in case.history.nodes if node.node == leader}
    return {node.node for node in case.history.nodes if node.role in roles} - {leader}


def _are_obstructed(case: Case, nodes: set[str], start_s: float, end_s: float) -> bool:
    """Whether one of these was struck, or started, in between."""
    return any(
        fault.node in nodes and overlaps(fault, start_s, end_s) for fault in case.history.faults
    ) or any(start.node in nodes and start_s <= start.started_s <= end_s for start in case.history.nodes)


def unwitnessed_fencing(case: Case) -> list[str]:
    """What is missing of this: a leader was stopped, woke up, and had a write refused."""
    history, led = case.history, case.succession
    unseen = [
        f"the {fault.kind} of the leader was not verified"
        for fault in led.leader_faults
        if not fault.verified
    ]
    if history.asked.pause_leader and not any(fault.kind == "pause" for fault in led.leader_faults):
        unseen.append("the spec asks for a paused leader and no such fault is logged")
    for fault in led.leader_faults:
        followed = any(
            fault.start_s < lead.time_s < (fault.end_s or fault.start_s) and lead.node != fault.node
            for lead in led.terms
        )
        if fault.kind != "pause" or (fault.id and not followed):
            continue
        terms = [lead.term for lead in led.terms if lead.node == fault.node and lead.time_s <= fault.start_s]
        if not any(
            refused.node == fault.node and refused.term in terms and refused.time_s >= fault.start_s
            for refused in history.of(Fenced)
        ):
            unseen.append(f"the resumed leader {fault.node or 'of unknown name'} had no write refused")
    return unseen


def unknown_leaders(case: Case) -> list[str]:
    """That a term was acted under which no line tells of."""
    led = {lead.term for lead in case.succession.leads}
    acted = {batch.term for batch in case.succession.batches} | {r.term for r in case.history.registers}
    return [f"term {term} acted and no line tells who led it" for term in sorted(acted - led - {0})[:1]]


def slowest_takeover(case: Case) -> str:
    """``2 of 3 takeovers timed, the slowest 0.91 s after the fault (bound 3 s)``; of at least one."""
    changes = case.succession.takeovers
    bound_s = take_over_bound_s(case.history.asked.lease_s or 0.0)
    timed = [
        change
        for change in changes
        if not change.is_obstructed and change.possible_s is not None and change.possible_s <= bound_s
    ]
    slowest = max(timed or changes, key=lambda change: change.possible_s or 0.0)
    takes = "1 takeover" if len(changes) == 1 else f"{len(changes)} takeovers, the slowest"
    if 0 < len(timed) < len(changes):
        takes = f"{len(timed)} of {len(changes)} takeovers timed, the slowest"
    return f"{takes} {slowest.possible_s or 0.0:.2f} s after the {slowest.since} (bound {bound_s:g} s)"


def leaders(case: Case) -> set[str]:
    """The nodes of the role that leads."""
    roles = {
        node.role for lead in case.succession.leads for node in case.history.nodes if node.node == lead.node
    }
    return {node.node for node in case.history.nodes if node.role in roles}


def needless(case: Case) -> list[str]:
    """Take-overs from a leader that nothing struck, and that was heard of a moment before.

    A batch renews the lease, so whoever stored one half a lease ago had not been silent for one. Where the
    last is older, the leader may have been too slow to renew, and nothing is shown.
    """
    if "faults.jsonl" in case.history.missing:
        return []
    heard_s = HEARD_LEASES * (case.history.asked.lease_s or 0.0)
    found = []
    for change in case.succession.takeovers:
        if change.since in GONE or _asking(case, change) or _left(case, change):
            continue
        stored = [b.time_s for b in case.succession.batches if b.term == change.previous.term]
        ago_s = min((change.next.time_s - s for s in stored if s <= change.next.time_s), default=heard_s)
        if ago_s < heard_s:
            who = f"{change.next.node} took over from {change.previous.node}"
            found.append(f"{who}, which nothing struck and which had written {ago_s:.2f} s before")
    return found


def kept(case: Case) -> list[str]:
    """Leaders that were asked to hand over and took the next term themselves, though others were there.

    Who gives a term up does not stand again for a lease, and the others know at once that it is free. One
    that leads again even later was followed by nobody in all that time.
    """
    history, found = case.history, []
    lease_s = history.asked.lease_s or 0.0
    for fault in history.faults:
        if fault.kind != HAND_OVER:
            continue
        # It is asked again until somebody else leads.
        for resign in history.of(Resign):
            if resign.node != fault.node or not fault.start_s <= resign.time_s <= (fault.end_s or 0.0):
                continue
            lead = next((lead for lead in case.succession.terms if lead.time_s > resign.time_s), None)
            if lead is None or lead.node != fault.node:
                continue
            others = _candidates(case, lead.node) - {
                gone.node for gone in history.of(Resign) if -lease_s <= gone.time_s - resign.time_s < 0.0
            }
            if others and not _are_obstructed(case, others | {BROKER}, resign.time_s - AFTER_S, lead.time_s):
                ago_s = lead.time_s - resign.time_s
                found.append(
                    f"{fault.node} was asked to hand over and led again {ago_s:.2f} s after it had resigned"
                )
                break
    return found


def flapping(case: Case) -> list[str]:
    """Changes of leader that no fault asks for, and faults that ask for more than one.

    A fault asks for a change if it struck the leader that was followed, and was over so shortly before that
    it may still tell; one that ends a leader, if it struck in its term. So does a fault of the broker: with
    one server, nobody can renew a lease while it is away, and whoever finds it again first after a lease of
    silence has the seat. That is one change for each time it was away, and none where it was back, and
    found, within the lease. A leader that leaves the swarm has to be followed, too.
    """
    unasked: list[str] = []
    askers: list[tuple[Takeover, list[Injected]]] = []
    for change in case.succession.takeovers:
        asking = _asking(case, change)
        if asking or change.since == "death" or _left(case, change):
            askers.append((change, asking))
        else:
            unasked.append(f"{change.next.node} took over from {change.previous.node}, which nothing struck")
    twice = []
    for fault in case.history.faults:
        alone = [change for change, asking in askers if asking == [fault] and not _led_on(fault, change)]
        if len(alone) > 1:
            twice.append(f"{fault.kind} of {fault.node or fault.target} was followed by {len(alone)} changes")
    return [*unasked, *twice]


def _asking(case: Case, change: Takeover) -> list[Injected]:
    """The faults that can be why a leader was followed."""
    return [fault for fault in case.history.faults if _asks_for(case, fault, change)]


def _asks_for(case: Case, fault: Injected, change: Takeover) -> bool:
    """Whether a fault can be why a leader was followed."""
    if fault.node not in (change.previous.node, BROKER) or fault.start_s > change.next.time_s:
        return False
    if fault.kind in FINAL and fault.node != BROKER:
        # Who is to hand over is asked until somebody else leads, so also in a term that it begins meanwhile.
        told_s = (fault.end_s or fault.start_s) if fault.kind == HAND_OVER else fault.start_s
        return told_s >= change.previous.time_s - AFTER_S
    end_s = fault.end_s if fault.end_s is not None else float("inf")
    if fault.node == BROKER:
        starts = [
            n.started_s for n in case.history.nodes if n.node == BROKER and n.started_s >= fault.start_s
        ]
        end_s = max(end_s, min(starts, default=end_s))
        if end_s + AFTER_S - fault.start_s < (case.history.asked.lease_s or 0.0):
            return False
    return end_s + AFTER_S + take_over_bound_s(case.history.asked.lease_s or 0.0) >= change.next.time_s


def _left(case: Case, change: Takeover) -> bool:
    """Whether the leader that was followed had left the swarm, and so leads in no later term."""
    node, term = change.previous.node, change.previous.term
    gone = any(gone.agent == node for gone in case.history.of(Leave))
    return gone and all(lead.node != node or lead.term <= term for lead in case.succession.terms)


def _led_on(fault: Injected, change: Takeover) -> bool:
    """Whether the leader had taken over under the very fault that it was then lost by."""
    return fault.start_s <= change.previous.time_s <= (fault.end_s or float("inf"))
