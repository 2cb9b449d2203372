"""What the check of instances that are left out says of a good history, and of doctored ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.histories import Run, T, case_in
from tests.unit.test_checks_ring import good_run
from tests.unit.test_checks_ring_breakers import attempt
from tests.unit.test_checks_ring_lanes import lanes, look

from squall.chaos.judge.checks.ring_ejection import HEARD_S, SLACK_S, ejection, ejects
from squall.chaos.judge.decide import Finding
from squall.services.rules.ejection import ROW

DRAIN_S = 3.0
THIRDS = {"agent_3": lanes(range(33)), "agent_7": lanes(range(33, 66)), "agent_11": lanes(range(66, 100))}
HALVES = {"agent_7": lanes(range(50)), "agent_11": lanes(range(50, 100))}


def left_out(run: Run, at_s: float, agent: str, for_s: float = 20.0, times: int = 1) -> None:
    run.line(at_s, "router-1", "eject", "ok", stage=3, agent=agent, for_s=for_s, times=times)


def ejecting_run() -> Run:
    """Three instances a stage; one of the third fails, is left out at 40, and its lanes are gone at 41."""
    run = good_run()
    run.spec |= {"agents": 12, "drain_s": DRAIN_S}
    for n in range(ROW):
        attempt(run, 30.0 + n, f"x-{n}", "failed")
    look(run, 0.0, 3, **THIRDS)
    left_out(run, 40.0, "agent-3")
    look(run, 41.0, 3, **HALVES)
    return run


def found(run: Run, tmp_path: Path) -> Finding:
    closing = run.find("final", what="complete")
    for row in run.rows:
        if row["op"] == "final":  # it is read back when all is over
            row["time_s"] = T + 80.0
    run.rows.sort(key=lambda row: (row is closing, row["time_s"]))
    return ejection(case_in(run.write(tmp_path / "run")))


def test_one_that_fails_and_is_left_out_is_fine(tmp_path: Path) -> None:
    finding = found(ejecting_run(), tmp_path)
    assert "1 times an instance was left out" in finding.detail
    assert finding.verdict != "fail", finding


def ended_well_in_between(run: Run) -> None:
    attempt(run, 32.5, "y-1", "ok")


def ended_well_at_last(run: Run) -> None:
    attempt(run, 40.0 - HEARD_S - 0.5, "y-1", "ok")


def another(run: Run) -> None:
    for n in range(ROW):
        attempt(run, 30.0 + n, f"z-{n}", "failed", node="agent-7")
    left_out(run, 42.0, "agent-7")


def kept(run: Run) -> None:
    """Its lanes are where they were, and something else changes meanwhile."""
    run.rows = [row for row in run.rows if not (row["op"] == "owners" and row["time_s"] == T + 41.0)]
    look(run, 40.0 + DRAIN_S + SLACK_S + 1.0, 3, **HALVES)


@pytest.mark.parametrize(
    ("doctor", "why"),
    [
        (ended_well_in_between, "after 2 failures in a row, not 5"),
        (ended_well_at_last, "after 0 failures in a row"),
        (another, "2 of 3 instances of stage 3 were left out at a time"),
        (kept, "agent-3 was left out, and had lanes 8 s later"),
    ],
)
def test_who_is_left_out_wrongly_is_told(tmp_path: Path, doctor: Callable[[Run], None], why: str) -> None:
    run = ejecting_run()
    doctor(run)
    finding = found(run, tmp_path)
    assert (finding.verdict, why in finding.detail) == ("fail", True), finding


def test_what_ended_well_since_the_router_heard_of_it_last_is_not_known_to_it(tmp_path: Path) -> None:
    run = ejecting_run()
    attempt(run, 39.5, "y-1", "ok")
    assert "failures in a row, not" not in found(run, tmp_path).detail


def test_a_router_that_was_struck_could_take_no_lanes(tmp_path: Path) -> None:
    run = ejecting_run()
    kept(run)
    run.start(-1.0, "router-1")
    times = {"start_s": T + 40.5, "verified_s": T + 40.5, "end_s": T + 50.0, "healed_s": T + 50.0}
    run.faults.append({"kind": "pause", "target": "leader", "node": "router-1", "verified": True, **times})
    assert "had lanes" not in found(run, tmp_path).detail


def test_two_that_are_left_out_one_after_the_other_are_fine(tmp_path: Path) -> None:
    run = ejecting_run()
    for n in range(ROW):
        attempt(run, 50.0 + n, f"z-{n}", "failed", node="agent-7")
    left_out(run, 61.0, "agent-7")
    assert "at a time" not in found(run, tmp_path).detail


def test_nobody_was_left_out(tmp_path: Path) -> None:
    run = ejecting_run()
    run.rows = [row for row in run.rows if row["op"] != "eject"]
    finding = found(run, tmp_path)
    assert (finding.verdict, finding.exercised) == ("unknown", False)


@pytest.mark.parametrize(
    ("spec", "held"),
    [
        ({"agents": 12}, True),
        ({"agents": 8}, False),
        ({"agents": 12, "eject_s": 0.0}, False),
        ({"agents": 12, "breaker": "off"}, False),
        ({"agents": 8, "joins_at_s": [1.0]}, True),
    ],
)
def test_only_a_swarm_that_may_leave_somebody_out_is_held_to_it(
    tmp_path: Path, spec: dict[str, object], held: bool
) -> None:
    run = ejecting_run()
    run.spec |= spec
    assert ejects(case_in(run.write(tmp_path / "run")).history) is held
