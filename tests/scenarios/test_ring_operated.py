"""An operator forces a breaker open, lets it go and disables it, while the ring is at work."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import SQUALL

from squall.services.run.operating import SOCKET

pytestmark = [pytest.mark.nats, pytest.mark.slow, pytest.mark.everything, pytest.mark.timeout(300)]

SPEC = {"pattern": "ring", "agents": 8, "tasks": 2400, "rate_per_s": 40, "pause_leader": False}


OWN = ("R1", "R2", "R4", "E1", "U1", "U2")


def operate(run: Path, *words: str) -> tuple[int, str]:
    """What the command comes to, and says."""
    ended = subprocess.run(
        [SQUALL, "operate", str(run), *words], capture_output=True, text=True, timeout=60, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr


def ended(run: Any, stage: int) -> int:
    """How many attempts at a stage have ended so far; not by parsing, as it is asked all the time."""
    return len(re.findall(rb'"op":"stage-commit"[^\n]*"stage":%d\b' % stage, history_of(run)))


def history_of(run: Any) -> bytes:
    path: Path = run.path / "history.jsonl"
    return path.read_bytes() if path.exists() else b""


def test_a_breaker_stands_as_its_operator_says_and_nothing_is_lost(squall_run: Any) -> None:
    run = squall_run(SPEC)

    def until(stage: int, more: int) -> None:
        least = ended(run, stage) + more
        run.wait_for(lambda: ended(run, stage) >= least, f"{more} more of stage {stage}")

    until(2, 100)
    assert (run.path / SOCKET).stat().st_mode & 0o077 == 0
    assert operate(run.path, "stage-2", "force-open") == (0, "the breaker of stage-2 is forced-open\n")
    until(1, 30)  # what stage 2 had begun by then has ended
    before = ended(run, 2)
    until(1, 100)
    assert ended(run, 2) == before
    assert operate(run.path, "stage-2", "hurry")[0] == 2
    assert operate(run.path, "stage-9", "resume")[0] == 2
    code, said = operate(run.path, "stage-2", "resume", "--json")
    assert (code, json.loads(said)) == (0, {"stands": "the breaker of stage-2 is open"})
    until(2, 50)
    assert operate(run.path, "stage-3", "disable") == (0, "the breaker of stage-3 is disabled\n")
    assert operate(run.path, "stage-3", "disable") == (0, "the breaker of stage-3 is disabled\n")
    assert operate(run.path, "stage-3", "resume") == (0, "the breaker of stage-3 is closed\n")
    document = run.end(200)
    assert run.process.returncode == 0, document
    verdicts = {check["id"]: check["verdict"] for check in document["checks"]}
    assert {check: verdicts[check] for check in OWN} == dict.fromkeys(OWN, "pass"), document["checks"]
    assert operate(run.path, "stage-2", "resume")[0] == 2  # it is over
