"""Proves the checks: each known-bad variant must be caught, and the good one pass under the same fault.

mutant ─► seed 1, 2, … under its fault ─► caught by its check? ─► the good variant, same seed ─► passes?
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from squall.bus.errors import first_error
from squall.chaos.errors import ChaosError
from squall.chaos.inject import schedule_file
from squall.chaos.inject.experiment import carry_out, experiment
from squall.chaos.judge.series import is_sometimes
from squall.chaos.mutants.mutant import Mutant
from squall.chaos.plan.schedule import Schedule
from squall.chaos.tell.documents import judge
from squall.services.errors import SteadyStateError
from squall.services.run.directory import claim
from squall.services.run.progress import Begun, Progress
from squall.services.run.result import Result
from squall.services.run.spec import Spec

SEEDS_MAX = 5
"""Seeds after which a mutant has survived."""


@dataclass(frozen=True)
class Proof:
    """What came of one mutant.

    Attributes:
        pattern: Under which it was tried.
        check: Id of the check that caught it, or ``harness`` where the harness itself ended the run.
        why: What that check said, in one line.
        seeds: How many it took.
        good: Whether the good variant passed the same seed under the same fault.
    """

    mutant: Mutant
    pattern: str
    caught: bool
    check: str
    why: str
    seeds: int
    good: bool


def prove(mutant: Mutant, spec: Spec, folder: Path, progress: Progress) -> Proof:
    """Run one mutant seed after seed until it is caught, and the good variant with that seed.

    Raises:
        ServiceError, BusError: It could not be run.
    """
    spec = replace(spec, **mutant.setting)
    found: tuple[str, str] | None = None
    seed = 0
    while found is None and seed < SEEDS_MAX:
        seed += 1
        progress(Begun(run=mutant.name, number=seed, runs=SEEDS_MAX))
        schedule = Schedule(seed=seed, intervals=mutant.intervals)
        path = folder / f"{mutant.name}-{seed}"
        found = noticed(mutant, replace(spec, seed=seed), schedule, path, progress, by=mutant.checks)
    check_id, why = found or ("", "no check noticed")
    progress(Begun(run=f"{mutant.name}, the good variant"))
    good = _is_good(mutant, spec, seed, folder / f"{mutant.name}-{seed}-good", progress)
    return Proof(mutant, spec.pattern, found is not None, check_id, why, seed, good)


def noticed(
    mutant: Mutant, spec: Spec, schedule: Schedule, path: Path, progress: Progress, *, by: Collection[str]
) -> tuple[str, str] | None:
    """Run a mutant once: the check that noticed, and what it said; None if none did.

    Args:
        by: Ids of the checks one of which must fail; none for a variant of the harness, under which nothing
            may pass.
    """
    with mutant.staged():
        try:
            spec = replace(spec, **mutant.spec)
            result = _run(mutant, spec, schedule, path, progress, preload=mutant.module)
        except (ChaosError, SteadyStateError) as error:
            # Any other error is a defect of the harness, which has caught nothing by it.
            return ("harness", str(error)) if isinstance(error, mutant.errors) else None
    if by:
        found = [c for c in result.checks if c.verdict == "fail" and c.id in by]
    else:
        found = [c for c in result.checks if c.verdict != "pass" and not is_sometimes(spec.pattern, c.id)]
    return (found[0].id, found[0].detail) if found else None


def _is_good(mutant: Mutant, spec: Spec, seed: int, path: Path, progress: Progress) -> bool:
    """Whether without the mutation nothing fails, and what must be seen in every run passes."""
    schedule = Schedule(seed=seed, intervals=mutant.intervals)
    result = _run(mutant, replace(spec, seed=seed), schedule, path, progress, preload="")
    caught_by = [check.verdict for check in result.checks if check.id in mutant.checks]
    always = [check.verdict for check in result.checks if not is_sometimes(spec.pattern, check.id)]
    failed = any(check.verdict == "fail" for check in result.checks)
    return not failed and set(always) == {"pass"} and (not caught_by or "pass" in caught_by)


def _run(
    mutant: Mutant, spec: Spec, schedule: Schedule, path: Path, progress: Progress, *, preload: str
) -> Result:
    with mutant.beside(path) as fields:
        return _run_beside(replace(spec, **fields), schedule, path, progress, preload=preload)


def _run_beside(spec: Spec, schedule: Schedule, path: Path, progress: Progress, *, preload: str) -> Result:
    schedule = schedule_file.checked(schedule, spec)
    with claim(spec, path) as directory:
        schedule_file.write(directory, schedule)
        work = experiment(
            spec,
            directory,
            carry_out(schedule),
            progress=progress,
            preload=preload,
        )
        try:
            asyncio.run(work)
        except BaseExceptionGroup as group:
            raise first_error(group, ChaosError) from None
    return judge(path)
