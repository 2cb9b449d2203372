"""Everything that may die or freeze does, several times under load, and the ledger is the oracle's."""

from __future__ import annotations

import random
import signal
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.nats, pytest.mark.slow, pytest.mark.timeout(600)]

SPEC = {
    "pattern": "hierarchical",
    "tasks": 15000,
    "rate_per_s": 300,
    "ack_wait_s": 1.5,
    "lease_s": 1.0,
    "pause_leader": False,
}
ROUNDS = 3
FROZEN_S = 2.5
"""Longer than the ack wait and the lease."""


def shoot(run: Any, seed: int) -> dict[str, int]:
    """Three rounds of every shot, in an order drawn from the seed; how often each hit."""
    chance = random.Random(f"{seed}/shots")
    hits: dict[str, int] = {}
    for _ in range(ROUNDS):
        shots = ["kill agent", "kill gateway", "kill leader", "freeze agent", "freeze leader", "kill broker"]
        chance.shuffle(shots)
        for shot in shots:
            what, role = shot.split()
            node = {"agent": f"agent-{chance.randint(1, 4)}", "leader": leader(run)}.get(role, role)
            before = len(run.lines("commit"))
            if what == "kill":
                hits[shot] = hits.get(shot, 0) + run.signal(node, signal.SIGKILL)
            elif run.signal(node, signal.SIGSTOP):
                frozen = run.nodes()[node]["pid"]
                thaw_s = time.monotonic() + FROZEN_S
                run.wait_for(lambda until=thaw_s: time.monotonic() > until, "the end of a freeze")
                assert run.nodes()[node]["pid"] == frozen
                hits[shot] = hits.get(shot, 0) + run.signal(node, signal.SIGCONT)
            run.wait_for(lambda past=before: len(run.lines("commit")) > past + 50, f"work after {shot}")
    return hits


def leader(run: Any) -> str:
    """Who took over last."""
    return str(run.wait_for(lambda: run.lines("lead"), "a leader")[-1]["node"])


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_doubled_or_changed_whatever_is_shot(
    squall_run: Any, oracle_of: Any, seed: int
) -> None:
    spec = {**SPEC, "seed": seed}
    run = squall_run(spec)
    run.wait_for(lambda: len(run.lines("commit")) > 100, "work")
    hits = shoot(run, seed)
    document = run.end()
    assert all(hits[shot] >= ROUNDS - 1 for shot in hits), hits
    assert len(hits) == 6
    assert (document["offered"], document["accepted"]) == (15000, 15000)
    assert (document["lost"], document["duplicated"], document["conflicting"]) == (0, 0, 0)
    assert document["dead_letters"] == 0
    assert document["refused_writes"] >= 1, "no zombie coordinator tried to write"
    assert document["duplicates_suppressed"] >= 1, "no late commit and no repeat was suppressed"
    checks = {check["id"]: check for check in document["checks"]}
    for name in ("H1", "H2", "H5"):
        assert checks[name]["verdict"] == "pass", checks[name]
    assert checks["H4"]["verdict"] != "fail", checks["H4"]
    assert run.ledger() == oracle_of(spec)
    leads = [line["term"] for line in run.lines("lead")]
    assert len(leads) >= 3
    assert leads == sorted(leads)
    terms = {line["task"]: line["term"] for line in run.lines("final") if line.get("what") == "register"}
    stored = {line["task"]: line["time_s_stored"] for line in run.lines("final") if "time_s_stored" in line}
    crossed = [
        task
        for task, term in terms.items()
        if any(line["term"] > term and line["time_s"] < stored[task] for line in run.lines("lead"))
    ]
    assert crossed, "no task was dispatched under one term and finished under the next"
