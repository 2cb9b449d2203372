"""How long a load must last, by what is done to the swarm; and that one which is over before is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from squall.chaos.cli.setup import runs_of, spec_of
from squall.chaos.plan.bounds import START_S, TAKE_OVER_SLACK_S
from squall.chaos.plan.load import CALM_S, SEEN_S, STEADY_LOOKS, check_load, load_s
from squall.chaos.plan.schedule import Interval, Schedule
from squall.services.errors import SpecError
from squall.services.patterns.hierarchical import HierarchicalSpec

STEADY_S = 3.0
LEASE_S = 1.0
SPEC = HierarchicalSpec(pattern="hierarchical", agents=5, lease_s=LEASE_S)
FOLLOWED_S = LEASE_S + TAKE_OVER_SLACK_S


def held(*intervals: Interval, quiet_s: float = 0.0) -> float:
    """How long the load lasts, without what it takes before anything strikes and after all has recovered."""
    schedule = Schedule(seed=1, quiet_s=quiet_s, intervals=intervals)
    lasts_s = load_s(SPEC, schedule, steady_s=STEADY_S)
    recovers_s = START_S if intervals else 0.0
    return lasts_s - STEADY_LOOKS * STEADY_S - CALM_S - recovers_s


def cut(target: str, at_s: float, for_s: float = 2.0, **more: Any) -> Interval:
    return Interval(fault="refuse", target=target, at_s=at_s, for_s=for_s, **more)


def crash(target: str, at_s: float) -> Interval:
    return Interval(fault="crash", target=target, at_s=at_s)


@pytest.mark.parametrize(
    ("intervals", "lasts_s"),
    [
        ([], 0.0),
        ([cut("gateway", 3.0)], 3.0 + SEEN_S + 2.0 + SEEN_S),
        ([cut("gateway", 3.0), cut("venue", 3.0)], 3.0 + 2 * SEEN_S + 2.0),  # at once
        ([cut("gateway", 3.0), cut("gateway", 3.0)], 3.0 + 2 * (2 * SEEN_S + 2.0)),  # one after the other
        ([cut("any-agent", 0.0)] * 5, 2 * SEEN_S + 2.0),  # each agent once
        ([cut("any-agent", 0.0)] * 6, 2 * (2 * SEEN_S + 2.0)),
        ([cut("all-agents", 0.0), cut("any-agent", 0.0)], 2 * (2 * SEEN_S + 2.0)),
        ([cut("minority", 0.0), cut("minority", 0.0)], 2 * SEEN_S + 2.0),  # two of five, twice
        ([crash("leader", 1.0)], 1.0 + 2 * SEEN_S + FOLLOWED_S),
        ([cut("leader", 1.0, LEASE_S / 2)], 1.0 + 2 * SEEN_S + LEASE_S / 2),  # nobody follows it
        ([cut("standby", 0.0, 2.5)], 2 * SEEN_S + 2.5 + FOLLOWED_S - 2.5),
        ([cut("gateway", 0.0), crash("broker", 1.0)], 2 * SEEN_S + 2.0 + 2 * SEEN_S),
        ([crash("broker", 0.0), cut("gateway", 0.0)], 2 * SEEN_S + 2 * SEEN_S + 2.0),
        ([cut("gateway", 0.0, 5.0, at_end=True), cut("venue", 4.0, 0.0)], 4.0 + 2 * SEEN_S),
    ],
)
def test_what_strikes_the_same_waits_for_each_other(intervals: Sequence[Interval], lasts_s: float) -> None:
    assert held(*intervals) == pytest.approx(lasts_s)


def test_a_schedule_that_asks_for_a_longer_load_has_it() -> None:
    assert held(quiet_s=12.0) == 12.0


def test_exactly_as_many_tasks_as_it_takes_are_enough() -> None:
    schedule = Schedule(seed=1, intervals=(crash("any-agent", 2.0),))
    needed = int(load_s(SPEC, schedule, steady_s=STEADY_S) * 100)
    for tasks, is_enough in ((needed, True), (needed - 1, False)):
        spec = HierarchicalSpec(pattern="hierarchical", agents=5, rate_per_s=100.0, tasks=tasks)
        if is_enough:
            check_load([("seed-1", spec, schedule)], steady_s=STEADY_S)
        else:
            with pytest.raises(SpecError):
                check_load([("seed-1", spec, schedule)], steady_s=STEADY_S)


@pytest.mark.parametrize("pattern", ["hierarchical", "star"])
def test_of_several_runs_the_one_that_needs_most_is_told_with_how_many(pattern: str) -> None:
    runs = runs_of([spec_of(pattern, tasks=400)], [1, 2], [])
    lasts_s = {run.name: load_s(run.spec, run.schedule, steady_s=STEADY_S) for run in runs}
    most = max(runs, key=lambda run: lasts_s[run.name] * run.spec.rate_per_s)
    needed = -int(-lasts_s[most.name] * most.spec.rate_per_s // 1)
    with pytest.raises(SpecError) as caught:
        check_load([(run.name, run.spec, run.schedule) for run in runs], steady_s=STEADY_S)
    assert str(caught.value) == (
        f"tasks = 400 is too few: {most.name} needs {needed:,}, as the load has to last until all is healed, "
        f"{lasts_s[most.name]:.0f} s at {most.spec.rate_per_s:g} a second"
    )
    assert caught.value.exit_code == 2
    assert "leave tasks out" in caught.value.remedy


@pytest.mark.parametrize("pattern", ["hierarchical", "star"])
def test_an_experiment_has_load_enough_unless_somebody_asks_for_less(pattern: str) -> None:
    runs = runs_of([spec_of(pattern)], range(1, 50), [])
    check_load([(run.name, run.spec, run.schedule) for run in runs], steady_s=STEADY_S)
