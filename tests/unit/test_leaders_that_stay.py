"""A leader that is asked to hand over and takes the next term itself, on doctored histories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import Run, T, case_in, good_run

from squall.chaos.judge.checks.hierarchical import coordinator_failover

SAYS = "coordinator-1 was asked to hand over and led again"


def stays(run: Run) -> None:
    """The first leader resigns, and is the one that leads in the next term, too."""
    run.spec.update(pause_leader=False, lease_s=1.0)
    run.drop("fenced")
    run.find("resign", term=2)["time_s"] = T + 3.1
    for op in ("lead", "dispatch"):
        run.find(op, term=10)["node"] = "coordinator-1"
    run.faults[0].update(kind="hand-over", start_s=T + 3.0, end_s=T + 18.0, verified=False)


def resigned(run: Run, at_s: float) -> None:
    run.find("resign", term=2)["time_s"] = T + at_s
    run.faults[0]["start_s"] = T + at_s - 0.1


def stood_down(run: Run, node: str, at_s: float) -> None:
    run.line(at_s, node, "resign", "ok", term=1)


def struck(run: Run, node: str) -> None:
    run.faults.append(
        {"kind": "latency", "target": node, "node": node, "start_s": T + 2.5, "end_s": T + 3.2}
        | {"verified": True}
    )


Doctor = Callable[[Run], Any]

CASES: list[tuple[str, Doctor, bool]] = [
    ("at once", lambda r: None, True),
    ("after a lease in which nobody followed", lambda r: resigned(r, 2.1), True),
    ("before it was asked", lambda r: r.find("resign", term=2).update(time_s=T + 2.1), False),
    ("the standby had just stood down, too", lambda r: stood_down(r, "coordinator-2", 2.8), False),
    ("the standby had stood down long ago", lambda r: stood_down(r, "coordinator-2", 1.9), True),
    ("the standby was held up", lambda r: struck(r, "coordinator-2"), False),
    ("the broker was held up", lambda r: struck(r, "broker"), False),
    ("the standby was just started", lambda r: r.start(3.0, "coordinator-2", 2), False),
    (
        "there is no standby",
        lambda r: setattr(r, "nodes", [n for n in r.nodes if n["node"] != "coordinator-2"]),
        False,
    ),
    ("nobody had asked", lambda r: r.faults.clear(), False),
]


@pytest.mark.parametrize(("what", "doctor", "told"), CASES, ids=[what for what, _, _ in CASES])
def test_a_leader_that_leads_again(what: str, doctor: Doctor, told: bool, tmp_path: Path) -> None:
    run = good_run()
    stays(run)
    doctor(run)
    found = coordinator_failover(case_in(run.write(tmp_path)))
    assert (SAYS in found.detail.lower()) is told, found.detail
    assert found.verdict == "fail" if told else True, found.detail
