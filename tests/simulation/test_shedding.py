"""Schedules of stages that are left alone for long while more comes in: the oldest are shed, and told of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


POINTS = {"drop-oldest": ("router.shed",), "divert": ("router.copied", "router.shed")}
"""Between which two steps a router can die: it has set one aside, it has written its register."""


def struck(fault: str, for_s: float, point: str = "router.shed") -> tuple[Interval, ...]:
    return (FAILS, Interval(fault=fault, target="leader", at_s=5.0, for_s=for_s, point=point))


def lines_of(run: Path, op: str) -> list[dict[str, Any]]:
    lines = [msgspec.json.decode(line) for line in (run / "history.jsonl").read_bytes().splitlines()]
    return [line for line in lines if line["op"] == op]


@pytest.mark.parametrize("order", ["strict", "relaxed"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("shed", "point"), [(shed, point) for shed in POINTS for point in POINTS[shed]])
def test_the_oldest_are_shed_and_told_of_though_the_router_dies_in_between(
    shed: str, point: str, order: str, seed: int, tmp_path: Path
) -> None:
    whole = plan(
        struck("crash", 0.0, point), tasks=460, quiet_s=14.0, order=order, shed=shed, backlog_max=MARK
    )
    found = outcome(whole, seed, out=tmp_path / "run")
    assert found.verdict == "pass", found
    assert {"R2", "R8", "L1", "E1"} <= {*found.passed}
    assert found.faults == 3  # both instances of the stage, and the router
    told = [line for line in lines_of(tmp_path / "run", "shed") if line["type"] == "ok"]
    assert len({line["task"] for line in told}) == len(told) > MARK
    for node in ("router-1", "router-2"):
        places = [line["seq"] for line in told if line["node"] == node]
        assert places == sorted(places)
    if shed == "divert":
        aside = [line for line in lines_of(tmp_path / "run", "final") if line["what"] == "diverted"]
        assert {line["task"] for line in told} <= {line["task"] for line in aside}
        assert len({line["task"] for line in aside}) == len(aside)


@pytest.mark.parametrize(("shed", "point"), [(shed, point) for shed in POINTS for point in POINTS[shed]])
def test_a_router_that_is_deposed_in_between_sheds_nothing_that_its_successor_has_not(
    shed: str, point: str
) -> None:
    whole = plan(struck("pause", 9.0, point), tasks=460, quiet_s=20.0, shed=shed, backlog_max=MARK)
    found = outcome(whole, 1)
    assert found.verdict == "pass", found
    assert "R8" in found.passed


def test_what_does_not_come_to_the_mark_is_not_shed() -> None:
    found = outcome(plan((FAILS,), tasks=300, quiet_s=14.0, shed="drop-oldest", backlog_max=1000), 1)
    assert not found.failed, found
    assert "R8" not in found.passed
    assert {"R2", "E1"} <= {*found.passed}


def test_where_no_more_can_be_set_aside_all_waits_and_nothing_is_lost(tmp_path: Path) -> None:
    room = {"shed": "divert", "backlog_max": MARK, "diverted_bytes_max": 64 * 1024}
    found = outcome(plan((FAILS,), tasks=460, quiet_s=14.0, **room), 1, out=tmp_path / "run")
    assert found.verdict == "pass", found
    assert {"R2", "R8", "E1"} <= {*found.passed}
    copied = lines_of(tmp_path / "run", "divert")
    refused = [line for line in copied if line["type"] == "fail"]
    assert "maximum bytes exceeded" in refused[0]["reason"]
    after = [line["waiting"] for line in lines_of(tmp_path / "run", "waiting") if line["stage"] == 3]
    assert max(after) > 3 * MARK
    assert [line["type"] for line in copied] == ["ok"] * (len(copied) - 1) + ["fail"]


@pytest.mark.parametrize("name", ["sheds-what-runs", "sheds-unrecorded"])
def test_who_sheds_wrongly_is_caught(name: str) -> None:
    (variant,) = (each for each in catalogue_of("ring").mutants if each.name == name)
    good = plan(variant.intervals, tasks=240, quiet_s=12.0, **variant.setting)
    bad = outcome(msgspec.structs.replace(good, preload=variant.module), 1)
    assert {check.id for check in bad.failed} & {*variant.checks}, bad
