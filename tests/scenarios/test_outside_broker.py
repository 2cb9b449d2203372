"""A run on somebody else's nats-server: it works, says what it lacks, and cleans up; or says why not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.integration.brokers import outside

from squall.bus.connection import connect
from squall.bus.identity import Authority
from squall.bus.jetstream import call
from squall.bus.topology.hierarchical import hierarchical

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

SPEC = {"pattern": "hierarchical", "tasks": 300, "rate_per_s": 300, "pause_leader": False}


async def test_an_open_broker_serves_two_runs_and_is_left_as_it_was(
    squall_run: Any, oracle_of: Any, tmp_path: Path
) -> None:
    async with outside(tmp_path / "broker") as broker:
        runs = [squall_run({**SPEC, "seed": seed}, "--nats", broker.url) for seed in (1, 2)]
        for run, seed in zip(runs, (1, 2), strict=True):
            document = await asyncio.to_thread(run.end)
            assert (document["effects"], document["lost"], document["duplicated"]) == (300, 0, 0)
            assert any("permissions by topology" in limit for limit in document["limits"])
            assert run.ledger() == oracle_of({**SPEC, "seed": seed})
            assert "broker" not in run.nodes()
        async with connect(broker.url, "looker") as looker:
            assert (await call(looker, "STREAM", "NAMES"))["streams"] is None


async def test_a_broker_that_wants_other_credentials_is_said(
    squall_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = (Authority.create(hierarchical("squall", agents=1)) for _ in range(2))
    state = tmp_path / "broker"
    async with outside(state, theirs.server_config(state / "jwt")) as broker:
        for text in (None, ours.credentials("producer", 60).creds_file()):
            if text is not None:
                (tmp_path / "wrong.creds").write_text(text)
                monkeypatch.setenv("NATS_CREDS", str(tmp_path / "wrong.creds"))
            run = squall_run(SPEC, "--nats", broker.url)
            document = await asyncio.to_thread(run.end)
            assert run.process.returncode == 2
            assert "refuses these credentials" in document["error"]["message"]
            assert "NATS_CREDS" in document["error"]["remedy"]
            assert run.stderr.read_text().splitlines()[-1].startswith("squall: the broker at")
