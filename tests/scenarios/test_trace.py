"""``squall trace`` on a run in which an agent was killed over its work."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from squall.chaos.evidence.task import gather
from squall.chaos.tell.trace import Timeline, timeline

pytestmark = [pytest.mark.nats, pytest.mark.slow]

SQUALL = Path(sys.executable).parent / "squall"

SLOW = '''
import asyncio


async def decide(task):
    """Takes long enough to be killed over."""
    await asyncio.sleep(0.3)
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}
'''

SPEC = {
    "pattern": "hierarchical",
    "tasks": 500,
    "rate_per_s": 100,
    "ack_wait_s": 3.0,
    "pause_leader": False,
    "handler": "slow_handler:decide",
}


def trace(run: Path, task: str, *options: str) -> str:
    return subprocess.run(
        [SQUALL, "trace", task, "--run", run, *options], capture_output=True, check=True, text=True
    ).stdout


def traced(run: Path, task: str) -> Timeline:
    evidence = gather(run, task)
    assert evidence is not None
    return timeline(evidence)


def test_both_attempts_of_a_killed_agents_task_are_told(squall_run: Any, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "slow_handler.py").write_text(SLOW)
    run = squall_run(SPEC)
    run.wait_for(lambda: len(run.lines("commit")) > 50, "work")
    run.signal("agent-1", signal.SIGKILL)
    document = run.end()
    assert (document["accepted"], document["lost"], document["duplicated"]) == (500, 0, 0)

    begun: dict[str, list[dict[str, Any]]] = {}
    for line in run.lines("run"):
        begun.setdefault(line["task"], []).append(line)
    task, (first, second) = next(
        (task, lines) for task, lines in begun.items() if len(lines) == 2 and lines[0]["node"] == "agent-1"
    )
    said = trace(run.path, task)
    seen = json.loads(trace(run.path, f"{task}-0", "--json"))
    assert said.splitlines()[-1] == seen["outcome"]
    moments = [(moment["node"], moment["what"]) for moment in seen["moments"]]
    assert ("producer", "due") in moments[:2]
    agent = second["node"]
    assert moments.index((first["node"], "attempt 1 begun")) < moments.index((agent, "attempt 2 begun"))
    assert (agent, "attempt 2 committed") in moments
    assert [node for node, what in moments if what == "register"] == [agent]
    assert [node for node, what in moments if what == "filled"] == ["venue"]
    assert next(node for node, what in moments if what == "dispatched").startswith("coordinator-")
    restarted = run.nodes()["agent-1"]["started_s"] <= seen["moments"][-1]["time_s"]
    assert (("agent-1", "started again") in moments) is restarted
    assert "how attempt 1 by agent-1, incarnation 1, ended" in seen["not_recorded"]
    assert seen["outcome"].startswith("Filled once ")

    fates = Counter(
        traced(run.path, line["task"]).fate for line in run.lines("submit") if line["type"] == "ok"
    )
    assert fates == {"filled": document["effects"]}
    latest = max(float(traced(run.path, task).outcome.split()[2].replace(",", "")) for task in begun)
    assert latest == pytest.approx(document["latency_ms"]["max"], abs=0.1)


def test_a_task_that_the_run_does_not_know_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text(
        '{"time_s":1.0,"node":"producer","inc":1,"i":1,"op":"submit","type":"invoke","task":"a-1","submit_s":1.0}\n'
    )
    ended = subprocess.run(
        [SQUALL, "trace", "a-11", "--run", tmp_path, "--json"], capture_output=True, check=False, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr == f"squall: {tmp_path} knows no task a-11; the nearest are a-1\n"
    assert json.loads(ended.stdout)["error"]["kind"] == "input"
