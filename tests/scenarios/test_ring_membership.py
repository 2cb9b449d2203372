"""Instances of a ring join and leave under load, and no key is reordered, and no lane has two owners."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.nats, pytest.mark.slow, pytest.mark.everything, pytest.mark.timeout(400)]

JOINS = 10
FIRST_S, EVERY_S = 2.0, 7.0
OWN = ("R1", "R2", "R7", "E1")

SPEC = {
    "pattern": "ring",
    "agents": 8,
    "rate_per_s": 25,
    "tasks": 2200,
    "pause_leader": False,
    "joins_at_s": [FIRST_S + EVERY_S * n for n in range(JOINS)],
    "leaves_at_s": [FIRST_S + EVERY_S * (n + 0.5) for n in range(JOINS)],
}
"""Each time one joins, and the newest leaves; a change waits for the one before it."""


def test_instances_join_and_leave_twenty_times_and_all_stays_in_order(squall_run: Any) -> None:
    run = squall_run(SPEC)
    document = run.end(300)
    assert run.process.returncode == 0
    verdicts = {check["id"]: check["verdict"] for check in document["checks"]}
    assert {check: verdicts[check] for check in OWN} == dict.fromkeys(OWN, "pass"), document["checks"]
    changes = [(line["op"], line["agent"]) for op in ("join", "leave") for line in run.lines(op)]
    joined = [agent for op, agent in changes if op == "join"]
    assert len(set(joined)) == JOINS
    assert sorted(agent for op, agent in changes if op == "leave") == sorted(joined)
    had_lanes = {name for line in run.lines("owners") for name, lanes in line["owners"].items() if lanes}
    assert {*joined} <= had_lanes
    worked = {line["node"] for line in run.lines("stage-commit") + run.lines("commit")}
    assert {*joined} & worked
