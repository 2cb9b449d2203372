"""What must hold of a coordinator and its workers: H1, H2, H4, and of H5 that only poison dies. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from squall.chaos.evidence import History, doubts
from squall.chaos.succession import Takeover, leader_faults, reigns, takeovers
from squall.chaos.tally import Tally, tally
from squall.services.result import Check

SLACK_S = 2.0
"""What a take-over may take beyond the lease."""

NAMED_MAX = 3
"""How many offenders a detail names."""

NAMES = {
    "H1": "no-loss",
    "H2": "one-effect",
    "H4": "coordinator-failover",
    "H5": "poison-containment",
}


def no_loss(history: History) -> Check:
    """H1: one register for each accepted task, one fill for each intent, and no dispatch that never arrived.

    An offer whose outcome is unknown may have a register or not. Fewer offers than the spec asks for, in a
    run that nobody interrupted, leave the verdict unknown: the producer ended early.
    """
    if not history.submissions and not history.registers:
        return _unknown("H1", "nothing was submitted")
    counted = tally(history)
    shown = [
        *_named(counted.repeated, "task", "more than one register"),
        *_named(counted.refused, "task", "a register though the submission was refused"),
        *_named(counted.shared, "order", "two registers that intend it"),
        *_named(counted.doubled, "intent", "more than one fill"),
        *_named(history.registers_damaged, "register", "no record in it"),
        *_dispatch_differences(history),
    ]
    inferred = [
        *_losses(counted),
        *_named(counted.unfilled, "intent", "no fill"),
        *_named(counted.unasked, "task", "a register and was never submitted"),
    ]
    unseen = []
    asked, offered = history.asked.tasks, len(history.submissions)
    if asked is not None and offered < asked and not _interrupted(history):
        unseen.append(f"{offered:,} of the {asked:,} tasks asked for were offered")
    if not counted.accepted:
        unseen.append("nothing was accepted")
    if history.queue is None:
        unseen.append("nothing is known of the work queue")
    passed = (
        f"{len(counted.accepted):,} tasks accepted, each with one register; "
        f"{len(counted.intents):,} intents, each filled once."
    )
    return _decide("H1", history, shown, inferred, unseen, passed)


def one_effect(history: History) -> Check:
    """H2: no intent is filled twice, nothing is filled that no register intends, no order has two bodies."""
    venue = history.venue
    if venue is None or not venue.fills:
        return _unknown("H2", "nothing was filled")
    counted = tally(history)
    shown = [
        *_named(counted.doubled, "intent", "more than one fill"),
        *_named(venue.conflicting, "order", "two different bodies"),
    ]
    inferred = _named(counted.stray, "order", "a fill and no register that intends it")
    passed = (
        f"{counted.effects:,} intents filled, each once; {history.suppressed:,} repeated commits refused."
    )
    return _decide("H2", history, shown, inferred, [], passed)


def coordinator_failover(history: History) -> Check:
    """H4: a lost leader is replaced within the lease and two seconds, loses its pen, and orphans no job.

    A dispatch counts as a deposed leader's by its place in the coordinator's stream, not by the clock: a
    term is the sequence of its own record there. A leader that was stopped after the broker stored its
    batch writes that line when it wakes, and has done nothing wrong.
    """
    changes = takeovers(history)
    if not changes:
        return _unknown("H4", "no failover happened")
    late, untimed = _late_takeovers(history, changes)
    unended = [job.job for job in history.jobs if not job.done]
    shown = [*_deposed_dispatches(history), *_named(unended, "job", "not ended"), *late]
    unseen = [*untimed, *_unwitnessed_fencing(history)]
    if not history.jobs:
        unseen.append("no job was opened")
    led = {reign.term for reign in history.leads}
    acted = {dispatch.term for dispatch in history.dispatches} | {r.term for r in history.registers}
    unseen += [f"term {term} acted and no line tells who led it" for term in sorted(acted - led - {0})[:1]]
    return _decide("H4", history, shown, [], unseen, _succession(history, changes))


def poison_containment(history: History) -> Check:
    """H5, first part: nothing but poison is dead-lettered. No poison is injected yet, so nothing is."""
    if not history.submissions and not history.registers:
        return _unknown("H5", "nothing was submitted")
    dead = sorted((r for r in history.registers if r.status == "dead"), key=lambda r: r.stored_s)
    shown = []
    if dead:
        reason = dead[0].reason or "no reason given"
        shown.append(f"{_tasks(len(dead))} dead-lettered, the first {dead[0].task}: {reason}")
    known = {register.task for register in dead}
    orphans = [task for task in history.dead_letters if task not in known]
    inferred = _named(orphans, "dead letter", "no register that says so")
    passed = f"No dead letters among {len(history.registers):,} registers."
    return _decide("H5", history, shown, inferred, [], passed)


CHECKS: dict[str, Callable[[History], Check]] = {
    "H1": no_loss,
    "H2": one_effect,
    "H4": coordinator_failover,
    "H5": poison_containment,
}
"""By id, in the order of a report."""


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
    return [f"{_tasks(len(counted.lost))} lost ({split}): {_some(counted.lost)}"]


def _dispatch_differences(history: History) -> list[str]:
    """As many messages arrived as were dispatched, and no line tells of more.

    Lines may tell of fewer: a leader can die, or be followed, between storing a batch and saying so. Until
    all has drained, the coordinator's own count lags behind and says nothing.
    """
    queue = history.queue
    if queue is None or _undrained(history):
        return []
    lines = sum(dispatch.tasks for dispatch in history.dispatches)
    different = []
    if queue.dispatched != queue.arrivals:
        different.append(f"{queue.dispatched:,} dispatch records and {queue.arrivals:,} arrivals")
    if lines > queue.dispatched:
        different.append(f"lines tell of {lines:,} dispatches and the broker of {queue.dispatched:,}")
    return different


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
    late = f"{len(found)} batches dispatched by deposed leaders: {_some(found)}"
    return [*([late] if found else []), *_named(twice, "term", "two leaders")]


def _late_takeovers(history: History, changes: Sequence[Takeover]) -> tuple[list[str], list[str]]:
    """The take-overs beyond their bound, and those of which it cannot be said."""
    if history.asked.lease_s is None:
        return [], ["the lease is not known"]
    bound_s = history.asked.lease_s + SLACK_S
    late: list[str] = []
    untimed: list[str] = []
    for change in changes:
        took_s = change.possible_s
        if took_s is None:
            untimed.append(f"the takeover by {change.new.node} cannot be timed")
        elif took_s > bound_s:
            (untimed if change.since == "last dispatch" else late).append(
                f"{change.new.node} took over {took_s:.2f} s after the {change.since} of {change.old.node}, "
                f"the bound is {bound_s:.2f} s"
            )
    return late, untimed


def _unwitnessed_fencing(history: History) -> list[str]:
    """What is missing of this: a leader was stopped, woke up, and had a write refused."""
    faults = leader_faults(history)
    unseen = [f"the {fault.kind} of the leader was not verified" for fault in faults if not fault.verified]
    if history.asked.pause_leader and not any(fault.kind == "pause" for fault in faults):
        unseen.append("the spec asks for a paused leader and no such fault is logged")
    for fault in faults:
        if fault.kind != "pause":
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
    slowest = max(changes, key=lambda change: change.possible_s or 0.0)
    carried = sum(
        any(change.new.term > register.term and change.new.time_s <= register.stored_s for change in changes)
        for register in history.registers
    )
    crossed = f"{_tasks(carried)} dispatched before a takeover ended after it"
    if not carried:
        crossed = "no dispatched task was open at a takeover"
    takes = "1 takeover" if len(changes) == 1 else f"{len(changes)} takeovers, the slowest"
    took = f"{slowest.possible_s or 0.0:.2f} s after the {slowest.since}"
    refused = f"refused writes of deposed leaders: {len(history.fenced):,}"
    return f"{takes} {took}; {len(history.jobs)} jobs ended; {refused}; {crossed}."


def _interrupted(history: History) -> bool:
    return history.closing is not None and history.closing.interrupted


def _undrained(history: History) -> bool:
    return history.closing is not None and not history.closing.drained


# Verdicts and their words.


def _decide(
    check: str,
    history: History,
    shown: Sequence[str],
    inferred: Sequence[str],
    unseen: Sequence[str],
    passed: str,
) -> Check:
    """The verdict that follows.

    Args:
        shown: What is wrong by lines that are there: fails, whatever else is missing.
        inferred: What is wrong by lines that are not there: fails if nothing is missing.
        unseen: What did not happen, or was not seen to, and had to for a pass.
        passed: What to say if it passes.
    """
    doubtful = doubts(history)
    if shown or (inferred and not doubtful):
        return Check(id=check, name=NAMES[check], verdict="fail", detail=_sentence([*shown, *inferred]))
    reasons = [*doubtful, *unseen]
    if _undrained(history):
        reasons.append("it had not drained within its bound")
    if reasons:
        return _unknown(check, *reasons, *inferred)
    return Check(id=check, name=NAMES[check], verdict="pass", detail=passed)


def _unknown(check: str, *reasons: str) -> Check:
    return Check(id=check, name=NAMES[check], verdict="unknown", detail=_sentence(reasons))


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts[:NAMED_MAX])
    if len(parts) > NAMED_MAX:
        text += f"; and {len(parts) - NAMED_MAX} more findings"
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _named(offenders: Sequence[str], noun: str, has: str) -> list[str]:
    """``3 tasks have more than one register: a, b, c``; nothing where there are none."""
    if not offenders:
        return []
    count = f"1 {noun} has" if len(offenders) == 1 else f"{len(offenders):,} {noun}s have"
    return [f"{count} {has}: {_some(offenders)}"]


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - NAMED_MAX:,} more" if len(listed) > NAMED_MAX else ""
    return ", ".join(listed[:NAMED_MAX]) + more


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count:,} tasks"
