"""One coordinator, four workers, four strategies: each task goes to the worker that has its strategy."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

pytestmark = pytest.mark.nats

ABLE = {
    "agent-1": ["momentum"],
    "agent-2": ["mean-reversion"],
    "agent-3": ["pairs"],
    "agent-4": ["arbitrage"],
}
SPEC = {
    "pattern": "hierarchical",
    "coordinators": 1,
    "agents": 4,
    "tasks": 600,
    "rate_per_s": 300,
    "distribution": "specialised",
    "capabilities": ABLE,
    "pause_leader": False,
}


def test_four_strategies_over_one_coordinator_and_four_workers(squall_run: Any, oracle_of: Any) -> None:
    run = squall_run(SPEC)
    document = run.end()
    assert run.process.returncode == 0
    verdicts = {check["id"]: check["verdict"] for check in document["checks"]}
    assert {verdicts[each] for each in ("H1", "H2", "H7", "E1", "U1", "U2")} == {"pass"}
    lines = map(json.loads, (run.path / "history.jsonl").read_text().splitlines())
    registers = [line for line in lines if line["op"] == "final" and line["what"] == "register"]
    assert len(registers) == 600
    by_worker = Counter((register["agent"], register["job"]) for register in registers)
    assert {*by_worker} == {(agent, job) for agent, (job,) in ABLE.items()}
    assert min(by_worker.values()) > 100  # a quarter of the accounts has each strategy, about
    assert run.ledger() == oracle_of(SPEC)
