"""What holds over a series: of every check, over all runs; of coverage; of what recovering took.

seed-1 ─► judge ─► result, hits ─┐
seed-2 ─► …                      ├─► SeriesResult
poison ─► …                      ┘
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from squall.chaos.errors import NotARunError
from squall.chaos.evidence.model import History
from squall.chaos.evidence.series import Planned
from squall.chaos.judge.bounds import take_over_bound_s
from squall.chaos.judge.checks.recovery import healed
from squall.chaos.judge.coverage import CELLS, CELLS_A_SEED, Cell, coverage, holes
from squall.chaos.judge.run import judge_history
from squall.services.run.result import Check, Result, Verdict

SOMETIMES = ("H3", "H4", "H6", "L1")
"""Checks of what need not happen in each run; over a series it must have."""

SEEDS_TO_COVER = -(-len(CELLS) // CELLS_A_SEED)
"""Seeds in a row that hit every cell of the coverage table."""


EXIT: Mapping[Verdict, int] = {"pass": 0, "fail": 1, "unknown": 3}
"""The exit code that a verdict means."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is kept of one run, whose history may be long.

    Attributes:
        hits: Of each cell of the coverage table.
        followed_bound_s, drain_bound_s: How long a fail-over, and the drain, might have taken; the latter is
            None where not all was healed.
    """

    result: Result
    hits: Mapping[Cell, int]
    followed_bound_s: float | None
    drain_bound_s: float | None


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """How often a step was struck."""

    point: str
    strike: str
    hits: int


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
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


class SeriesResult(msgspec.Struct, frozen=True, kw_only=True):
    """The document of a series."""

    runs: tuple[Result, ...]
    checks: tuple[Check, ...]
    recovery: tuple[Recovered, ...]
    coverage: tuple[Hits, ...]
    verdict: Verdict


def judge_run(run: Path, *, keep: bool) -> Judged:
    """One run of a series.

    Args:
        keep: Leave its result and its page in its directory.

    Raises:
        NotARunError: The directory holds no run.
        DiskError: It cannot be written.
    """
    return judged_of(*judge_history(run, keep=keep))


def judged_of(result: Result, history: History) -> Judged:
    """What is kept of a run."""
    lease_s, after = history.asked.lease_s, healed(history)
    return Judged(
        result=result,
        hits=coverage([history]),
        followed_bound_s=None if lease_s is None else take_over_bound_s(lease_s),
        drain_bound_s=None if after is None else after.bound_s,
    )


def judge_all(folder: Path, planned: Planned) -> list[Judged]:
    """The runs of a series that are in its directory, which is left as it is."""
    found = []
    for name in planned.runs:
        try:
            found.append(judge_run(folder / name, keep=False))
        except NotARunError:
            continue  # missed by `complete`
    return found


# Over all. Pure.


def series_result(planned: Planned, judged: Sequence[Judged]) -> SeriesResult:
    """What holds over a series."""
    results = tuple(run.result for run in judged)
    hits: Counter[Cell] = Counter(dict.fromkeys(CELLS, 0))
    for run in judged:
        hits.update(run.hits)
    names = dict.fromkeys(check.id for each in results for check in each.checks)
    checks = [_over_all(name, results) for name in names]
    if planned.all_faults:
        checks = [_exercised(check, results) if check.id == "H2" else check for check in checks]
    if planned.all_faults and sum("seed-" in name for name in planned.runs) >= SEEDS_TO_COVER:
        checks.append(_covered(hits))
    checks.append(
        _complete(planned.runs, [run.result.run for run in judged if run.drain_bound_s is not None])
    )
    return SeriesResult(
        runs=results,
        checks=tuple(checks),
        recovery=tuple(_recovered(judged)),
        coverage=tuple(Hits(point=p, strike=s, hits=count) for (p, s), count in hits.items()),
        verdict=verdict_of(checks) if results else "unknown",
    )


def _of(name: str, result: Result) -> Check | None:
    return next((check for check in result.checks if check.id == name), None)


def _over_all(name: str, results: Sequence[Result]) -> Check:
    every = [(each.run, check) for each in results if (check := _of(name, each)) is not None]
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
    return Check(id=name, name=every[0][1].name, verdict=verdict, detail=detail)


def _exercised(check: Check, results: Sequence[Result]) -> Check:
    """That nothing is done twice is shown only where something was about to be."""
    repeats = sum(each.duplicates_suppressed or 0 for each in results)
    if check.verdict != "pass" or repeats:
        return check
    detail = "No run had a repeat to suppress, so that none is carried out twice was not put to the test."
    return replace(check, verdict="unknown", detail=detail)


def _covered(hits: Mapping[Cell, int]) -> Check:
    missing = holes(hits)
    if missing:
        point, strike = missing[0]
        detail = f"{len(missing)} steps to an effect were not struck, the first: {strike} at {point}."
        return Check(id="C1", name="coverage", verdict="unknown", detail=detail)
    struck = sum(1 for count in hits.values() if count)
    detail = f"{struck} of {len(hits)} cells hit, among them every step to an effect."
    return Check(id="C1", name="coverage", verdict="pass", detail=detail)


def _complete(planned: Sequence[str], there: Sequence[str]) -> Check:
    """C2: every run is there, and came to where all was healed."""
    missing = [name for name in planned if name not in there]
    detail = f"{len(there)} of {len(planned)} planned runs are here and came to their end"
    if missing:
        detail += f", not {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else "")
    verdict: Verdict = "unknown" if missing else "pass"
    return Check(id="C2", name="completeness", verdict=verdict, detail=f"{detail}.")


def _recovered(judged: Sequence[Judged]) -> list[Recovered]:
    recovered = [run.result.recovery_s for run in judged]
    followed = [run.followed_bound_s for run in judged]
    drained = [run.drain_bound_s for run in judged]
    return [
        _step("detect", [each.detect for each in recovered], followed),
        _step("fail-over", [each.failover for each in recovered], followed),
        _step("drain", [each.drain for each in recovered], drained),
    ]


def _step(what: str, took: Sequence[float | None], bounds: Sequence[float | None]) -> Recovered:
    timed = [seconds for seconds in took if seconds is not None]
    return Recovered(
        what=what,
        runs=len(timed),
        median_s=statistics.median(timed) if timed else None,
        slowest_s=max(timed, default=None),
        bound_s=max((bound for bound in bounds if bound is not None), default=None),
    )


def verdict_of(checks: Sequence[Check]) -> Verdict:
    """Fail if a check fails, else unknown if one is or there is none."""
    verdicts = {check.verdict for check in checks}
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts == {"pass"} else "unknown"
