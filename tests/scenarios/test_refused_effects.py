"""Orders that no venue takes, among good ones: these are filled, the others named with their reason."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.nats

SQUALL = Path(sys.executable).parent / "squall"


def test_bad_orders_are_refused_with_their_reason_and_stop_no_other(squall_run: Any, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    shutil.copy(Path(__file__).parent / "handlers_under_test.py", tmp_path / "0")
    spec = {
        "pattern": "hierarchical",
        "tasks": 200,
        "rate_per_s": 200,
        "agents": 2,
        "coordinators": 1,
        "handler": "handlers_under_test:errs_now_and_then",
        "pause_leader": False,
    }
    run = squall_run(spec)
    document = run.end(120)
    refused = run.lines("refuse")
    assert document["refused_effects"] == len({line["order_id"] for line in refused}) > 0
    assert document["effects"] == 200 - document["refused_effects"] > 0
    assert (document["lost"], document["duplicated"], document["dead_letters"]) == (0, 0, 0)
    check = next(check for check in document["checks"] if check["id"] == "H1")
    assert check["verdict"] == "pass"
    assert f"{document['refused_effects']} refused with a reason, the first" in check["detail"]
    assert "must be" in check["detail"]
    traced = subprocess.run(
        [SQUALL, "trace", refused[0]["task"], "--run", run.path], capture_output=True, text=True, check=False
    )
    assert "refused: an order needs account" in " ".join(traced.stdout.lower().split())
    token = [
        line for line in (run.path / "logs").glob("*.log") if "Bearer" in line.read_text(errors="replace")
    ]
    assert token == []
    assert json.loads((run.path / "result.json").read_text())["refused_effects"] == len(refused)
