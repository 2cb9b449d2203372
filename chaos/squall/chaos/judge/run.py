"""Judges a run from its directory alone.

run directory ─read─► History ─┬─ checks ──► verdicts ─┬─► Result ─write─► result.json, junit.xml, report.html
                               └─ figures ─────────────┘
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from squall.chaos.evidence.model import History
from squall.chaos.evidence.reader import read
from squall.chaos.judge.checks import hierarchical
from squall.chaos.judge.checks.decide import NAMES
from squall.chaos.judge.checks.explained import nothing_unexplained
from squall.chaos.judge.checks.ledger import ledger_as_computed
from squall.chaos.judge.checks.recovery import recovery
from squall.chaos.judge.figures import (
    latency_ms,
    recovery_s,
    reliable,
    throughput_per_s,
    wilson_interval,
)
from squall.chaos.judge.tally import tally
from squall.chaos.plan.poison import HANDLER as POISON_HANDLER
from squall.chaos.plan.tail import HANDLER as TAIL_HANDLER
from squall.chaos.tell.page import junit
from squall.chaos.tell.page.page import PAGE, page
from squall.services.run.directory import replace, writing
from squall.services.run.result import Check, Fault, Result, document
from squall.services.trading.oracle import Row, ledger
from squall.services.trading.workload import independent

log = logging.getLogger("squall")


def judge(run: Path, *, keep: bool = True) -> Result:
    """The result of a run.

    Args:
        run: Its directory.
        keep: Leave ``result.json``, ``junit.xml`` and ``report.html`` there.

    Raises:
        NotARunError: The directory holds no run.
        DiskError: It cannot be written.
    """
    return judge_history(run, keep=keep)[0]


def judge_history(run: Path, *, keep: bool) -> tuple[Result, History]:
    """The result of a run, as `judge` gives it, and what it was judged by."""
    history = read(run)
    judged = result(history, run.absolute().name)
    if keep:
        write(run, judged)
        write_page(run, history, judged)
    return judged, history


def write(run: Path, judged: Result) -> None:
    """Leave a result in a run's directory: each file whole, or as it was.

    Raises:
        DiskError: It cannot be written.
    """
    with writing(run):
        replace(run / "result.json", document(judged, indent=2) + b"\n")
        replace(run / "junit.xml", junit.render(judged))


def write_page(run: Path, history: History, judged: Result) -> None:
    """Leave a run's page in its directory; whatever is wrong with it, the verdict stands beside it."""
    try:
        replace(run / PAGE, page(run, history, judged))
    except Exception as error:
        log.warning("%s not written: %s: %s", run / PAGE, type(error).__name__, error)


def result(history: History, run: str) -> Result:
    """The result that a history gives."""
    asked, counted, venue = history.asked, tally(history), history.venue
    heard = history.lines > 0
    offered = len(history.submissions) if heard else None
    accepted = len(counted.accepted) if heard else None
    ended = {task: counted.registers[task].status for task in counted.accepted if task in counted.registers}
    statuses = list(ended.values())
    # What a register says is known once all were read back; what became of an intent, with the venue too.
    closed = history.closing is not None
    whole = closed and venue is not None
    kept = reliable(history, counted) if whole and accepted else None
    return Result(
        pattern=asked.pattern,
        run=run,
        seed=asked.seed,
        target=asked.target or next((node.target for node in history.nodes if node.target), None),
        revision=asked.revision,
        durability=asked.durability,
        agents=asked.agents,
        workload=asked.workload,
        offered=offered,
        accepted=accepted,
        effects=counted.effects if whole else None,
        dead_letters=statuses.count("dead") if closed else None,
        cancelled=statuses.count("cancelled") if closed else None,
        lost=len(counted.lost) + len(counted.unfilled) if whole else None,
        duplicated=len(counted.doubled) + len(counted.stray) if whole else None,
        conflicting=None if venue is None else len(venue.conflicting),
        duplicates_suppressed=_suppressed(history),
        refused_effects=len(counted.refused_effects) if whole else None,
        refused_writes=len(history.fenced) if heard else None,
        availability=accepted / offered if accepted is not None and offered else None,
        reliability=kept / accepted if kept is not None and accepted else None,
        reliability_interval=wilson_interval(kept, accepted) if kept is not None and accepted else None,
        latency_ms=latency_ms(history, counted),
        throughput_per_s=throughput_per_s(history, counted),
        duration_s=_duration_s(history),
        recovery_s=recovery_s(history),
        faults=tuple(
            Fault(
                kind=fault.kind,
                target=fault.target,
                start_s=fault.start_s,
                end_s=fault.end_s,
                verified=fault.verified,
            )
            for fault in history.faults
        ),
        checks=verdicts(history),
        limits=history.limits,
        environment=history.environment,
    )


def _suppressed(history: History) -> int | None:
    """Second commits, and orders that the venue journaled and did not fill."""
    if not history.lines or history.venue is None:
        return None
    venue = history.venue
    filled = sum(len(times) for times in venue.fills.values())
    return history.suppressed + max(0, venue.received - venue.invalid - filled)


def _duration_s(history: History) -> float | None:
    if history.first_s is None or history.last_s is None:
        return None
    return round(history.last_s - history.first_s, 6)


def verdicts(history: History) -> tuple[Check, ...]:
    """What the checks of a run's pattern say; never nothing, and a check that breaks is unknown."""
    if history.asked.pattern != "hierarchical":
        detail = (
            f"There are no checks for the pattern {history.asked.pattern or 'of this run, which is unknown'}."
        )
        return (Check(id="H0", name="checks-exist", verdict="unknown", detail=detail),)
    return tuple(_verdict(name, check, history) for name, check in _checks(history))


def _checks(history: History) -> list[tuple[str, Callable[[History], Check]]]:
    """The checks that this run is to be held to, by id."""
    checks = hierarchical.CHECKS | {"U1": nothing_unexplained}
    if history.phases:
        checks |= hierarchical.EXPERIMENT_CHECKS | {"L1": recovery}
    if history.asked.handler in COMPUTED_HANDLERS:
        checks["E1"] = lambda history: ledger_as_computed(history, _computed(history))
    return sorted(checks.items(), key=lambda item: list(NAMES).index(item[0]))


COMPUTED_HANDLERS = ("squall.services.trading.strategies:decide", POISON_HANDLER, TAIL_HANDLER)
"""Handlers whose orders the oracle computes."""


def _computed(history: History) -> dict[str, Row]:
    """For each task that was offered, the row that its input demands."""
    seed, offered = history.asked.seed, len(history.submissions)
    if seed is None:
        return {}
    rows = ledger(independent(seed, offered))
    return {row[0].rpartition("-")[0]: row for row in rows}


def _verdict(name: str, check: Callable[[History], Check], history: History) -> Check:
    try:
        return check(history)
    except Exception as error:
        detail = f"The check itself broke: {type(error).__name__}: {error}."
        return Check(id=name, name=NAMES[name], verdict="unknown", detail=detail)
