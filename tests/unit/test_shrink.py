"""A schedule that fails shrinks to what it takes to fail, and becomes a test."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.chaos.inject.schedule_file import parse
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.plan.series import EXPERIMENT
from squall.chaos.plan.shrink import as_test, ddmin, often_enough, shrink, within
from squall.services.patterns.hierarchical import HierarchicalSpec


@given(st.sets(st.integers(0, 30), min_size=1, max_size=31), st.data())
def test_delta_debugging_leaves_what_it_takes_and_no_more(items: set[int], data: st.DataObject) -> None:
    everything = sorted(items)
    needed = set(data.draw(st.lists(st.sampled_from(everything), min_size=1, max_size=4)))
    left = ddmin(everything, lambda some: needed <= set(some))
    assert set(left) == needed


def schedule(*intervals: Interval) -> Schedule:
    return Schedule(seed=1, intervals=intervals)


BIG = schedule(
    *(Interval(fault="latency", target="any-agent", at_s=at_s, for_s=2.0) for at_s in range(5)),
    Interval(fault="pause", target="all-agents", at_s=1.0, for_s=3.2),
    Interval(fault="crash", target="gateway", at_s=2.0),
    Interval(fault="refuse", target="leader", at_s=3.0, for_s=1.0),
)


def test_kinds_targets_and_times_shrink() -> None:
    def fails(tried: Schedule) -> bool:
        return any(i.fault == "pause" and i.for_s >= 0.8 for i in tried.intervals)

    assert shrink(BIG, fails).intervals == (Interval(fault="pause", target="any-agent", at_s=1.0, for_s=0.8),)


def test_a_budget_that_is_spent_ends_the_search() -> None:
    assert shrink(BIG, within(lambda tried: True, 0.0, lambda: 1.0)) == BIG


@pytest.mark.parametrize(
    ("outcomes", "failing", "tries"),
    [([True, True], True, 2), ([True, False, True], True, 3), ([False, False], False, 2)],
)
def test_chance_is_asked_as_often_as_it_takes(outcomes: list[bool], failing: bool, tries: int) -> None:
    answers = iter(outcomes)
    asked: list[Schedule] = []

    def fails(tried: Schedule) -> bool:
        asked.append(tried)
        return next(answers)

    judged: Callable[[Schedule], bool] = often_enough(fails)
    assert judged(BIG) is failing
    assert len(asked) == tries


def test_it_is_written_as_a_test_that_carries_the_same_schedule(tmp_path: Path) -> None:
    text = as_test(BIG, HierarchicalSpec(seed=9, agents=3), "H1", "no-loss", experiment=EXPERIMENT)
    module = ast.parse(text)
    assigned = next(node for node in module.body if isinstance(node, ast.Assign))
    assert isinstance(assigned.value, ast.Constant)
    assert parse(str(assigned.value.value), HierarchicalSpec(agents=3)) == BIG
    function = next(node for node in module.body if isinstance(node, ast.AsyncFunctionDef))
    assert function.name == "test_no_loss_holds"
    assert "pattern='hierarchical', seed=9, agents=3" in text
