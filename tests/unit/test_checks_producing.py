"""U1 of producers: tasks are due at the pace that was asked for, from soon after each start."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.histories import Run, T, case_in, good_run

from squall.chaos.judge.checks.explained import nothing_unexplained
from squall.chaos.judge.checks.producing import BEGIN_S
from squall.chaos.judge.decide import Finding

RATE_PER_S = 10.0


def offered(*due_s: float, started_s: float = 5.0) -> Run:
    """A second start of the producer after a crash, with what it offers, ten tasks a second asked for."""
    run = good_run()
    run.faults = [
        {"kind": "crash", "target": "producer", "node": "producer", "start_s": T + started_s - 0.5,
         "end_s": T + started_s - 0.5, "verified": True}
    ]  # fmt: skip
    run.spec["rate_per_s"] = RATE_PER_S
    run.rows = [row for row in run.rows if row["op"] != "submit"]
    run.start(started_s, "producer", 2)
    for place, at_s in enumerate(due_s):
        run.submit(at_s, f"b-{place}", inc=2)
    return run


def judged(run: Run, path: Path) -> Finding:
    return nothing_unexplained(case_in(run.write(path)))


def test_tasks_that_are_due_at_the_pace_pass(tmp_path: Path) -> None:
    found = judged(offered(6.0, 6.1, 6.2, 6.3), tmp_path)
    assert found.verdict == "pass", found.detail


@pytest.mark.parametrize("due_s", [(6.0, 6.2), (6.0, 6.1, 6.11, 6.3)])
def test_tasks_that_are_due_further_apart_fail(due_s: tuple[float, ...], tmp_path: Path) -> None:
    found = judged(offered(*due_s), tmp_path)
    assert found.verdict == "fail"
    assert "tasks of start 2 of producer were due up to 0." in found.detail.lower()
    assert "s apart, where 0.100 s was asked for" in found.detail


def test_a_producer_whose_clock_was_moved_tells_nothing_of_its_pace(tmp_path: Path) -> None:
    run = offered(6.0, 6.5)
    run.faults.append({**run.faults[0], "kind": "clock-off"})
    assert "apart" not in judged(run, tmp_path).detail


def test_a_start_that_is_due_to_submit_nothing_for_long_fails(tmp_path: Path) -> None:
    begun_s = 5.0 + BEGIN_S + 0.5
    found = judged(offered(begun_s, begun_s + 0.1), tmp_path)
    assert (found.verdict, "submit nothing for its first 5.5 s" in found.detail) == ("fail", True), (
        found.detail
    )
