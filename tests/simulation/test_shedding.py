"""Schedules of stages that are left alone for long while more comes in: the oldest are shed, and told of."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.simulation.test_ring import plan

from squall.chaos.mutants.catalogues import catalogue_of
from squall.chaos.plan.schedule import Interval
from squall.chaos.simulation.outcome import outcome

pytestmark = pytest.mark.simulation

SEEDS = (1, *(pytest.param(seed, marks=pytest.mark.everything) for seed in (2, 3)))

FAILS = Interval(fault="errors", target="stage-3", at_s=0.5, for_s=12.0)
MARK = 30


def struck(fault: str, for_s: float) -> tuple[Interval, ...]:
    return (FAILS, Interval(fault=fault, target="leader", at_s=5.0, for_s=for_s, point="router.shed"))


@pytest.mark.parametrize("order", ["strict", "relaxed"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_oldest_are_shed_and_told_of_though_the_router_dies_in_between(
    order: str, seed: int, tmp_path: Path
) -> None:
    whole = plan(
        struck("crash", 0.0), tasks=460, quiet_s=14.0, order=order, shed="drop-oldest", backlog_max=MARK
    )
    found = outcome(whole, seed, out=tmp_path / "run")
    assert found.verdict == "pass", found
    assert {"R2", "R8", "L1", "E1"} <= {*found.passed}
    assert found.faults == 3  # both instances of the stage, and the router
    lines = [msgspec.json.decode(line) for line in (tmp_path / "run/history.jsonl").read_bytes().splitlines()]
    shed = [line for line in lines if line["op"] == "shed"]
    assert len({line["task"] for line in shed}) == len(shed) > MARK
    for node in ("router-1", "router-2"):
        places = [line["seq"] for line in shed if line["node"] == node]
        assert places == sorted(places)


def test_a_router_that_is_deposed_in_between_sheds_nothing_that_its_successor_has_not() -> None:
    whole = plan(struck("pause", 9.0), tasks=460, quiet_s=20.0, shed="drop-oldest", backlog_max=MARK)
    found = outcome(whole, 1)
    assert found.verdict == "pass", found
    assert "R8" in found.passed


def test_what_does_not_come_to_the_mark_is_not_shed() -> None:
    found = outcome(plan((FAILS,), tasks=300, quiet_s=14.0, shed="drop-oldest", backlog_max=1000), 1)
    assert not found.failed, found
    assert "R8" not in found.passed
    assert {"R2", "E1"} <= {*found.passed}


@pytest.mark.parametrize("name", ["sheds-what-runs", "sheds-unrecorded"])
def test_who_sheds_wrongly_is_caught(name: str) -> None:
    (variant,) = (each for each in catalogue_of("ring").mutants if each.name == name)
    good = plan(variant.intervals, tasks=240, quiet_s=12.0, **variant.setting)
    bad = outcome(msgspec.structs.replace(good, preload=variant.module), 1)
    assert {check.id for check in bad.failed} & {*variant.checks}, bad
