"""``squall chaos --nats``: a series on somebody else's nats-server, which is spared, and left as it was."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.integration.brokers import outside
from tests.scenarios.quick import AT_EASE
from tests.scenarios.series_once import SQUALL

from squall.bus.connection import connect
from squall.bus.jetstream import call
from squall.chaos.evidence.series import planned_in
from squall.chaos.tell.documents import history_of

pytestmark = [pytest.mark.anyio, pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow]

SCHEDULE = """seed = 5
quiet_s = 4.0
[[interval]]
fault = "crash"
target = "leader"
at_s = 0.2
[[interval]]
fault = "blackhole"
target = "any-agent"
at_s = 1.0
for_s = 1.0
"""


def series(folder: Path, *options: str) -> subprocess.Popen[str]:
    (folder / "schedule.toml").write_text(SCHEDULE)
    line = [
        SQUALL,
        "chaos",
        "hierarchical",
        *AT_EASE,
        "--schedule",
        "schedule.toml",
        "--out",
        "out",
        "--json",
        *options,
    ]
    return subprocess.Popen(
        line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


async def ended(running: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    out, err = await asyncio.to_thread(running.communicate, timeout=200)
    return running.returncode, json.loads(out), err


async def test_a_swarm_on_somebody_elses_broker_is_struck_and_the_broker_is_not(tmp_path: Path) -> None:
    async with outside(tmp_path / "broker") as broker:
        pid = broker.pid
        code, document, err = await ended(series(tmp_path, "--nats", broker.url, "--seeds", "2"))
        assert (code, document["verdict"]) == (0, "pass"), err
        assert [run["run"] for run in document["runs"]] == ["schedule-1", "schedule-2"]
        assert not document["all_faults"], "what strikes the broker was not drawn"
        for run in document["runs"]:
            assert {(fault["kind"], fault["verified"]) for fault in run["faults"]} == {
                ("crash", True),
                ("blackhole", True),
            }
            assert (run["lost"], run["duplicated"]) == (0, 0)
            assert any("its log and its statistics are not ours" in limit for limit in run["limits"])
            history = history_of(tmp_path / "out" / run["run"])
            assert all(start.role != "broker" for start in history.nodes)
            assert history.interfered == ()
        planned = planned_in(tmp_path / "out")
        assert planned is not None
        assert not planned.all_faults
        assert broker.pid == pid
        async with connect(broker.url, "looker") as looker:
            assert (await call(looker, "STREAM", "NAMES"))["streams"] is None


async def test_a_broker_that_somebody_ended_is_not_the_swarms_fault(tmp_path: Path) -> None:
    """It comes back, and whoever ended it did not do so for the series."""
    async with outside(tmp_path / "broker") as broker:
        running = series(tmp_path, "--nats", broker.url)
        faults = tmp_path / "out" / "schedule" / "faults.jsonl"
        async with asyncio.timeout(90):
            while not (faults.exists() and faults.read_text()):
                await asyncio.sleep(0.05)
        broker.signal(signal.SIGKILL)
        code, document, err = await ended(running)
        assert (code, document["error"]["kind"]) == (4, "harness"), err
        lost = f"the broker at {broker.url} was lost, and nothing here was the cause"
        assert document["error"]["message"] == f"harness broken: {lost}"
        history = history_of(tmp_path / "out" / "schedule")
        assert history.interfered == (lost,)
        assert history.closing is None
        async with connect(broker.url, "looker") as looker:
            assert (await call(looker, "STREAM", "NAMES"))["streams"] is None
