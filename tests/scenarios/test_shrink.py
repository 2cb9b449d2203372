"""A schedule under which a dumb venue doubles orders shrinks to what matters, and becomes a test."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from squall.chaos.inject.schedule_file import parse
from squall.services.patterns.hierarchical import HierarchicalSpec

pytestmark = [
    pytest.mark.nats,
    pytest.mark.toxiproxy,
    pytest.mark.slow,
    pytest.mark.everything,
    pytest.mark.timeout(1500),
]

SQUALL = Path(sys.executable).parent / "squall"

SWARM = """
pattern = "hierarchical"
venue = "dumb"
rate_per_s = 200
ack_wait_s = 1.5
patience_s = 0.5
"""

SCHEDULE = """
seed = 5
[[interval]]
fault = "latency"
target = "any-agent"
at_s = 0.2
for_s = 2.0
[[interval]]
fault = "crash"
target = "gateway"
point = "gateway.filled"
nth = 2
at_s = 0.5
[[interval]]
fault = "pause"
target = "agent-1"
at_s = 1.0
for_s = 1.0
[[interval]]
fault = "crash"
target = "agent-2"
at_s = 2.5
"""


def test_what_remains_is_the_kill_between_fill_and_acknowledgement(tmp_path: Path) -> None:
    (tmp_path / "swarm.toml").write_text(SWARM)
    (tmp_path / "schedule.toml").write_text(SCHEDULE)
    command = [
        SQUALL,
        "chaos",
        "./swarm.toml",
        "--schedule",
        "schedule.toml",
        "--shrink",
        "12",
        "--out",
        "out",
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=1400)
    assert run.returncode == 1, run.stderr
    assert "H1 still fails with 1 of 4 faults" in run.stdout, (
        run.stdout
    )  # an order filled twice fails H1 first
    found = tmp_path / "out" / "test_no_loss.py"
    module = ast.parse(found.read_text())
    assigned = next(node for node in module.body if isinstance(node, ast.Assign))
    assert isinstance(assigned.value, ast.Constant)
    (left,) = parse(str(assigned.value.value), HierarchicalSpec()).intervals
    assert (left.fault, left.target, left.point) == ("crash", "gateway", "gateway.filled")
    case = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", found.name],
        cwd=found.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert case.returncode == 1, case.stdout
    assert "1 failed" in case.stdout
