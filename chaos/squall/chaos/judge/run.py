"""From a run's history to its result: every check of its pattern, every figure. Pure.

History ──► Case ─┬─ checks ───► verdicts ─┬─► Result
                  └─ figures ──────────────┘
"""

from __future__ import annotations

from squall.chaos.evidence.model import MISSING, History
from squall.chaos.evidence.operations import Fenced
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.case import Case, case_of
from squall.chaos.judge.checks import promises_of
from squall.chaos.judge.decide import Finding
from squall.chaos.judge.figures import (
    latency_ms,
    recovery_s,
    reliable,
    throughput_per_s,
    wilson_interval,
)
from squall.chaos.judge.promise import Promise, Promises
from squall.services.run.result import Check, Fault, Result


def result(history: History, run: str) -> Result:
    """The result that a history gives."""
    promises = promises_of(history.asked.pattern)
    case = case_of(history, promises.batches if promises is not None else None)
    asked, counted, venue = history.asked, case.tally, history.venue
    heard = history.lines > 0
    offered = len(history.submissions) if heard else None
    accepted = len(counted.accepted) if heard else None
    ended = {task: counted.registers[task].status for task in counted.accepted if task in counted.registers}
    statuses = list(ended.values())
    # What a register says is known once all were read back; what became of an intent, with the venue too.
    closed = history.closing is not None
    whole = closed and venue is not None
    kept = reliable(history, counted) if whole and accepted else None
    if kept and not counted.intents:
        kept = None  # a share of tasks that came to no order says nothing of orders
    return Result(
        pattern=asked.pattern,
        run=run,
        seed=asked.seed,
        target=asked.target or next((node.target for node in history.nodes if node.target), None),
        revision=asked.revision,
        durability=asked.durability or history.durability,
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
        refused_effects=len(counted.refused_effects) if whole or (closed and history.unwitnessed) else None,
        refused_writes=len(history.of(Fenced)) if heard else None,
        availability=accepted / offered if accepted is not None and offered else None,
        reliability=kept / accepted if kept is not None and accepted else None,
        reliability_interval=wilson_interval(kept, accepted) if kept is not None and accepted else None,
        latency_ms=latency_ms(history, counted),
        throughput_per_s=throughput_per_s(history, counted),
        duration_s=_duration_s(history),
        recovery_s=recovery_s(case),
        faults=tuple(
            Fault(
                kind=fault.kind,
                target=fault.target,
                start_s=fault.start_s,
                end_s=fault.end_s,
                verified=fault.verified,
            )
            for fault in sorted((*history.faults, *history.missed), key=lambda fault: fault.start_s)
        ),
        checks=verdicts(case, promises),
        limits=(*_cut_short(history), *history.limits),
        environment=history.environment,
        refused=_refused(history) if heard else None,
        interrupted=_interrupted(history) if heard else None,
        one_order_each=counted.one_order_each if whole else None,
        broker=history.busy,
    )


def _interrupted(history: History) -> bool | None:
    """Whether it was stopped early; None where the end of its record is missing.

    The load of an experiment has no end of its own, so that one has come to its end once all was healed.
    """
    if history.interrupted_s is not None:
        return True
    if history.phases:
        return not any(phase.what == "healed" for phase in history.phases) if history.closing else None
    return history.closing.interrupted if history.closing else None


def _cut_short(history: History) -> tuple[str, ...]:
    """In words, if the run is not all that it was to be: what holds of it holds of a part."""
    offered = plural(len(history.submissions), "task")
    if not history.phases and history.asked.tasks is not None:  # the load of an experiment has no end
        offered += f" of {history.asked.tasks:,}"
    if _interrupted(history):
        how = "" if history.closing is not None else ", and not drained"
        return (f"interrupted after {offered} had been offered{how}: nothing is known of the rest",)
    if history.closing is None and history.lines:
        return (f"broken off after {offered} had been offered: it was not read back to its end",)
    return ()


def _suppressed(history: History) -> int | None:
    """Second commits, and orders that the venue journaled and did not fill."""
    if not history.lines or history.venue is None:
        return None
    venue = history.venue
    filled = sum(len(times) for times in venue.fills.values())
    return history.suppressed + max(0, venue.received - venue.invalid - filled)


def _refused(history: History) -> int:
    """Offers that the broker refused for good."""
    return sum(offered.outcome == "refused" for offered in history.submissions.values())


def _duration_s(history: History) -> float | None:
    if history.first_s is None or history.last_s is None:
        return None
    return round(history.last_s - history.first_s, 6)


VENUE = "venue.sqlite"

NO_CHECKS = "V0"
"""Id of what is said where there is nothing to hold a run to."""


def verdicts(case: Case, promises: Promises | None) -> tuple[Check, ...]:
    """What the checks of a run's pattern say; never nothing, and a check that breaks is unknown."""
    if promises is None:
        pattern = case.history.asked.pattern or "of this run, which is unknown"
        detail = f"{_missing(case.history)}There are no checks for the pattern {pattern}."
        return (Check(id=NO_CHECKS, name="checks-exist", verdict="unknown", detail=detail),)
    return tuple(check for promise in promises.promises if (check := _verdict(promise, case)))


def _verdict(promise: Promise, case: Case) -> Check | None:
    """What a check says; None if the run is not held to it."""
    try:
        if not promise.when(case.history):
            return None
        found = promise.check(case)
    except Exception as error:
        found = Finding("unknown", f"The check itself broke: {type(error).__name__}: {error}.")
    missing = _missing(case.history) if found.verdict == "unknown" else ""
    return Check(
        id=promise.id,
        name=promise.name,
        verdict=found.verdict,
        # Each check says what it has nothing of; why it has not comes before that.
        detail=found.detail if _is_said(missing, found.detail) else f"{missing}{found.detail}",
        exercised=found.exercised,
        task=found.task,
    )


NO_VENUE = "there is no database of the venue"


def _is_said(missing: str, detail: str) -> bool:
    """Whether a detail says already which file is not there."""
    said = detail.lower()
    return missing[:-2].lower() in said or (missing.startswith(VENUE) and NO_VENUE in said)


def _missing(history: History) -> str:
    """Which files of a run's directory are not there, as a sentence before another; empty if all are."""
    names = list(history.missing)
    if (
        history.venue is None
        and not history.unwitnessed
        and not any(VENUE in what for what in history.unreadable)
    ):
        names.append(VENUE)
    if not names:
        return ""
    *others, last = names
    return f"{', '.join(others)} and {last} are missing. " if others else f"{last}{MISSING}. "
