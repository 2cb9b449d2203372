"""A hub and four spokes, each with the classes of one strategy, by name: each task goes to who can do it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from squall.services.patterns.star import CLASSES
from squall.services.trading.strategies import SIGNALS

pytestmark = pytest.mark.nats

ABLE = {
    f"agent-{number}": [kind for kind in CLASSES if kind.startswith(strategy)]
    for number, strategy in enumerate(SIGNALS, 1)
}
SPEC = {
    "pattern": "star",
    "hubs": 1,
    "agents": 4,
    "tasks": 600,
    "rate_per_s": 300,
    "distribution": "specialised",
    "capabilities": ABLE,
    "pause_leader": False,
}


def test_a_hub_gives_each_task_to_the_spoke_that_can_do_it(squall_run: Any) -> None:
    run = squall_run(SPEC)
    document = run.end()
    assert run.process.returncode == 0
    verdicts = {check["id"]: check["verdict"] for check in document["checks"]}
    assert {verdicts[each] for each in ("S1", "S4", "H7", "E1", "U1", "U2")} == {"pass"}
    assert (document["accepted"], document["lost"], document["duplicated"]) == (600, 0, 0)
    lines = map(json.loads, (run.path / "history.jsonl").read_text().splitlines())
    read_back = [line for line in lines if line["op"] == "final"]
    gifts = {line["task"]: line["to"] for line in read_back if line["what"] == "gift"}
    by_spoke = {line["task"]: line["agent"] for line in read_back if line["what"] == "register"}
    assert len(gifts) == 600
    assert by_spoke == gifts
    assert {*gifts.values()} == {*ABLE}
