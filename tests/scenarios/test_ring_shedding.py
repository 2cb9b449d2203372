"""A stage of a real ring fails for long while more comes in: the oldest are shed, and the run passes."""

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
