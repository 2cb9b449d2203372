"""Tasks through a pipe that stays open: each result is there before the next task is written."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.quick import QUICK

from squall.services.cli.signals import INTERRUPTED

pytestmark = [pytest.mark.nats, pytest.mark.everything]

HANDLER = Path(__file__).parent / "handlers_of_own_tasks.py"
BATCH = 30


def test_each_ends_as_it_comes_though_the_producer_is_killed_and_ctrl_c_drains(
    squall_run: Any, tmp_path: Path
) -> None:
    spec = {**QUICK, "tasks": "-", "handler": f"{HANDLER}:decide", "rate_per_s": 200.0}
    run = squall_run(spec, "--results", "results.jsonl", stdin=subprocess.PIPE)
    results = tmp_path / "0/results.jsonl"

    def ids() -> Counter[str]:
        lines = results.read_text().splitlines() if results.exists() else []
        return Counter(json.loads(line)["id"] for line in lines)

    for n in range(0, 2 * BATCH, BATCH):
        lines = [
            json.dumps({"id": f"t-{i}", "key": f"k {i % 7}", "body": {"n": i}}) for i in range(n, n + BATCH)
        ]
        run.process.stdin.write("\n".join([*lines[:7], "nonsense", *lines[7:], ""]).encode())
        run.process.stdin.flush()
        run.wait_for(lambda count=n + BATCH: len(ids()) == count, f"{n + BATCH} results")
        run.signal("producer", signal.SIGKILL)
    run.process.send_signal(signal.SIGINT)  # the producer is on its way back, and says that jobs are complete
    document = run.end(60)
    assert run.process.returncode == INTERRUPTED
    assert (document["accepted"], document["lost"], document["duplicated"]) == (2 * BATCH, 0, 0)
    assert ids() == Counter(f"t-{i}" for i in range(2 * BATCH))
    aside = [json.loads(line)["line"] for line in (run.path / "set-aside.jsonl").read_text().splitlines()]
    assert aside == [8, BATCH + 9]
    said = run.stderr.read_text()
    assert "2 records of the standard input are set aside in" in said
    assert "not offered" not in said
