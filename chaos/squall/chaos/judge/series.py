"""What holds over a series: of every check, over all runs of its pattern; of coverage; of recovering. Pure.

seed-1 ─► result, hits ─┐
seed-2 ─► …             ├─► by pattern ─► SeriesResult
poison ─► …             ┘
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from squall.chaos.evidence.model import History
from squall.chaos.evidence.plural import plural
from squall.chaos.evidence.series import Planned
from squall.chaos.judge.checks import promises_of
from squall.chaos.judge.checks.recovery import healed
from squall.chaos.judge.coverage import coverage, holes
from squall.chaos.judge.decide import some
from squall.chaos.judge.exercised import Exercise, Exercised, exercise_of, exercised
from squall.chaos.plan.bounds import take_over_bound_s
from squall.chaos.plan.cells import SEEDS_TO_AN_EFFECT, Cell
from squall.chaos.plan.surface import points_of
from squall.services.run.result import NOT_EXERCISED, Check, Result, Verdict

EXIT: Mapping[Verdict, int] = {"pass": 0, "fail": 1, "unknown": 3}
"""The exit code that a verdict means."""

RUNS_MIN = 2
"""Runs of a series that must put a promise to the test; as many as it has seeds, if those are fewer."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is kept of one run, whose history may be long.

    Attributes:
        hits: Of each cell of its pattern's coverage table.
        take_over_bound_s, drain_bound_s: How long a fail-over, and the drain, might have taken; the latter is
            None where not all was healed.
        exercise: What it was put to.
        digest: Of its spec and its schedule, as they are in its directory.
    """

    result: Result
    hits: Mapping[Cell, int]
    take_over_bound_s: float | None
    drain_bound_s: float | None
    exercise: Exercise
    digest: str = ""


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """How often a step was struck."""

    pattern: str
    point: str
    strike: str
    hits: int


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """How long one step of recovering took over a series, beside what it may take.

    Attributes:
        what: ``detect``: fault on a leader to the next term; ``fail-over``: to the first that is stored under
            it; ``drain``: last heal to everything ended.
        runs: In how many runs it could be timed, each by its slowest.
        median_s, slowest_s: Over these.
        bound_s: Computed from the timers; the widest, where runs differ.
    """

    pattern: str
    what: str
    runs: int
    median_s: float | None
    slowest_s: float | None
    bound_s: float | None

    @property
    def said(self) -> str:
        """The step by the name that a run's table has for it."""
        return "take-over" if self.what == "detect" else self.what


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How long recovering might have taken in one run; None where it was not to be timed.

    Attributes:
        take_over_s: To detect, and to fail over.
        drain_s: From the last heal on.
    """

    run: str
    take_over_s: float | None
    drain_s: float | None


class SeriesCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One check over all runs of a pattern; of the series as a whole where the pattern is empty.

    Attributes:
        exercised: False where it is unknown for one reason: what it is about happened in no run, and the
            series was narrowed, so that it need not have.
    """

    pattern: str
    id: str
    name: str
    verdict: Verdict
    detail: str
    exercised: bool = True

    @property
    def said(self) -> str:
        """The verdict in words."""
        return self.verdict if self.exercised else NOT_EXERCISED


class SeriesResult(msgspec.Struct, frozen=True, kw_only=True):
    """The document of a series.

    Attributes:
        coverage, exercised: For each pattern; a 0 is what there is to exercise, and was not.
        all_faults: Whether its faults were drawn from all there are.
        missing: Runs that were planned, and are not here.
        unended: Runs that are here and did not come to where all was healed.
        bounds: Of each run that is here.
    """

    runs: tuple[Result, ...]
    checks: tuple[SeriesCheck, ...]
    recovery: tuple[Recovered, ...]
    coverage: tuple[Hits, ...]
    exercised: tuple[Exercised, ...]
    all_faults: bool
    verdict: Verdict
    missing: tuple[str, ...] = ()
    unended: tuple[str, ...] = ()
    bounds: tuple[Bounds, ...] = ()


def judged_of(result: Result, history: History, digest: str = "") -> Judged:
    """What is kept of a run; the digest is that of its directory, see `squall.chaos.evidence.series`."""
    lease_s, after = history.asked.lease_s, healed(history)
    return Judged(
        result=result,
        hits=coverage([history], points_of(history.asked.pattern, history.asked.effects)),
        take_over_bound_s=None if lease_s is None else take_over_bound_s(lease_s),
        drain_bound_s=None if after is None else after.bound_s,
        exercise=exercise_of(history),
        digest=digest,
    )


def series_result(planned: Planned, judged: Sequence[Judged]) -> SeriesResult:
    """What holds over a series."""
    groups: dict[str, list[Judged]] = {}
    for run in judged:
        groups.setdefault(run.result.pattern or "", []).append(run)
    checks = [check for pattern, runs in groups.items() for check in _checks(pattern, planned, runs)]
    checks.append(_complete(planned, judged))
    return SeriesResult(
        runs=tuple(run.result for run in judged),
        checks=tuple(checks),
        recovery=tuple(step for pattern, runs in groups.items() for step in _recovered(pattern, runs)),
        coverage=tuple(
            Hits(pattern=pattern, point=point, strike=strike, hits=count)
            for pattern, runs in groups.items()
            for (point, strike), count in _hits(runs).items()
        ),
        exercised=tuple(
            exercised(pattern, [run.exercise for run in runs]) for pattern, runs in groups.items()
        ),
        all_faults=planned.all_faults,
        verdict=_verdict(checks),
        missing=tuple(name for name in planned.runs if all(run.result.run != name for run in judged)),
        unended=tuple(run.result.run for run in judged if run.drain_bound_s is None),
        bounds=tuple(
            Bounds(run=run.result.run, take_over_s=run.take_over_bound_s, drain_s=run.drain_bound_s)
            for run in judged
        ),
    )


def _verdict(checks: Sequence[SeriesCheck]) -> Verdict:
    """What was exercised of the runs' checks comes to, and those of the series; unknown if nothing was."""
    matter = [check for check in checks if check.exercised]
    return verdict_of([check.verdict for check in matter]) if any(c.pattern for c in matter) else "unknown"


def verdict_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Fail if one is, else unknown if one is or there is none."""
    if "fail" in verdicts:
        return "fail"
    return "pass" if set(verdicts) == {"pass"} else "unknown"


def verdict_of_run(result: Result) -> Verdict:
    """What the checks of one run come to; what need not happen in each run, and did not, is no matter."""
    return verdict_of([check.verdict for check in result.checks if not is_excused(result.pattern, check)])


def is_excused(pattern: str | None, check: Check) -> bool:
    """Whether a check is unknown, and no matter: what it is about did not happen, or need not in each run."""
    return check.verdict == "unknown" and (not check.exercised or is_sometimes(pattern, check.id))


def is_sometimes(pattern: str | None, check: str) -> bool:
    """Whether a check is of what need not happen in each run."""
    promises = promises_of(pattern)
    promise = promises.of(check) if promises is not None else None
    return promise is not None and promise.sometimes


# Of one pattern.


def _hits(runs: Sequence[Judged]) -> Mapping[Cell, int]:
    hits: Counter[Cell] = Counter()
    for run in runs:
        for cell, count in run.hits.items():
            hits[cell] += count
    return hits


def _checks(pattern: str, planned: Planned, runs: Sequence[Judged]) -> Iterator[SeriesCheck]:
    results = [run.result for run in runs]
    seeds = sum("seed-" in each.run for each in results)
    for check in _in_order(pattern, {check.id for each in results for check in each.checks}):
        over_all = _over_all(pattern, check, results)
        if planned.all_faults:
            over_all = _exercised(over_all, results, seeds)
        yield over_all if planned.may_leave_out else replace(over_all, exercised=True)
    hits = _hits(runs)
    if planned.all_faults and hits and seeds >= SEEDS_TO_AN_EFFECT:
        yield _covered(pattern, hits)


def _in_order(pattern: str, there: Set[str]) -> list[str]:
    """Checks that there are, as the pattern has them; a run need not be held to all."""
    promises = promises_of(pattern)
    known = [each.id for each in promises.promises if each.id in there] if promises is not None else []
    return [*known, *sorted(there - set(known))]


def _over_all(pattern: str, name: str, results: Sequence[Result]) -> SeriesCheck:
    found = [(each.run, check) for each in results for check in each.checks if check.id == name]
    failed = [(run, check) for run, check in found if check.verdict == "fail"]
    unsure = [(run, check) for run, check in found if check.verdict == "unknown"]
    unsure.sort(key=lambda each: not each[1].exercised)
    passed = len(found) - len(failed) - len(unsure)
    verdict: Verdict = "pass"
    exercised = any(check.exercised for _, check in found)
    detail = f"Passed in {passed} of {len(found)} runs."
    if failed:
        verdict, detail = "fail", f"{failed[0][0]}: {failed[0][1].detail}"
    elif unsure and not (passed and is_excused(pattern, unsure[0][1])):
        verdict, detail = "unknown", f"{unsure[0][0]}: {unsure[0][1].detail}"
    elif unsure:
        run, check = unsure[0]
        others = f" and {plural(len(unsure) - 1, 'other')}" if len(unsure) > 1 else ""
        detail += f" Not shown by {run}{others}: {check.detail}"
    return SeriesCheck(
        pattern=pattern, id=name, name=found[0][1].name, verdict=verdict, detail=detail, exercised=exercised
    )


def _exercised(check: SeriesCheck, results: Sequence[Result], seeds: int) -> SeriesCheck:
    """That the promise was put to the test: by the run that is made for it, or by more than one.

    One run may pass by luck. Of one seed no more can be asked than that its own run did.
    """
    promises = promises_of(check.pattern)
    promise = promises.of(check.id) if promises is not None else None
    if check.verdict != "pass" or promise is None:
        return check
    passed = [each for each in results if any(c.id == check.id and c.verdict == "pass" for c in each.checks)]
    figure, enough = promise.exercised, min(RUNS_MIN, max(1, seeds))
    shown = [each.run or "" for each in passed if not figure or getattr(each, figure)]
    detail = ""
    if promise.shown_by and not any(_is_of(each, promise.shown_by) for each in passed):
        detail = f"Only the run {promise.shown_by} puts the promise to the test, and did not."
    elif figure and not shown:
        detail = (
            f"In no run were there any {figure.replace('_', ' ')}, so the promise was not put to the test."
        )
    elif len(shown) < enough and (figure or not promise.shown_by):
        detail = f"The promise was put to the test in {plural(len(shown), 'run')} only: {some(shown)}."
    return replace(check, verdict="unknown", detail=detail) if detail else check


def _is_of(result: Result, name: str) -> bool:
    """Whether a run is the one of that name, which may follow its pattern's."""
    return f"-{result.run}".endswith(f"-{name}")


def _covered(pattern: str, hits: Mapping[Cell, int]) -> SeriesCheck:
    """V1: every step on the way to an effect was killed, paused and cut."""
    promises = promises_of(pattern)
    missing = holes(hits, promises.to_an_effect if promises is not None else ())
    verdict: Verdict = "pass"
    struck = sum(1 for count in hits.values() if count)
    detail = f"{struck} of {len(hits)} cells hit, among them every step to an effect."
    if missing:
        point, strike = missing[0]
        verdict = "unknown"
        detail = f"{len(missing)} steps to an effect were not struck, the first: {strike} at {point}."
    return SeriesCheck(pattern=pattern, id="V1", name="coverage", verdict=verdict, detail=detail)


def _complete(planned: Planned, judged: Sequence[Judged]) -> SeriesCheck:
    """V2: every run is there, with the spec and schedule it was to have, and came to where all was healed."""
    there = [run.result.run for run in judged if run.drain_bound_s is not None]
    missing = [name for name in planned.runs if name not in there]
    others = [
        run.result.run for run in judged if planned.digests.get(run.result.run, run.digest) != run.digest
    ]
    detail = f"{len(there)} of {len(planned.runs)} planned runs are here and came to their end"
    if missing:
        detail += f", not {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else "")
    if others:
        detail += f"; {some(others)} had another spec or schedule than was planned"
    if planned.interrupted:
        detail += "; the series was interrupted"
    verdict: Verdict = "unknown" if missing or others else "pass"
    return SeriesCheck(pattern="", id="V2", name="completeness", verdict=verdict, detail=f"{detail}.")


def _recovered(pattern: str, judged: Sequence[Judged]) -> list[Recovered]:
    recovered = [run.result.recovery_s for run in judged]
    followed = [run.take_over_bound_s for run in judged]
    drained = [run.drain_bound_s for run in judged]
    promises = promises_of(pattern)
    following = [
        _step(pattern, "detect", [each.detect for each in recovered], followed),
        _step(pattern, "fail-over", [each.failover for each in recovered], followed),
    ]
    return [
        *(following if promises is None or promises.batches is not None else ()),  # else nobody leads
        _step(pattern, "drain", [each.drain for each in recovered], drained),
    ]


def _step(pattern: str, what: str, took: Sequence[float | None], bounds: Sequence[float | None]) -> Recovered:
    timed = [seconds for seconds in took if seconds is not None]
    return Recovered(
        pattern=pattern,
        what=what,
        runs=len(timed),
        median_s=statistics.median(timed) if timed else None,
        slowest_s=max(timed, default=None),
        bound_s=max((bound for bound in bounds if bound is not None), default=None),
    )
