"""Schedules in which one instance of a stage fails where the others do not: it gets no tasks for a while."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.simulation.test_ring import plan

from squall.chaos.plan.schedule import Interval
from squall.chaos.simulation.outcome import Outcome, outcome

pytestmark = pytest.mark.simulation

EJECT_S = 6.0
TOGETHER = {"agents": 12, "eject_s": EJECT_S, "drain_s": 3.0}
"""Three instances of each of four stages, of which one may be left out at a time."""

SEEDS = (1, *(pytest.param(seed, marks=pytest.mark.everything) for seed in (2, 3)))

FAILS = Interval(fault="errors", target="agent-3", at_s=1.0, for_s=24.0)


def told(run: Path, op: str) -> list[dict[str, object]]:
    lines = [msgspec.json.decode(line) for line in (run / "history.jsonl").read_bytes().splitlines()]
    return [line for line in lines if line["op"] == op]


def run(path: Path, seed: int, *intervals: Interval, **more: object) -> Outcome:
    whole = plan((FAILS, *intervals), tasks=700, quiet_s=8.0, **{**TOGETHER, **more})
    return outcome(whole, seed, out=path)


@pytest.mark.parametrize("order", ["strict", "relaxed"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_one_that_fails_is_left_out_and_comes_back(seed: int, order: str, tmp_path: Path) -> None:
    found = run(tmp_path / "run", seed, order=order)
    assert found.verdict == "pass", found
    assert {"R2", "R7", "R9", "E1", "L1"} <= {*found.passed}
    out = told(tmp_path / "run", "eject")
    assert {line["agent"] for line in out} == {"agent-3"}
    # It fails on when it is back, and is left out for longer.
    spans = [(line["for_s"], line["times"]) for line in out]
    assert spans[:2] == [(EJECT_S, 1), (2 * EJECT_S, 2)]
    owners = [line["owners"] for line in told(tmp_path / "run", "owners") if line["stage"] == 3]
    had = ["agent-3" in each and bool(each["agent-3"]) for each in owners]  # type: ignore[operator, index]
    assert had[0]
    assert any(had[had.index(False) :])  # it came back


def test_a_router_that_dies_leaves_nobody_out_for_good(tmp_path: Path) -> None:
    crash = Interval(fault="crash", target="leader", at_s=0.5, point="router.shrunk")
    found = run(tmp_path / "run", 1, crash)
    assert found.verdict == "pass", found
    assert "R9" in found.passed
    assert len({(line["node"], line["inc"]) for line in told(tmp_path / "run", "eject")}) > 1


def test_where_the_whole_stage_fails_that_is_for_its_breaker(tmp_path: Path) -> None:
    fails = Interval(fault="errors", target="stage-3", at_s=1.0, for_s=10.0)
    found = outcome(plan((fails,), tasks=400, quiet_s=10.0, **TOGETHER), 1, out=tmp_path / "run")
    assert found.verdict == "pass", found
    assert not told(tmp_path / "run", "eject")
    assert "R3" in found.passed
