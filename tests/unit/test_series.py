"""What holds over a series follows from what held in its runs, and from what they struck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict, replace
from tests.unit.histories import good_run

from squall.chaos.cli.setup import spec_of
from squall.chaos.errors import NotARunError
from squall.chaos.evidence.facts import Asked, Injected, Phase
from squall.chaos.evidence.files import digest_in
from squall.chaos.evidence.model import History
from squall.chaos.evidence.series import Planned, begin, digest, planned_in
from squall.chaos.judge.checks.hierarchical import PROMISES
from squall.chaos.judge.checks.star import PROMISES as STAR
from squall.chaos.judge.coverage import coverage, holes
from squall.chaos.judge.series import SeriesResult, judged_of, series_result
from squall.chaos.judge.succession import SILENCING
from squall.chaos.plan.bounds import take_over_bound_s
from squall.chaos.plan.cells import SEEDS_TO_AN_EFFECT, STRIKES, cells
from squall.chaos.plan.schedule import check
from squall.chaos.plan.series import Plan, further_runs, plans
from squall.chaos.plan.surface import points_of, surface_of
from squall.chaos.plan.varied import is_varied
from squall.chaos.tell.documents import judge_all
from squall.services.errors import SpecError
from squall.services.patterns import pattern_of
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.patterns.star import StarSpec
from squall.services.run.result import Check, Environment, Latency, Recovery, Result, Verdict
from squall.services.run.spec import spec_as

POINTS = points_of("hierarchical")
TO_AN_EFFECT = PROMISES.to_an_effect
ASKED = Asked(pattern="hierarchical", lease_s=1.0)


def result(run: str, **verdicts: Verdict) -> Result:
    absent = dict.fromkeys(Result.__struct_fields__)
    checks = tuple(Check(id=i, name=i.lower(), verdict=v, detail=f"{i} {v}") for i, v in verdicts.items())
    return Result(
        **{
            **absent,
            "run": run,
            "pattern": "hierarchical",
            "latency_ms": Latency(),
            "recovery_s": Recovery(),
            "faults": (),
            "checks": checks,
            "limits": (),
            "environment": Environment(),
        }
    )


def series(*results: Result, planned: tuple[str, ...] | None = None) -> SeriesResult:
    ended = History(phases=(Phase(time_s=5.0, what="healed", bound_s=20.0),))
    judged = [judged_of(each, ended) for each in results]
    runs = tuple(each.run or "" for each in results) if planned is None else planned
    return series_result(Planned(runs=runs, all_faults=False), judged)


def idle(run: str, **verdicts: Verdict) -> Result:
    """A result whose unknown checks are of what did not happen."""
    told = result(run, **verdicts)
    checks = tuple(replace(check, exercised=check.verdict != "unknown") for check in told.checks)
    return replace(told, checks=checks)


IDLE = idle("a", H1="pass", H4="unknown")


@pytest.mark.parametrize(
    ("runs", "all_faults", "strict", "over_all", "said"),
    [
        ([IDLE], False, False, "pass", "not exercised"),
        ([IDLE], False, True, "unknown", "unknown"),
        ([IDLE], True, False, "unknown", "unknown"),
        ([idle("a", H1="fail", H4="unknown")], False, False, "fail", "not exercised"),
        ([idle("a", H4="unknown")], False, False, "unknown", "not exercised"),
        ([IDLE, result("b", H1="pass", H4="unknown")], False, False, "unknown", "unknown"),
        ([IDLE, result("b", H1="pass", H4="pass")], False, False, "pass", "pass"),
        ([IDLE, result("b", H1="pass", H4="fail")], False, False, "fail", "fail"),
        ([idle("a", H1="unknown"), result("b", H1="pass")], False, False, "pass", None),
    ],
)
def test_what_a_narrowed_series_did_not_exercise_is_no_matter(
    runs: list[Result], all_faults: bool, strict: bool, over_all: Verdict, said: str | None
) -> None:
    planned = Planned(runs=tuple(each.run or "" for each in runs), all_faults=all_faults, strict=strict)
    ended = History(phases=(Phase(time_s=5.0, what="healed", bound_s=20.0),))
    found = series_result(planned, [judged_of(each, ended) for each in runs])
    assert next((check.said for check in found.checks if check.id == "H4"), None) == said
    assert found.verdict == over_all


@pytest.mark.parametrize(
    ("verdicts", "over_all"),
    [
        ([{"H1": "pass"}, {"H1": "pass"}], "pass"),
        ([{"H1": "pass"}, {"H1": "unknown"}], "unknown"),
        ([{"H1": "unknown"}, {"H1": "fail"}], "fail"),
        ([{"H4": "pass"}, {"H4": "unknown"}], "pass"),
        ([{"H4": "unknown"}, {"H4": "unknown"}], "unknown"),
        ([{"H4": "pass"}, {"H4": "fail"}], "fail"),
        ([{"H1": "pass", "H4": "unknown"}, {"H1": "pass"}], "unknown"),
    ],
)
def test_a_check_of_what_need_not_happen_passes_once_it_has(
    verdicts: list[dict[str, Verdict]], over_all: Verdict
) -> None:
    assert series(*(result(f"run-{n}", **given) for n, given in enumerate(verdicts))).verdict == over_all


def test_a_planned_run_that_is_not_there_leaves_the_verdict_unknown() -> None:
    one = result("seed-1", H1="pass")
    assert series(one).verdict == "pass"
    missed = series(one, planned=("seed-1", "seed-2", "seed-3"))
    assert missed.verdict == "unknown"
    assert (
        missed.checks[-1].detail
        == "1 of 3 planned runs are here and came to their end, not seed-2 and 1 more."
    )
    assert series(result("seed-1", H1="fail"), planned=("seed-1", "seed-2")).verdict == "fail"
    assert series(planned=("seed-1",)).verdict == "unknown"


def test_a_run_that_did_not_come_to_its_end_or_was_put_to_no_check_leaves_the_verdict_unknown() -> None:
    planned = Planned(runs=("seed-1",), all_faults=False)
    one = result("seed-1", H1="pass")
    assert series_result(planned, [judged_of(one, History())]).verdict == "unknown"
    nothing = Check(id="V0", name="checks-exist", verdict="unknown", detail="There are no checks.")
    assert series(one, replace(one, run="seed-2", checks=(nothing,))).verdict == "unknown"


def test_recovery_is_over_the_runs_that_could_be_timed_and_beside_the_widest_bound() -> None:
    timed = [(1.0, 0.5, 20.0), (None, 2.5, 25.0), (3.0, None, 21.0), (1.5, 0.5, 20.0)]
    judged = [
        judged_of(
            replace(result(f"run-{n}"), recovery_s=Recovery(detect=detect, drain=drain)),
            History(asked=ASKED, phases=(Phase(time_s=5.0, what="healed", bound_s=bound_s),)),
        )
        for n, (detect, drain, bound_s) in enumerate(timed)
    ]
    recovered = series_result(Planned(runs=(), all_faults=False), judged).recovery
    assert [asdict(step) for step in recovered] == [
        {
            "pattern": "hierarchical",
            "what": "detect",
            "runs": 3,
            "median_s": 1.5,
            "slowest_s": 3.0,
            "bound_s": 3.0,
        },
        {
            "pattern": "hierarchical",
            "what": "fail-over",
            "runs": 0,
            "median_s": None,
            "slowest_s": None,
            "bound_s": 3.0,
        },
        {
            "pattern": "hierarchical",
            "what": "drain",
            "runs": 3,
            "median_s": 0.5,
            "slowest_s": 2.5,
            "bound_s": 25.0,
        },
    ]


def test_a_series_is_of_the_runs_that_were_planned_in_its_directory(tmp_path: Path) -> None:
    assert planned_in(tmp_path) is None
    planned = Planned(runs=("seed-1", "seed-2"), all_faults=False)
    begin(tmp_path, planned)
    assert planned_in(tmp_path) == planned
    with pytest.raises(SpecError, match="holds a series"):
        begin(tmp_path, planned)
    good_run().write(tmp_path / "seed-1")
    there = judge_all(tmp_path, planned)
    assert [run.result.run for run in there] == ["seed-1"]
    (tmp_path / "series.json").write_text('{"runs": ["../elsewhere"], "all_faults": false}')
    with pytest.raises(NotARunError, match="cannot be read"):
        planned_in(tmp_path)


def injected(point: str, kind: str, *, verified: bool = True) -> Injected:
    return Injected(kind=kind, target="leader", start_s=1.0, end_s=2.0, point=point, verified=verified)


def test_only_what_was_verified_covers_a_step() -> None:
    everything = [injected(point, STRIKES[strike]) for point, strike in cells(POINTS)]
    assert holes(coverage([History(faults=tuple(everything))], POINTS), TO_AN_EFFECT) == []
    for missing in TO_AN_EFFECT:
        some = [
            injected(fault.point, fault.kind, verified=(fault.point, fault.kind) != (missing, "pause"))
            for fault in everything
        ]
        hits = coverage([History(faults=tuple(some))], POINTS)
        assert holes(hits, TO_AN_EFFECT) == [(missing, "pause")]
        names = tuple(f"seed-{n}" for n in range(SEEDS_TO_AN_EFFECT))
        struck = History(asked=ASKED, faults=tuple(some))
        judged = [judged_of(result(name, H1="pass"), struck) for name in names]
        checks = series_result(Planned(runs=names, all_faults=True), judged).checks
        covered = next(check for check in checks if check.id == "V1")
        assert (covered.verdict, f"pause at {missing}" in covered.detail) == ("unknown", True)


def test_the_points_to_an_effect_exist() -> None:
    assert set(TO_AN_EFFECT) <= set(POINTS)


def is_missed_for_long(plan: Plan) -> bool:
    """Whether a leader is silent for longer than a take-over may take, so that none is seen."""
    bound_s = take_over_bound_s(plan.spec.lease_s)
    return any(
        interval.fault in SILENCING and interval.target == "leader" and interval.for_s > bound_s
        for interval in plan.schedule.intervals
    )


def test_a_series_of_all_faults_has_further_runs() -> None:
    everything = plans(HierarchicalSpec(), [4, 5], (), further_runs)
    assert [plan.name for plan in everything] == ["seed-4", "seed-5", "poison", "tail", "varied", "outage"]
    further = {plan.name: plan for plan in everything}
    # Agents die of poison, and of nothing else.
    assert {interval.target for interval in further["poison"].schedule.intervals} == {"leader", "producer"}
    last = further["tail"].schedule.intervals
    assert {(interval.target, interval.at_end) for interval in last} == {
        ("leader", True),
        ("gateway", True),
        ("any-agent", True),
    }
    assert is_varied(further["varied"].spec.handler)
    assert max(interval.for_s for interval in further["outage"].schedule.intervals) >= 15.0
    assert all(is_missed_for_long(plan) for plan in everything[:2])
    only = plans(HierarchicalSpec(), [4], [("latency", "")], further_runs)
    assert [plan.name for plan in only] == ["seed-4"]


@pytest.mark.parametrize(
    ("changes", "strategies"),
    [
        ({}, ["round-robin", "specialised"]),
        ({"agents": 1}, ["round-robin", "specialised"]),
        ({"workload": "own", "tasks_from": "tasks.jsonl", "handler": "mine:decide"}, ["round-robin"]),
        ({"distribution": "affinity"}, ["affinity"]),
    ],
)
def test_in_one_further_run_tasks_are_given_out_by_a_strategy_that_the_seed_draws(
    changes: dict[str, Any], strategies: list[str]
) -> None:
    spec = replace(spec_as(spec_of("hierarchical"), HierarchicalSpec), **changes)
    drawn = set()
    for seed in range(40):
        *others, plan = PROMISES.runs(spec, seed)
        assert (plan.name, plan) == ("distributed", PROMISES.runs(spec, seed)[-1])
        assert {each.spec.distribution for each in others} == {spec.distribution}
        assert plan.schedule.intervals
        check(plan.schedule, surface_of(plan.spec))
        pattern_of(plan.spec).check(plan.spec)
        drawn.add(plan.spec.distribution)
    assert sorted(drawn) == strategies


def test_of_a_series_only_the_run_that_is_made_for_it_shows_that_tasks_go_where_they_should() -> None:
    assert of_all_faults(result("seed-1", H7="pass"))["H7"][0] == "unknown"
    assert of_all_faults(result("seed-1"), result("distributed", H7="pass"))["H7"][0] == "pass"


ENDED = History(phases=(Phase(time_s=5.0, what="healed", bound_s=20.0),))


def of_all_faults(*results: Result) -> dict[str, tuple[Verdict, str]]:
    planned = Planned(runs=tuple(each.run or "" for each in results), all_faults=True)
    checks = series_result(planned, [judged_of(each, ENDED) for each in results]).checks
    return {check.id: (check.verdict, check.detail) for check in checks}


@pytest.mark.parametrize(
    ("suppressed", "verdict"),
    [
        ((0, 0), "unknown"),
        ((None, None), "unknown"),
        ((0, 3), "unknown"),
        ((1, 3), "pass"),
        ((3,), "pass"),
        ((0,), "unknown"),
    ],
)
def test_that_nothing_is_done_twice_takes_repeats_in_more_than_one_run_of_a_series_of_all_faults(
    suppressed: tuple[int | None, ...], verdict: Verdict
) -> None:
    runs = [
        replace(result(f"seed-{n}", H2="pass"), duplicates_suppressed=count)
        for n, count in enumerate(suppressed)
    ]
    assert of_all_faults(*runs)["H2"][0] == verdict
    assert series(*runs).verdict == "pass", "of some faults nothing of the kind is asked"
    failing = [replace(each, checks=(replace(each.checks[0], verdict="fail"),)) for each in runs]
    assert of_all_faults(*failing)["H2"][0] == "fail"


def test_a_promise_that_one_run_put_to_the_test_may_have_passed_by_luck() -> None:
    seeds = [result("seed-1", H4="pass"), result("seed-2", H4="unknown")]
    assert of_all_faults(*seeds)["H4"] == (
        "unknown",
        "The promise was put to the test in 1 run only: seed-1.",
    )
    assert of_all_faults(*seeds, result("seed-3", H4="pass"))["H4"][0] == "pass"
    assert of_all_faults(seeds[0], result("tail", H4="unknown"))["H4"][0] == "pass", "there is one seed"
    assert series(*seeds).verdict == "pass", "of some faults nothing of the kind is asked"


def test_a_promise_for_which_a_run_is_made_passes_by_that_one_alone() -> None:
    seeds = [result("hierarchical-seed-1", H5="pass"), result("hierarchical-seed-2", H5="pass")]
    assert of_all_faults(*seeds)["H5"] == (
        "unknown",
        "Only the run poison puts the promise to the test, and did not.",
    )
    assert of_all_faults(*seeds, result("hierarchical-poison", H5="pass"))["H5"][0] == "pass"
    assert of_all_faults(*seeds, result("varied", E2="pass"))["E2"][0] == "pass"


@pytest.mark.parametrize(
    ("digests", "verdict"),
    [({}, "pass"), ({"seed-1": "as planned"}, "pass"), ({"seed-1": "other"}, "unknown")],
)
def test_a_run_of_another_spec_or_schedule_than_planned_is_noticed(
    digests: dict[str, str], verdict: str
) -> None:
    ended = History(phases=(Phase(time_s=5.0, what="healed", bound_s=20.0),))
    planned = Planned(runs=("seed-1",), all_faults=False, digests=digests)
    complete = series_result(planned, [judged_of(result("seed-1", H1="pass"), ended, "as planned")]).checks[
        -1
    ]
    assert (complete.id, complete.verdict) == ("V2", verdict)
    assert ("seed-1 had another spec or schedule" in complete.detail) is (verdict == "unknown")


def test_a_series_that_was_interrupted_says_so() -> None:
    planned = Planned(runs=("seed-1", "seed-2"), all_faults=False, interrupted=True)
    check = series_result(planned, [judged_of(result("seed-1", H1="pass"), History())]).checks[-1]
    assert (check.id, check.verdict) == ("V2", "unknown")
    assert check.detail.endswith("; the series was interrupted.")


def test_the_digest_of_a_directory_is_that_of_what_was_planned(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text("seed = 1\n")
    assert digest_in(tmp_path) == ""
    (tmp_path / "schedule.toml").write_text("seed = 1\n")
    assert digest_in(tmp_path) == digest("seed = 1\n", "seed = 1\n")
    assert digest_in(tmp_path) != digest("seed = 1\n", "seed = 2\n")


def test_several_patterns_are_told_apart(tmp_path: Path) -> None:
    ended = History(asked=ASKED, phases=(Phase(time_s=5.0, what="healed", bound_s=20.0),))
    other = replace(result("other-seed-1", H1="unknown"), pattern="other")
    runs = [judged_of(result("hierarchical-seed-1", H1="pass"), ended), judged_of(other, History())]
    planned = Planned(runs=("hierarchical-seed-1", "other-seed-1"), all_faults=False)
    found = [(c.pattern, c.id, c.verdict) for c in series_result(planned, runs).checks]
    assert found == [("hierarchical", "H1", "pass"), ("other", "H1", "unknown"), ("", "V2", "unknown")]


@pytest.mark.parametrize(("agents", "hubs"), [(1, 1), (2, 2), (6, 1), (12, 5)])
def test_each_further_run_of_a_star_can_strike_it_however_small_it_is(agents: int, hubs: int) -> None:
    spec = StarSpec(agents=agents, hubs=hubs)
    further = STAR.runs(spec, 1)
    assert [plan.name for plan in further] == ["poison", "tail", "varied", "outage", "changes", "no-hub"]
    for plan in further:
        check(plan.schedule, surface_of(plan.spec))
        assert plan.name == "poison" or plan.schedule.intervals
