"""H1 to H5: what a coordinator and its workers must hold to."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

from squall.chaos.checks import Judged, run_check, some
from squall.chaos.history import Facts, History
from squall.services.result import Check

FAILOVER_MARGIN_S = 2.0
"""What a fail-over may take beyond the lease."""


def check(history: History) -> list[Check]:
    """All checks of the pattern."""
    return [
        run_check("H1", "no-loss", no_loss, history),
        run_check("H2", "one-effect", one_effect, history),
        run_check("H4", "coordinator-failover", coordinator_failover, history),
        run_check("H5", "poison-containment", poison_containment, history),
    ]


def lost_tasks(history: History) -> list[str]:
    """Accepted tasks without a register, in the order they were submitted."""
    ended = {register.task for register in history.registers}
    return [s.task for s in history.submissions if s.outcome == "ok" and s.task not in ended]


def unfilled(history: History) -> list[str]:
    """Intents of ok registers that the venue never filled."""
    filled = {fill.order_id for fill in history.fills}
    return [order for order in _intents(history) if order not in filled]


def repeated(history: History) -> list[str]:
    """Intents filled more than once, and order ids filled that no register intends."""
    intended = set(_intents(history))
    times = Counter(fill.order_id for fill in history.fills)
    return sorted(order for order, n in times.items() if n > 1 or order not in intended)


def conflicting(history: History) -> list[str]:
    """Order ids that came with two different bodies."""
    bodies: dict[str, str] = {}
    return sorted(
        {
            entry.order_id
            for entry in history.journal
            if bodies.setdefault(entry.order_id, entry.body) != entry.body
        }
    )


def _intents(history: History) -> Iterable[str]:
    return (order for r in history.registers if r.status == "ok" for order in r.effects)


def no_loss(history: History) -> Judged:
    """H1: each accepted task has one register, each intent one fill, each dispatch one arrival."""
    accepted = [s for s in history.submissions if s.outcome == "ok"]
    if not accepted and not history.registers:
        return "unknown", "no task was accepted"
    lost = lost_tasks(history)
    if lost:
        return (
            "fail",
            f"{len(lost):,} accepted tasks have no register ({_where(history, lost)}): {some(lost)}",
        )
    twice = [task for task, n in Counter(r.task for r in history.registers).items() if n > 1]
    if twice:
        return "fail", f"more than one register: {some(twice)}"
    outcomes = {s.task: s.outcome for s in history.submissions}
    strangers = [r.task for r in history.registers if outcomes.get(r.task, "fail") == "fail"]
    if strangers:
        return "fail", f"registers of tasks that were refused or never offered: {some(strangers)}"
    missing = unfilled(history)
    if missing:
        return "fail", f"{len(missing):,} intents were never filled: {some(missing)}"
    many = [order for order, n in Counter(f.order_id for f in history.fills).items() if n > 1]
    if many:
        return "fail", f"{len(many):,} intents were filled more than once: {some(many)}"
    complete, queue = history.final("complete"), history.final("queue")
    if not complete or not queue:
        return "unknown", "the run was not read back to its end"
    if complete[0]["registers"] != len(history.registers):
        return (
            "unknown",
            f"{complete[0]['registers']} registers were read and {len(history.registers)} are here",
        )
    dispatched, arrived = queue[0]["dispatched"], queue[0]["arrivals"]
    if dispatched != arrived:
        return "fail", f"{dispatched:,} tasks were dispatched and {arrived:,} arrived in the work queue"
    told = sum(line["tasks"] for line in history.of("dispatch"))
    if told > dispatched or dispatched < len(history.registers):
        return (
            "fail",
            f"{told:,} dispatches were told of, {dispatched:,} stored, {len(history.registers):,} ended",
        )
    if not complete[0]["drained"]:
        return "unknown", f"not drained within its bound of {complete[0]['bound_s']:g} s"
    return "pass", (
        f"{len(accepted):,} accepted, {len(history.registers):,} registers, {len(history.fills):,} fills; "
        f"{dispatched:,} dispatched = {arrived:,} arrived"
    )


def _where(history: History, lost: list[str]) -> str:
    """Where in the order of submission the lost lie; only a loss in the middle cannot be a late reader's."""
    gone = set(lost)
    ended = [s.task not in gone for s in history.submissions if s.outcome == "ok"]
    if not any(ended):
        return "all of them"
    first, last = ended.index(True), len(ended) - 1 - ended[::-1].index(True)
    head, tail = ended[:first].count(False), ended[last:].count(False)
    return f"{head} head, {len(lost) - head - tail} middle, {tail} tail"


def one_effect(history: History) -> Judged:
    """H2: nothing happened twice in the outside world, and nothing that was not intended."""
    if not history.fills:
        return "unknown", "nothing was filled"
    if not history.final("complete"):
        return "unknown", "the run was not read back to its end"
    more = repeated(history)
    if more:
        return "fail", f"{len(more):,} order ids filled more than once or without intent: {some(more)}"
    torn = conflicting(history)
    if torn:
        return "fail", f"{len(torn):,} order ids came with two bodies: {some(torn)}"
    redelivered = sum(1 for line in history.of("run", "invoke") if line["attempt"] > 1)
    suppressed = sum(1 for line in history.of("commit", "fail") if line.get("reason") == "already")
    return "pass", (
        f"{len(history.fills):,} intents, one fill each; {redelivered:,} repeated attempts, "
        f"{suppressed:,} late commits suppressed"
    )


def coordinator_failover(history: History) -> Judged:
    """H4: a standby takes over in time, no job is left, and the old leader can write nothing."""
    leads = sorted(history.of("lead"), key=lambda line: line["term"])
    if len(leads) < 2:
        return "unknown", "no fail-over happened"
    lease_s = history.spec.get("lease_s")
    if not isinstance(lease_s, int | float):
        return "unknown", "the spec does not say how long the lease is"
    jobs = history.final("job")
    orphans = [job["job"] for job in jobs if not job["done"]]
    if orphans:
        return "fail", f"jobs were opened and never done: {some(orphans)}"
    if not jobs:
        return "unknown", "no job was opened"
    late = [line for line in history.of("dispatch") if _successor_term(leads, line["term"]) < line["first"]]
    if late:
        return "fail", f"{late[0]['node']} dispatched under term {late[0]['term']} after it was followed"
    slow, longest = _slowest(history, leads, lease_s + FAILOVER_MARGIN_S)
    if slow:
        return "fail", slow
    silent = _resumed_without_refusal(history, leads)
    if silent:
        return "unknown", f"{silent} was resumed and no write of it was seen refused"
    refused = len(history.of("fenced", "fail"))
    crossed = _finished_under_another_term(history, leads)
    took = f"longest {longest:.2f} s of at most {lease_s + FAILOVER_MARGIN_S:g} s" if longest else "not timed"
    return "pass", (
        f"{len(leads) - 1} fail-overs, {took}; {refused} zombie writes refused; "
        f"{crossed:,} tasks dispatched under an old term and applied under a new one"
    )


def _successor_term(leads: list[Facts], term: int) -> float:
    """The first term after this one; infinite if it is the last. A term is a place in the log."""
    return min((line["term"] for line in leads if line["term"] > term), default=float("inf"))


def _slowest(history: History, leads: list[Facts], bound_s: float) -> tuple[str, float]:
    """A sentence on a fail-over that took too long, if any did, and what the longest took."""
    longest = 0.0
    brokers = [node["started_s"] for node in history.nodes if node["role"] == "broker"]
    for before, after in itertools.pairwise(leads):
        faults = [
            fault
            for fault in history.faults
            if fault["target"] == "leader"
            and fault.get("node") == before["node"]
            and before["time_s"] <= fault["start_s"] <= after["time_s"]
        ]
        if not faults:
            continue
        # While the broker itself is away nobody can take over: the time counts from its return.
        start_s = max([faults[0]["start_s"], *(s for s in brokers if s <= after["time_s"])])
        took_s = after["time_s"] - start_s
        longest = max(longest, took_s)
        if took_s > bound_s:
            return f"{after['node']} took over after {took_s:.2f} s, more than {bound_s:g} s", longest
    return "", longest


def _resumed_without_refusal(history: History, leads: list[Facts]) -> str:
    """A leader that was paused, followed and resumed, and of which no refused write is known."""
    refused = {(line["node"], line["term"]) for line in history.of("fenced", "fail")}
    for fault in history.faults:
        if fault["kind"] != "pause" or fault["target"] != "leader" or fault.get("end_s") is None:
            continue
        terms = [
            line["term"]
            for line in leads
            if line["node"] == fault.get("node") and line["time_s"] <= fault["start_s"]
        ]
        if not terms:
            continue
        followed = any(line["term"] > max(terms) and line["time_s"] <= fault["end_s"] for line in leads)
        if followed and (fault["node"], max(terms)) not in refused:
            return str(fault["node"])
    return ""


def _finished_under_another_term(history: History, leads: list[Facts]) -> int:
    """Registers of tasks that one leader dispatched and that were written when another led."""
    took_over = [(line["term"], line["time_s"]) for line in leads]
    return sum(
        1
        for register in history.registers
        if any(term > register.term and at_s < register.stored_s for term, at_s in took_over)
    )


def poison_containment(history: History) -> Judged:
    """H5, its first half: nothing but poison is dead-lettered, and no poison was injected."""
    if not history.registers:
        return "unknown", "no task ended"
    dead = [register for register in history.registers if register.status == "dead"]
    if dead:
        return "fail", (
            f"{len(dead):,} tasks are dead letters and none was injected as poison; "
            f"the first, {dead[0].task}: {dead[0].reason}"
        )
    return "pass", "no poison was injected and no task is a dead letter"
