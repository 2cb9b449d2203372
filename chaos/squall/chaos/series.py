"""A series: many seeds, one run each, and what holds over all of them. Pure but for running them.

spec ─┬─ seed 1 ─► schedule ─► experiment ─► result ─┐
      ├─ seed 2 ─► …                                 ├─► checks of the series, coverage, verdict
      └─ poison ─► …                                 ┘
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from squall.chaos.bounds import take_over_bound_s
from squall.chaos.checks.recovery import healed
from squall.chaos.checks.verdict import NAMES
from squall.chaos.coverage import Cell, holes
from squall.chaos.evidence import History
from squall.chaos.poison import HANDLER
from squall.chaos.schedule import CELLS, CELLS_A_SEED, Schedule, draw
from squall.services.result import Check, Result, Verdict
from squall.services.spec import Spec

FAULTS_S = 10.0
"""Over how long the beginnings of a run's faults are spread."""

SOMETIMES = ("H3", "H4", "H6", "L1")
"""Checks of what need not happen in each run; over a series it must have."""

SEEDS_TO_COVER = -(-len(CELLS) // CELLS_A_SEED)
"""Seeds in a row that hit every cell of the coverage table."""

EXPERIMENT = {
    "tasks": 1_000_000,
    "rate_per_s": 300.0,
    "ack_wait_s": 1.5,
    "lease_s": 1.0,
    "patience_s": 0.5,
    "ingress_max": 150,
    "pause_leader": False,
}
"""How a swarm is set up for an experiment, where a file does not say otherwise: fast timers, so that a minute
shows many recoveries; an ingress that a fail-over fills, so that refusals show; load until all is healed."""

POISONED = {"handler": HANDLER, "rate_per_s": 40.0, "slots": 16, "ingress_max": 1000}
POISON_S = 12.0


@dataclass(frozen=True)
class Plan:
    """One run of a series: its name, what is run, and what is done to it."""

    name: str
    spec: Spec
    schedule: Schedule


def plans(spec: Spec, seeds: Sequence[int], faults: Sequence[tuple[str, str]]) -> list[Plan]:
    """The runs of a series.

    Args:
        faults: Only these, each with a target or an empty string for any; all there are, if empty. A series
            of all has one run more, in which some tasks are poison.

    Raises:
        FaultError: There is no such fault or target.
    """
    made = []
    for seed in seeds:
        seeded = replace(spec, seed=seed)
        schedule = draw(seed, seeded, length_s=FAULTS_S, faults=faults)
        made.append(Plan(f"seed-{seed}", seeded, schedule))
    if not faults and seeds:
        poisoned = replace(spec, seed=seeds[0], **POISONED)
        made.append(Plan("poison", poisoned, Schedule(seed=seeds[0], quiet_s=POISON_S)))
    return made


class Recoveries(msgspec.Struct, frozen=True, kw_only=True):
    """How long one step of recovering took over a series, beside what it may take.

    Attributes:
        what: ``detect``: fault on a leader to the next term; ``fail-over``: to its first dispatch; ``drain``:
            last heal to everything ended.
        runs: In how many runs it could be timed, each by its slowest.
        median_s, slowest_s: Over these.
        bound_s: Computed from the timers; the widest, where runs differ.
    """

    what: str
    runs: int
    median_s: float | None
    slowest_s: float | None
    bound_s: float | None


def recoveries_of(results: Sequence[Result], histories: Sequence[History]) -> list[Recoveries]:
    """What recovering took, step by step.

    Args:
        histories: Of the same runs.
    """
    leases = [history.asked.lease_s for history in histories if history.asked.lease_s is not None]
    drains = [phase.bound_s for phase in map(healed, histories) if phase is not None]
    followed_s = max(map(take_over_bound_s, leases), default=None)
    recovered = [result.recovery_s for result in results]
    return [
        _step("detect", [each.detect for each in recovered], followed_s),
        _step("fail-over", [each.failover for each in recovered], followed_s),
        _step("drain", [each.drain for each in recovered], max(drains, default=None)),
    ]


def _step(what: str, took: Sequence[float | None], bound_s: float | None) -> Recoveries:
    timed = [seconds for seconds in took if seconds is not None]
    return Recoveries(
        what=what,
        runs=len(timed),
        median_s=statistics.median(timed) if timed else None,
        slowest_s=max(timed, default=None),
        bound_s=bound_s,
    )


def checks_of(results: Sequence[Result], hits: Mapping[Cell, int] | None) -> tuple[Check, ...]:
    """What holds over a series.

    Args:
        hits: The coverage, where the series was to have no hole; else None.
    """
    found = []
    for name in NAMES:
        every = [(result.run, check) for result in results for check in result.checks if check.id == name]
        if every:
            found.append(_over_all(name, every))
    if hits is not None:
        found.append(_covered(hits))
    return tuple(found)


def _over_all(name: str, every: Sequence[tuple[str, Check]]) -> Check:
    failed = [(run, check) for run, check in every if check.verdict == "fail"]
    unsure = [(run, check) for run, check in every if check.verdict == "unknown"]
    passed = len(every) - len(failed) - len(unsure)
    verdict: Verdict = "pass"
    detail = f"Passed in {passed} of {len(every)} runs."
    if failed:
        verdict, detail = "fail", f"{failed[0][0]}: {failed[0][1].detail}"
    elif unsure and not (name in SOMETIMES and passed):
        verdict, detail = "unknown", f"{unsure[0][0]}: {unsure[0][1].detail}"
    elif unsure:
        detail += f" Not shown by {unsure[0][0]}: {unsure[0][1].detail}"
    return Check(id=name, name=NAMES[name], verdict=verdict, detail=detail)


def _covered(hits: Mapping[Cell, int]) -> Check:
    missing = holes(hits)
    if missing:
        point, strike = missing[0]
        detail = f"{len(missing)} steps to an effect were not struck, the first: {strike} at {point}."
        return Check(id="C1", name="coverage", verdict="unknown", detail=detail)
    struck = sum(1 for count in hits.values() if count)
    detail = f"{struck} of {len(hits)} cells hit, among them every step to an effect."
    return Check(id="C1", name="coverage", verdict="pass", detail=detail)


def verdict_of(checks: Sequence[Check]) -> Verdict:
    """The verdict on a series: fail if a check fails, else unknown if one is or there is none."""
    verdicts = {check.verdict for check in checks}
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts == {"pass"} else "unknown"
