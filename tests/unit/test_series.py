"""What holds over a series follows from what held in its runs, and from what they struck."""

from __future__ import annotations

import pytest
from msgspec.structs import asdict, replace

from squall.chaos.checks.verdict import NAMES
from squall.chaos.coverage import TO_AN_EFFECT, coverage, holes, rows
from squall.chaos.evidence import Asked, History, Injected, Phase
from squall.chaos.schedule import CELLS, STRIKES
from squall.chaos.series import checks_of, plans, recoveries_of, verdict_of
from squall.services.points import POINTS
from squall.services.result import Check, Environment, Latency, Recovery, Result, Verdict
from squall.services.spec import Spec


def result(run: str, **verdicts: Verdict) -> Result:
    absent = dict.fromkeys(Result.__struct_fields__)
    checks = tuple(Check(id=i, name=NAMES[i], verdict=v, detail=f"{i} {v}") for i, v in verdicts.items())
    return Result(
        **{
            **absent,
            "run": run,
            "latency_ms": Latency(),
            "recovery_s": Recovery(),
            "faults": (),
            "checks": checks,
            "limits": (),
            "environment": Environment(),
        }
    )


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
    checks = checks_of([result(f"run-{n}", **given) for n, given in enumerate(verdicts)], None)
    assert verdict_of(checks) == over_all


def test_recovery_is_over_the_runs_that_could_be_timed_and_beside_the_widest_bound() -> None:
    results = [
        replace(result(f"run-{n}"), recovery_s=Recovery(detect=detect, drain=drain))
        for n, (detect, drain) in enumerate([(1.0, 0.5), (None, 2.5), (3.0, None), (1.5, 0.5)])
    ]
    healed = [Phase(time_s=5.0, what="healed", bound_s=bound_s) for bound_s in (20.0, 25.0)]
    histories = [History(asked=Asked(lease_s=1.0), phases=(phase,)) for phase in healed]
    assert [asdict(each) for each in recoveries_of(results, histories)] == [
        {"what": "detect", "runs": 3, "median_s": 1.5, "slowest_s": 3.0, "bound_s": 3.0},
        {"what": "fail-over", "runs": 0, "median_s": None, "slowest_s": None, "bound_s": 3.0},
        {"what": "drain", "runs": 3, "median_s": 0.5, "slowest_s": 2.5, "bound_s": 25.0},
    ]


def test_a_series_of_nothing_is_unknown() -> None:
    assert verdict_of(checks_of([], None)) == "unknown"


def injected(point: str, kind: str, *, verified: bool = True) -> Injected:
    return Injected(kind=kind, target="leader", start_s=1.0, end_s=2.0, point=point, verified=verified)


def test_only_what_was_verified_covers_a_step() -> None:
    everything = [injected(point, STRIKES[strike]) for point, strike in CELLS]
    assert holes(coverage([History(faults=tuple(everything))])) == []
    for missing in TO_AN_EFFECT:
        some = [
            injected(fault.point, fault.kind, verified=(fault.point, fault.kind) != (missing, "pause"))
            for fault in everything
        ]
        hits = coverage([History(faults=tuple(some))])
        assert holes(hits) == [(missing, "pause")]
        covered = checks_of([], hits)[0]
        assert (covered.id, covered.verdict) == ("C1", "unknown")
    assert [row[0] for row in rows(coverage([]))] == list(POINTS)


def test_the_points_to_an_effect_exist() -> None:
    assert set(TO_AN_EFFECT) <= set(POINTS)


def test_a_series_of_all_faults_has_a_run_with_poison() -> None:
    everything = plans(Spec(), [4, 5], ())
    assert [plan.name for plan in everything] == ["seed-4", "seed-5", "poison"]
    assert everything[-1].schedule.intervals == ()
    only = plans(Spec(), [4], [("latency", "")])
    assert [plan.name for plan in only] == ["seed-4"]
