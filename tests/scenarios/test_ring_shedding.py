"""A stage of a real ring fails for long while more comes in: the oldest are shed, or set aside, and told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.scenarios.conftest import SQUALL

pytestmark = [pytest.mark.nats, pytest.mark.slow, pytest.mark.everything, pytest.mark.timeout(200)]

MARK = 60

FILE = f"""
pattern = "ring"
rate_per_s = 40.0
tasks = 800
pause_leader = false
shed = "drop-oldest"
backlog_max = {MARK}
"""

SCHEDULE = """
seed = 1
quiet_s = 10.0

[[interval]]
fault = "errors"
target = "stage-3"
at_s = 0.5
for_s = 10.0
"""


def test_the_oldest_of_a_stage_that_fails_are_shed_and_all_is_told(tmp_path: Path) -> None:
    (tmp_path / "swarm.toml").write_text(FILE)
    (tmp_path / "schedule.toml").write_text(SCHEDULE)
    command = [SQUALL, "chaos", "swarm.toml", "--schedule", "schedule.toml", "--out", "out", "--json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=180, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    (history,) = (tmp_path / "out").glob("*/history.jsonl")
    shed = [line for line in map(json.loads, history.read_bytes().splitlines()) if line["op"] == "shed"]
    assert len(shed) > MARK
    assert {line["stage"] for line in shed} == {3}
    assert [line["seq"] for line in shed] == sorted(line["seq"] for line in shed)


HANDLER = """
def decide(task):
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}
"""

ASIDE = f"""
pattern = "ring"
rate_per_s = 40.0
tasks = "tasks.jsonl"
handler = "mine.py:decide"
pause_leader = false
shed = "divert"
backlog_max = {MARK}
"""

TASKS = 3000


def squall(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([SQUALL, *arguments], cwd=folder, capture_output=True, timeout=180, check=False)


@pytest.mark.timeout(500)
def test_what_is_set_aside_is_listed_with_its_reason_and_done_in_a_replay(tmp_path: Path) -> None:
    lines = (json.dumps({"id": f"Order {n}", "key": f"K{n % 10}", "body": {}}) for n in range(TASKS))
    (tmp_path / "tasks.jsonl").write_text("\n".join(lines))
    (tmp_path / "mine.py").write_text(HANDLER)
    (tmp_path / "swarm.toml").write_text(ASIDE)
    (tmp_path / "schedule.toml").write_text(SCHEDULE)
    ended = squall(tmp_path, "chaos", "swarm.toml", "--schedule", "schedule.toml", "--out", "out", "--json")
    (run,) = (path.parent for path in (tmp_path / "out").glob("*/history.jsonl"))
    checks = {check["id"]: check for check in json.loads((run / "result.json").read_bytes())["checks"]}
    assert not [check for check in checks.values() if check["verdict"] == "fail"], ended.stderr.decode()
    assert (checks["R8"]["verdict"], checks["R2"]["verdict"]) == ("pass", "pass"), checks["R8"]
    told = [json.loads(line) for line in (run / "history.jsonl").read_bytes().splitlines()]
    aside = {line["task"] for line in told if line.get("what") == "diverted"}
    assert len(aside) > MARK

    listed = json.loads(squall(tmp_path, "dlq", "list", "--json", "--run", str(run)).stdout)["letters"]
    diverted = {letter["task"]: letter["id"] for letter in listed if "diverted: it was" in letter["reason"]}
    assert {*diverted} == aside
    shown = squall(tmp_path, "dlq", "show", min(diverted.values()), "--run", str(run)).stdout.decode()
    assert "diverted: it was among the oldest of" in shown
    replayed = squall(tmp_path, "dlq", "replay", *diverted.values(), "--run", str(run), "--quiet")
    done = [json.loads(line) for line in (run / "replayed.jsonl").read_bytes().splitlines()]
    assert {line["id"]: line["status"] for line in done} == {
        f"{name}.2": "ok" for name in diverted.values()
    }, replayed.stderr.decode()
