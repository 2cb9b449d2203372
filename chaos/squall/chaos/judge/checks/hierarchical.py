"""What must hold of a coordinator and its workers: H1 to H6, as far as one run can show them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from squall.bus.border import printable
from squall.chaos.evidence.model import History
from squall.chaos.judge.bounds import take_over_bound_s
from squall.chaos.judge.checks.decide import decide, named, some, tasks, undrained, unknown
from squall.chaos.judge.succession import (
    BROKER,
    SILENCING,
    Takeover,
    leader_faults,
    overlaps,
    reigns,
    takeovers,
)
from squall.chaos.judge.tally import Tally, tally
from squall.chaos.plan.poison import HANDLER as POISON_HANDLER
from squall.chaos.plan.poison import is_poison
from squall.services.run.result import Check

JAIN_MIN = 0.95

UNKNOWN_SHARE_MAX = 0.01
"""Share of the offers whose outcome may be unknown; one may be in any case."""

TASKS_FOR_A_SHARE = 50
"""An agent's share of fewer tasks than this says nothing."""


def no_loss(history: History) -> Check:
    """H1: one register for each accepted task, one fill for each intent, and no dispatch that never arrived.

    An intent that was refused for a reason that is written down is not lost: it is named with the reason.
    Where nothing at all was filled, the verdict is unknown.

    An offer whose outcome is unknown may have a register or not, so a loss among them does not show: more
    than one, and more than a hundredth of all, leave the verdict unknown. So do fewer offers than the spec
    asks for, in a run that nobody interrupted: the producer ended early.
    """
    if not history.submissions and not history.registers:
        return unknown("H1", "nothing was submitted")
    counted = tally(history)
    shown = [
        *named(counted.repeated, "task", "more than one register"),
        *named(counted.refused, "task", "a register though the submission was refused"),
        *named(counted.shared, "order", "two registers that intend it"),
        *named(counted.doubled, "intent", "more than one fill"),
        *named(counted.refused_filled, "refused order", "a fill"),
        *named(history.registers_damaged, "register", "no record in it"),
        *_dispatch_differences(history),
    ]
    inferred = [
        *_losses(counted),
        *named(counted.unfilled, "intent", "no fill"),
        *named(counted.refused_unbooked, "rejected order", "no line of it in the venue's books"),
        *named(counted.refused_untold, "rejected order", "no line of the gateway"),
        *named(counted.unasked, "task", "a register and no submission"),
    ]
    unseen = []
    asked, offered = history.asked.tasks, len(history.submissions)
    if asked is not None and offered < asked and not _interrupted(history):
        unseen.append(f"{offered:,} of the {asked:,} tasks asked for were offered")
    uncertain = sum(offer.outcome == "unknown" for offer in history.submissions.values())
    if not counted.accepted:
        unseen.append("nothing was accepted")
    if uncertain > max(1, UNKNOWN_SHARE_MAX * offered):
        unseen.append(f"of {tasks(uncertain)} it is not known whether they were accepted")
    if history.queue is None:
        unseen.append("nothing is known of the work queue")
    filled = "each filled once"
    if counted.refused_effects:
        filled = f"{counted.effects:,} filled once, {refused_effects(counted)}"
        if not counted.effects:
            unseen.append(f"nothing was filled, {refused_effects(counted)}")
    passed = (
        f"{len(counted.accepted):,} tasks accepted, each with one register; "
        f"{len(counted.intents):,} intents, {filled}."
    )
    if history.queue is not None and (copied := history.queue.arrivals - history.queue.dispatched) > 0:
        passed += f" {tasks(copied)} copied anew by a broker that was started again, no second result."
    return decide("H1", history, shown, inferred, unseen, passed)


def one_effect(history: History) -> Check:
    """H2: no intent is filled twice, nothing is filled that no register intends, no order has two bodies."""
    venue = history.venue
    if venue is None or not venue.fills:
        return unknown("H2", "nothing was filled")
    counted = tally(history)
    shown = [
        *named(counted.doubled, "intent", "more than one fill"),
        *named(venue.conflicting, "order", "two different bodies"),
    ]
    inferred = named(counted.stray, "order", "a fill and no register that intends it")
    passed = (
        f"{counted.effects:,} intents filled, each once; {history.suppressed:,} repeated commits refused."
    )
    return decide("H2", history, shown, inferred, [], passed)


def coordinator_failover(history: History) -> Check:
    """H4: a lost leader is replaced within the lease and two seconds, loses its pen, and orphans no job.

    A dispatch counts as a deposed leader's by its place in the coordinator's stream, not by the clock: a
    term is the sequence of its own record there. A leader that was stopped after the broker stored its
    batch writes that line when it wakes, and has done nothing wrong.
    """
    changes = takeovers(history)
    if not changes:
        return unknown("H4", "no failover happened")
    late, untimed = _late_takeovers(history, changes)
    unended = [job.job for job in history.jobs if not job.done]
    orphans = sorted({r.job for r in history.registers} - {job.job for job in history.jobs})
    shown = [
        *_deposed_dispatches(history),
        *named(unended, "job", "not ended"),
        *named(orphans if history.jobs else [], "job", "registers and no line of the coordinator"),
        *late,
        *_unreplaced(history),
    ]
    unseen = [*untimed, *_unwitnessed_fencing(history)]
    if not history.jobs:
        unseen.append("no job was opened")
    led = {reign.term for reign in history.leads}
    acted = {dispatch.term for dispatch in history.dispatches} | {r.term for r in history.registers}
    unseen += [f"term {term} acted and no line tells who led it" for term in sorted(acted - led - {0})[:1]]
    return decide("H4", history, shown, [], unseen, _succession(history, changes))


def balance(history: History) -> Check:
    """H3, its first part: while nothing disturbed them, equal workers did equal shares (Jain's index)."""
    steady = next((phase for phase in history.phases if phase.what == "steady"), None)
    agents = history.asked.agents
    if steady is None or agents is None:
        return unknown("H3", "no steady state was seen")
    begun_s = steady.time_s - steady.seconds
    shares = Counter(r.agent for r in history.registers if begun_s <= r.stored_s < steady.time_s)
    done = sum(shares.values())
    index = jain([shares.get(f"agent-{number}", 0) for number in range(1, agents + 1)])
    said = f"{agents} agents shared {tasks(done)} of the steady state with Jain's index {index:.3f}"
    unseen = []
    if done < TASKS_FOR_A_SHARE * agents:
        unseen.append(f"{tasks(done)} are too few to speak of shares")
    shown = [f"{said}, the bound is {JAIN_MIN}"] if not unseen and index < JAIN_MIN else []
    return decide("H3", history, shown, [], unseen, f"{said}; the bound is {JAIN_MIN}.")


def jain(shares: Sequence[int]) -> float:
    """Jain's fairness index: 1 when all have the same, 1/n when one has everything; 0 of nothing.

    Source: R. Jain, D. Chiu, W. Hawe, A Quantitative Measure of Fairness (DEC-TR-301, 1984).
    """
    squares = len(shares) * sum(share * share for share in shares)
    return sum(shares) ** 2 / squares if squares else 0.0


def poison_containment(history: History) -> Check:
    """H5: nothing but poison is dead-lettered, and poison is after exactly its attempts.

    Where no poison is offered, nothing may be dead-lettered.
    """
    if not history.submissions and not history.registers:
        return unknown("H5", "nothing was submitted")
    offered = poison_of(history)
    dead = sorted((r for r in history.registers if r.status == "dead"), key=lambda r: r.stored_s)
    innocent = [register for register in dead if register.task not in offered]
    cancelled = [register.task for register in history.registers if register.status == "cancelled"]
    shown = named(cancelled, "task", "been cancelled, which nobody asked for")
    if innocent:
        reason = innocent[0].reason or "no reason given"
        shown.append(f"{tasks(len(innocent))} dead-lettered, the first {innocent[0].task}: {reason}")
    ended = [r for r in history.registers if r.task in offered and r.status == "ok"]
    shown += named([register.task for register in ended], "poison task", "a result")
    attempts = history.asked.attempts
    early = [r.task for r in dead if r.task in offered and r.attempt != attempts]
    shown += named(early, "poison task", f"ended after other than {attempts} attempts")
    known = {register.task for register in dead}
    orphans = [task for task in history.dead_letters if task not in known]
    unlettered = [task for task in known if task not in set(history.dead_letters)]
    inferred = [
        *named(orphans, "dead letter", "no register that says so"),
        *named(unlettered, "dead task", "no dead letter"),
    ]
    unseen = []
    if history.asked.handler == POISON_HANDLER and not offered:
        unseen.append("no poison was accepted")
    passed = f"No dead letters among {len(history.registers):,} registers."
    if offered:
        passed = (
            f"{tasks(len(dead))} dead-lettered, each poison, after {attempts} attempts; "
            f"the other {len(history.registers) - len(dead):,} ended well."
        )
    return decide("H5", history, shown, inferred, unseen, passed)


def poison_of(history: History) -> set[str]:
    """The accepted tasks that are poison."""
    if history.asked.handler != POISON_HANDLER:
        return set()
    return {
        task for task, offer in history.submissions.items() if offer.outcome != "refused" and is_poison(task)
    }


def back_pressure(history: History) -> Check:
    """H6, its first part: what could not be taken was refused, openly and for good; what was taken ended."""
    refused = [task for task, offer in history.submissions.items() if offer.outcome == "refused"]
    counted = tally(history)
    if not refused:
        return unknown("H6", "nothing was refused, so nothing pressed back")
    said = f"{len(refused):,} of {len(history.submissions):,} offers refused"
    shown = named(counted.refused, "refused task", "a register")
    inferred = [f"{tasks(len(counted.lost))} accepted under pressure and lost"] if counted.lost else []
    passed = f"{said}, and none of them ran; all {len(counted.accepted):,} accepted ones ended."
    return decide("H6", history, shown, inferred, [], passed)


CHECKS: dict[str, Callable[[History], Check]] = {
    "H1": no_loss,
    "H2": one_effect,
    "H4": coordinator_failover,
    "H5": poison_containment,
}
"""Of every run, by id, in the order of a report."""

EXPERIMENT_CHECKS: dict[str, Callable[[History], Check]] = {"H3": balance, "H6": back_pressure}
"""Of a run that was an experiment as well."""


# What H1 and H4 look at.


def _losses(counted: Tally) -> list[str]:
    """Lost tasks, split by where they stand among those that survived.

    Source: Jepsen's checkers split losses so; a lost head, middle or tail each points at another defect.
    """
    if not counted.lost:
        return []
    lost = set(counted.lost)
    survived = [place for place, task in enumerate(counted.accepted) if task not in lost]
    first, last = (survived[0], survived[-1]) if survived else (len(counted.accepted), -1)
    places = [place for place, task in enumerate(counted.accepted) if task in lost]
    head = sum(place < first for place in places)
    tail = sum(place > last for place in places) if survived else 0
    middle = len(places) - head - tail
    split = f"{head} head, {middle} middle, {tail} tail"
    return [f"{tasks(len(counted.lost))} lost ({split}): {some(counted.lost)}"]


def refused_effects(counted: Tally) -> str:
    """``2 refused with a reason, the first a-1-0: price is missing``; of at least one."""
    order_id, reason = next(iter(counted.refused_effects.items()))
    count = len(counted.refused_effects)
    return f"{count:,} refused with a reason, the first {order_id}: {printable(reason).rstrip('.')}"


def _dispatch_differences(history: History) -> list[str]:
    """As many messages arrived as were dispatched, and no line tells of more.

    A broker that was started again on its store may copy anew what it had copied into a queue that is empty
    by then (seen with nats-server 2.15.1 after SIGKILL: 165 records whose tasks had ended). Such a copy is
    a repeat like any other, and the register refuses its result.

    Lines may tell of fewer: a leader can die, or be followed, between storing a batch and saying so. Until
    all has drained, the coordinator's own count lags behind and says nothing.
    """
    queue = history.queue
    if queue is None or undrained(history):
        return []
    lines = sum(dispatch.tasks for dispatch in history.dispatches)
    different = []
    if queue.arrivals < queue.dispatched or (queue.arrivals > queue.dispatched and not _restarts(history)):
        different.append(f"{queue.dispatched:,} dispatch records and {queue.arrivals:,} arrivals")
    if lines > queue.dispatched:
        different.append(f"lines tell of {lines:,} dispatches and the broker of {queue.dispatched:,}")
    return different


def _restarts(history: History) -> int:
    """How often the broker was started again."""
    return sum(node.role == "broker" and node.incarnation > 1 for node in history.nodes)


def _deposed_dispatches(history: History) -> list[str]:
    led = sorted({reign.term for reign in history.leads})
    found = []
    for dispatch in history.dispatches:
        newer = next((term for term in led if term > dispatch.term), None)
        if newer is not None and dispatch.first + dispatch.tasks - 1 > newer:
            found.append(f"{dispatch.node} in term {dispatch.term}")
    holders: dict[int, set[str]] = {}
    for reign in history.leads:
        holders.setdefault(reign.term, set()).add(reign.node)
    twice = [str(term) for term, nodes in holders.items() if len(nodes) > 1]
    late = f"{len(found)} batches dispatched by deposed leaders: {some(found)}"
    return [*([late] if found else []), *named(twice, "term", "two leaders")]


def _late_takeovers(history: History, changes: Sequence[Takeover]) -> tuple[list[str], list[str]]:
    """The take-overs beyond their bound; and why it cannot be said, if it can be of none."""
    if history.asked.lease_s is None:
        return [], ["the lease is not known"]
    bound_s = take_over_bound_s(history.asked.lease_s)
    late: list[str] = []
    untimed: list[str] = []
    for change in changes:
        took_s = change.possible_s
        if took_s is None:
            untimed.append(f"the takeover by {change.new.node} cannot be timed")
        elif change.hampered:
            untimed.append(f"{change.new.node} was itself under a fault when it was to take over")
        elif took_s > bound_s:
            (untimed if change.since in ("last dispatch", "disturbance") else late).append(
                f"{change.new.node} took over {took_s:.2f} s after the {change.since} of {change.old.node}, "
                f"the bound is {bound_s:.2f} s"
            )
    return late, untimed if len(untimed) + len(late) == len(changes) else []


def _unreplaced(history: History) -> list[str]:
    """The leaders that were silent for longer than the bound while nobody took over who could have."""
    if history.asked.lease_s is None:
        return []
    bound_s = take_over_bound_s(history.asked.lease_s)
    led = reigns(history)
    others = {node.node for node in history.nodes if node.role == "coordinator"}
    found = []
    for fault in history.faults:
        until_s = fault.start_s + bound_s
        reigning = next((reign for reign in reversed(led) if reign.time_s <= fault.start_s), None)
        lasted = fault.end_s is not None and fault.end_s >= until_s and fault.verified
        if fault.kind not in SILENCING or reigning is None or reigning.node != fault.node or not lasted:
            continue
        if any(fault.start_s < reign.time_s <= until_s for reign in led):
            continue
        hampered = (others - {fault.node}) | {BROKER}
        if any(
            other.node in hampered and overlaps(other, fault.start_s, until_s) for other in history.faults
        ) or any(
            start.node in hampered and fault.start_s <= start.started_s <= until_s for start in history.nodes
        ):
            continue
        found.append(
            f"nobody took over from {fault.node} within {bound_s:.2f} s of its {fault.kind}, which lasted "
            f"{(fault.end_s or 0.0) - fault.start_s:.2f} s"
        )
    return found


def _unwitnessed_fencing(history: History) -> list[str]:
    """What is missing of this: a leader was stopped, woke up, and had a write refused."""
    faults = leader_faults(history)
    unseen = [f"the {fault.kind} of the leader was not verified" for fault in faults if not fault.verified]
    if history.asked.pause_leader and not any(fault.kind == "pause" for fault in faults):
        unseen.append("the spec asks for a paused leader and no such fault is logged")
    for fault in faults:
        followed = any(
            fault.start_s < reign.time_s < (fault.end_s or fault.start_s) and reign.node != fault.node
            for reign in reigns(history)
        )
        if fault.kind != "pause" or (fault.id and not followed):
            continue
        terms = [r.term for r in reigns(history) if r.node == fault.node and r.time_s <= fault.start_s]
        if not any(
            refused.node == fault.node and refused.term in terms and refused.time_s >= fault.start_s
            for refused in history.fenced
        ):
            unseen.append(f"the resumed leader {fault.node or 'of unknown name'} had no write refused")
    return unseen


def _succession(history: History, changes: Sequence[Takeover]) -> str:
    """What a good failover looked like."""
    timed = [change for change in changes if not change.hampered] or list(changes)
    slowest = max(timed, key=lambda change: change.possible_s or 0.0)
    carried = sum(
        any(change.new.term > register.term and change.new.time_s <= register.stored_s for change in changes)
        for register in history.registers
    )
    crossed = f"{tasks(carried)} dispatched before a takeover ended after it"
    if not carried:
        crossed = "no dispatched task was open at a takeover"
    takes = "1 takeover" if len(changes) == 1 else f"{len(changes)} takeovers, the slowest"
    bound_s = take_over_bound_s(history.asked.lease_s or 0.0)
    took = f"{slowest.possible_s or 0.0:.2f} s after the {slowest.since} (bound {bound_s:g} s)"
    refused = f"refused writes of deposed leaders: {len(history.fenced):,}"
    return f"{takes} {took}; {len(history.jobs)} jobs ended; {refused}; {crossed}."


def _interrupted(history: History) -> bool:
    return history.closing is not None and history.closing.interrupted
