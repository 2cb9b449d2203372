"""Closed stages as a real swarm: half of the tasks go round, and who goes round too often is dead."""

from __future__ import annotations

from typing import Any

import pytest

from squall.services.trading import rounds

pytestmark = [pytest.mark.nats, pytest.mark.slow, pytest.mark.everything, pytest.mark.timeout(120)]

TASKS, KEYS, MOST = 160, 10, 3
OWN = ("R1", "R2", "R6", "E1")

SPEC = {
    "pattern": "ring",
    "agents": 8,
    "rate_per_s": 40,
    "tasks": TASKS,
    "pause_leader": False,
    "closed": True,
    "laps_max": MOST,
    "stages": [*rounds.STAGES],
}


def test_tasks_go_round_as_often_as_they_may_and_no_more(squall_run: Any) -> None:
    run = squall_run(SPEC)
    document = run.end(60)
    assert run.process.returncode == 0
    verdicts = {check["id"]: check["verdict"] for check in document["checks"]}
    assert {check: verdicts[check] for check in OWN} == dict.fromkeys(OWN, "pass"), document["checks"]
    laps = {n: rounds.laps_of(n) for n in range(1, TASKS // KEYS + 1)}
    went = [line for line in run.lines("final") if line["what"] == "round"]
    assert len(went) == KEYS * sum(min(made, MOST) - 1 for made in laps.values())
    ended = [line for line in run.lines("final") if line["what"] == "register"]
    dead = {line["task"] for line in ended if line["status"] == "dead"}
    assert {int(task.rpartition("-")[2]) for task in dead} == {n for n, made in laps.items() if made > MOST}
    assert all(line["reason"].startswith("hop bound") for line in ended if line["task"] in dead)
