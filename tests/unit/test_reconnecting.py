"""L4 on doctored histories: whoever was refused connections is connected again one pause later, at most."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import Run, T, case_in, good_run

from squall.chaos.judge.checks.reconnecting import BOUND_S, back_in_time, was_refused
from squall.chaos.tell.documents import history_of

Doctor = Callable[[Run], Any]


def refused(run: Run) -> None:
    """The gateway was refused connections for six seconds, and was connected half a second later."""
    run.faults[:] = [
        {"kind": "refuse", "target": "gateway", "node": "gateway", "start_s": T + 6.0, "end_s": T + 12.0}
        | {"verified": True, "healed_s": T + 12.0}
    ]
    run.nodes.append({"node": "nemesis", "role": "nemesis", "incarnation": 1, "started_s": T})
    run.line(5.0, "nemesis", "phase", "ok", what="steady", seconds=3.0)
    run.line(19.0, "nemesis", "phase", "ok", what="healed", bound_s=12.0, backlog=0, faults=0)
    run.line(12.5, "gateway", "link", "ok")
    run.line(19.5, "gateway", "deliver", "ok", orders=1, filled=1, duplicate=0, rejected=0)


def connected(run: Run, at_s: float) -> None:
    run.find("link")["time_s"] = T + at_s


def struck(run: Run, kind: str, node: str, start_s: float) -> None:
    run.faults.append(
        {"kind": kind, "target": node, "node": node, "start_s": T + start_s, "end_s": T + start_s + 0.5}
        | {"verified": True}
    )


CASES: list[tuple[str, Doctor, str, str]] = [
    ("in time", lambda r: None, "pass", "1 time a way that had refused connections was whole again"),
    ("before that was written", lambda r: connected(r, 11.9), "pass", "connected 0.00 s later"),
    (
        "late",
        lambda r: connected(r, 12.0 + BOUND_S + 0.5),
        "fail",
        "gateway was connected 3.50 s after its way was whole again, the bound is 3.00 s",
    ),
    ("never", lambda r: r.drop("link"), "fail", "gateway was not connected again"),
    ("by an earlier link only", lambda r: connected(r, 5.5), "fail", "gateway was not connected again"),
]


@pytest.mark.parametrize(("what", "doctor", "verdict", "says"), CASES, ids=[row[0] for row in CASES])
def test_a_node_that_was_refused(what: str, doctor: Doctor, verdict: str, says: str, tmp_path: Path) -> None:
    run = good_run()
    refused(run)
    doctor(run)
    found = back_in_time(case_in(run.write(tmp_path)))
    assert (found.verdict, says.lower() in found.detail.lower()) == (verdict, True), found.detail


OTHERWISE: list[tuple[str, Doctor]] = [
    ("the broker was away, too", lambda r: struck(r, "pause", "broker", 13.0)),
    ("it was struck otherwise", lambda r: struck(r, "latency", "gateway", 12.2)),
    ("it was started again", lambda r: r.start(12.4, "gateway", 2)),
    ("it ended soon after", lambda r: r.rows.pop()),
    ("that was not verified", lambda r: r.faults[0].update(verified=False)),
    ("nobody was refused", lambda r: r.faults.clear()),
    ("it was no experiment", lambda r: (r.drop("phase"), r.drop("phase"))),
]


@pytest.mark.parametrize(("what", "doctor"), OTHERWISE, ids=[row[0] for row in OTHERWISE])
def test_who_is_not_held_to_it(what: str, doctor: Doctor, tmp_path: Path) -> None:
    run = good_run()
    refused(run)
    assert was_refused(history_of(run.write(tmp_path)))
    doctor(run)
    assert not was_refused(history_of(run.write(tmp_path)))
