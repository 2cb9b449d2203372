"""The count of duplicates can rise: a venue that fills whatever comes, and a gateway that dies."""

from __future__ import annotations

import signal
from typing import Any

import pytest

pytestmark = [pytest.mark.nats, pytest.mark.slow]

SPEC = {
    "pattern": "hierarchical",
    "tasks": 6000,
    "rate_per_s": 500,
    "ack_wait_s": 1.0,
    "venue": "dumb",
    "pause_leader": False,
}


def kill_the_gateway(run: Any, times: int) -> None:
    """Kill it again and again, each time once it has delivered something."""
    for _ in range(times):
        before = len(run.lines("deliver"))
        run.wait_for(lambda past=before: len(run.lines("deliver")) > past + 2, "deliveries")
        run.signal("gateway", signal.SIGKILL)


def test_a_dumb_venue_shows_duplicates_and_the_run_fails(squall_run: Any) -> None:
    run = squall_run(SPEC)
    kill_the_gateway(run, 6)
    document = run.end()
    assert document["duplicated"] > 0
    assert run.process.returncode == 1
    assert next(c for c in document["checks"] if c["id"] == "H2")["verdict"] == "fail"


def test_the_same_kills_at_a_real_venue_double_nothing(squall_run: Any, oracle_of: Any) -> None:
    spec = {**SPEC, "venue": "idempotent"}
    run = squall_run(spec)
    kill_the_gateway(run, 6)
    document = run.end()
    assert (document["duplicated"], document["lost"]) == (0, 0)
    assert run.ledger() == oracle_of(spec)
