"""From a run's directory to its result document. The command and `squall check` both come this way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from squall.chaos.checks import hierarchical
from squall.chaos.history import History, read
from squall.chaos.report.junit import junit
from squall.services.result import (
    Check,
    Environment,
    Fault,
    Latency,
    Recovery,
    Result,
    document,
)

CHECKS: dict[str, Callable[[History], list[Check]]] = {"hierarchical": hierarchical.check}


def judge(run: Path, *, write: bool = True) -> Result:
    """Judge a run.

    Args:
        run: Its directory.
        write: Leave ``result.json`` and ``junit.xml`` there.

    Raises:
        NotARunError: It is no run's directory.
    """
    result = measure(read(run), run.name)
    if write:
        _replace(run / "result.json", document(result, indent=2) + b"\n")
        _replace(run / "junit.xml", junit(result))
    return result


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.replace(path)


def measure(history: History, run: str) -> Result:
    """Every figure of the document. Pure."""
    spec = history.spec
    accepted = [s for s in history.submissions if s.outcome == "ok"]
    offered = len(history.submissions)
    statuses = [register.status for register in history.registers]
    intents = {order for r in history.registers if r.status == "ok" for order in r.effects}
    filled = {fill.order_id for fill in history.fills}
    repeats = sum(entry.readable for entry in history.journal) - len(history.fills)
    late = sum(1 for line in history.of("commit", "fail") if line.get("reason") == "already")
    good = _good(history)
    known = bool(history.lines)
    pattern = str(spec.get("pattern"))
    note = history.of("note")
    start_s = min((line["time_s"] for line in history.lines), default=0.0)
    complete = history.final("complete")
    return Result(
        pattern=pattern,
        run=run,
        seed=spec.get("seed"),
        target=history.nodes[0].get("target") if history.nodes else None,
        revision=spec.get("revision"),
        durability="dev",
        agents=spec.get("agents"),
        workload=spec.get("workload"),
        offered=offered if known else None,
        accepted=len(accepted) if known else None,
        effects=len(intents & filled) if known else None,
        dead_letters=statuses.count("dead") if known else None,
        cancelled=statuses.count("cancelled") if known else None,
        lost=len(hierarchical.lost_tasks(history)) + len(hierarchical.unfilled(history))
        if complete
        else None,
        duplicated=len(hierarchical.repeated(history)) if complete else None,
        conflicting=len(hierarchical.conflicting(history)) if known else None,
        duplicates_suppressed=late + repeats if known else None,
        refused_writes=len(history.of("fenced", "fail")) if known else None,
        availability=len(accepted) / offered if offered else None,
        reliability=good / len(accepted) if accepted else None,
        reliability_interval=wilson(good, len(accepted)) if accepted else None,
        latency_ms=_latency(history),
        throughput_per_s=_throughput(history, len(intents & filled)),
        duration_s=complete[0].get("duration_s") if complete else None,
        recovery_s=_recovery(history),
        faults=[
            Fault(
                kind=fault["kind"],
                target=fault["target"],
                start_s=fault["start_s"] - start_s,
                end_s=fault["end_s"] - start_s if fault.get("end_s") is not None else None,
                verified=bool(fault.get("verified")),
            )
            for fault in history.faults
        ],
        checks=CHECKS[pattern](history) if pattern in CHECKS else [],
        limits=note[0].get("limits", []) if note else [],
        environment=Environment(**note[0].get("environment", {})) if note else Environment(),
    )


def _lost(history: History) -> int:
    """Accepted tasks without register, and intents never filled."""
    return len(hierarchical.lost_tasks(history)) + len(hierarchical.unfilled(history))


def _last_fills(history: History) -> dict[str, float]:
    """When each ok task's last intent was filled; tasks with an unfilled intent are left out."""
    at = {fill.order_id: fill.time_s for fill in history.fills}
    return {
        register.task: max(at[order] for order in register.effects)
        for register in history.registers
        if register.status == "ok" and register.effects and all(order in at for order in register.effects)
    }


def _good(history: History) -> int:
    """Accepted tasks with exactly their effects before their deadline."""
    deadline_s = float(history.spec.get("task_deadline_s", math.inf))
    more = set(hierarchical.repeated(history))
    last = _last_fills(history)
    registers = {register.task: register for register in history.registers}
    good = 0
    for submission in history.submissions:
        register = registers.get(submission.task)
        if submission.outcome != "ok" or register is None or register.status != "ok":
            continue
        ended_s = last.get(submission.task, register.stored_s if not register.effects else math.inf)
        if ended_s - submission.submit_s <= deadline_s and more.isdisjoint(register.effects):
            good += 1
    return good


def _latency(history: History) -> Latency | None:
    last = _last_fills(history)
    taken = sorted((last[s.task] - s.submit_s) * 1e3 for s in history.submissions if s.task in last)
    if not taken:
        return None
    return Latency(nearest_rank(taken, 0.5), nearest_rank(taken, 0.95), nearest_rank(taken, 0.99), taken[-1])


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _throughput(history: History, effects: int) -> float | None:
    if not history.submissions or not history.fills:
        return None
    span_s = max(f.time_s for f in history.fills) - min(s.submit_s for s in history.submissions)
    return effects / span_s if span_s > 0 else None


def _recovery(history: History) -> Recovery:
    """Null where no fault asked for it."""
    complete = history.final("complete")
    ends = [fault["end_s"] for fault in history.faults if fault.get("end_s") is not None]
    drain = complete[0]["drained_s"] - max(ends) if complete and ends and complete[0]["drained"] else None
    faults = [fault for fault in history.faults if fault["target"] == "leader"]
    if not faults:
        return Recovery(drain=drain)
    start_s = faults[0]["start_s"]
    lead = min(
        (line for line in history.of("lead") if line["time_s"] > start_s),
        key=lambda line: line["time_s"],
        default=None,
    )
    if lead is None:
        return Recovery(drain=drain)
    dispatches = [line["time_s"] for line in history.of("dispatch") if line["term"] == lead["term"]]
    return Recovery(
        detect=lead["time_s"] - start_s,
        failover=min(dispatches) - start_s if dispatches else None,
        drain=drain,
    )


def wilson(good: int, of: int) -> tuple[float, float]:
    """The Wilson score interval of a share, at 95 %.

    Args:
        good: Successes.
        of: Trials, at least 1.

    Source: Wilson, 1927; the form of Brown, Cai and DasGupta, 2001, section 3.1.1.
    """
    z = 1.959963984540054
    share = good / of
    centre = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, centre - half), min(1.0, centre + half)
