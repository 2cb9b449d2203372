"""Schedules of stages in a row: all checks pass, lanes move, and what breaks a promise is seen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from squall.bus import lane_moves
from squall.chaos.cli.setup import spec_of
from squall.chaos.judge.checks.ring import MOVING, STEPS, runs
from squall.chaos.mutants.catalogues import catalogue_of
from squall.chaos.plan.cells import STRIKES
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.simulation.outcome import Plan, outcome

pytestmark = pytest.mark.simulation

FAILING = (
    Interval(fault="errors", target="stage-3", at_s=0.5, for_s=8.0),
    Interval(fault="crash", target="leader", at_s=0.7, point="router.paused"),
    Interval(fault="pause", target="agent-2", at_s=11.0, for_s=6.0),
    Interval(fault="crash", target="leader", at_s=12.4, point="router.shrunk"),
)
"""A stage fails, and the router dies once it has paused it; an instance is silent for so long that its lanes
go to the other, and the router dies between two steps."""


SEEDS_MAX = 3
"""In so many a variant is caught, by a check of its own."""


def plan(intervals: tuple[Interval, ...], *, tasks: int, quiet_s: float, **changes: Any) -> Plan:
    spec = spec_of("ring", tasks_of_load=tasks, rate_per_s=20.0, **changes)
    return Plan(spec=spec, schedule=Schedule(seed=1, intervals=intervals, quiet_s=quiet_s), is_drawn=False)


@pytest.mark.parametrize("order", ["strict", "relaxed"])
def test_stages_that_fail_and_lanes_that_move_keep_every_promise_though_routers_die(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: Counter[str] = Counter()
    take = lane_moves.take

    async def counted(connection: Any, queue: Any, step: Any, epoch: int) -> bool:
        steps[type(step).__name__] += 1
        return await take(connection, queue, step, epoch)

    monkeypatch.setattr(lane_moves, "take", counted)
    found = outcome(plan(FAILING, tasks=460, quiet_s=21.0, order=order, absent_s=2.0, drain_s=3.0), 1)
    assert found.verdict == "pass", found
    assert {"R2", "R3", "R4", "E1", "L2", "U1", "U2"} <= {*found.passed}
    assert ("R1" in found.passed) == (order == "strict")
    assert {"Shrink", "Make", "Remove"} <= {*steps}
    assert found.faults >= 4  # one of the routers at least


@pytest.mark.parametrize("point", STEPS)
def test_instances_leave_and_join_again_though_the_router_dies_at_each_step(point: str) -> None:
    intervals = (
        Interval(fault="crash", target="leader", at_s=0.9, point=point),
        Interval(fault="leave", target="agent-2", at_s=1.0, for_s=5.0),
        Interval(fault="leave", target="agent-7", at_s=9.0, for_s=4.0),
        Interval(fault="crash", target="leader", at_s=12.9, point=point),  # as it comes back
    )
    found = outcome(plan(intervals, tasks=400, quiet_s=4.0), 1)
    assert found.verdict == "pass", found
    assert {"R1", "R2", "R7", "E1"} <= {*found.passed}
    assert found.faults == len(intervals)


def test_the_moving_run_strikes_the_router_at_each_step_in_every_way() -> None:
    of_series = next(each for each in runs(spec_of("ring"), 1) if each.name == MOVING)
    struck = {(each.point, each.fault) for each in of_series.schedule.intervals if each.point}
    assert struck == {(point, fault) for point in STEPS for fault in STRIKES.values()}


@pytest.mark.parametrize(
    "name",
    [
        "begins-out-of-turn",
        "half-open-lets-all-through",
        "sheds-newest",
        "diverts-before-copying",
        *(
            pytest.param(each.name, marks=pytest.mark.everything)
            for each in catalogue_of("ring").mutants
            if ".ring." in each.module
        ),
    ],
)
def test_a_known_bad_variant_is_caught_by_a_check_that_is_its_own(name: str) -> None:
    (variant,) = (each for each in catalogue_of("ring").mutants if each.name == name)
    good = plan(variant.intervals, tasks=240, quiet_s=12.0, **variant.setting)
    for seed in range(1, SEEDS_MAX + 1):
        assert outcome(good, seed).verdict == "pass"
        bad = outcome(msgspec.structs.replace(good, preload=variant.module), seed)
        if {check.id for check in bad.failed} & {*variant.checks}:
            return
    raise AssertionError(f"not in {SEEDS_MAX} seeds: {bad}")
