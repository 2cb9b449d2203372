"""Deliveries doubled, late and out of order, and clocks that are wrong, change nothing that is promised.

The fixtures judge the swarm when the test ends: lost, doubled, and the ledger of the oracle.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from squall.bus.tasks import wait_until
from squall.chaos.cli.setup import experiment_of
from squall.chaos.inject.experiment import experiment
from squall.chaos.inject.nemesis import Nemesis
from squall.chaos.tell.documents import history_of, judge
from squall.services.cli.asked import resolve
from squall.services.run.directory import claim

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow]

FAULTS = ("duplicate", "late", "reorder", "clock-off", "clock-jump")
TARGETS = ("all-agents", "gateway", "leader")

ALL = tuple(itertools.product(FAULTS, TARGETS))
SOME = tuple(zip(FAULTS, itertools.cycle(TARGETS)))
"""Each fault once, and each target."""


@pytest.mark.squall(rate_per_s=60, ack_wait_s=1.0)
@pytest.mark.parametrize("strikes", [SOME, pytest.param(ALL, marks=pytest.mark.everything)])
async def test_nothing_is_lost_doubled_or_changed(
    swarm: Any, nemesis: Any, subtests: pytest.Subtests, strikes: tuple[tuple[str, str], ...]
) -> None:
    for fault, target in strikes:
        with subtests.test(fault, target=target):
            async with nemesis.strike(fault, target) as strike:
                assert strike.verified, f"{fault} of {target} struck nothing"
                await swarm.progress(50)
    with subtests.test("deliveries later than the ack wait have one effect"):
        before = swarm.history().suppressed
        async with nemesis.late("all-agents", every=3, delay_ms=2500) as strike:
            assert strike.verified
            await swarm.progress(200)
        assert swarm.history().suppressed > before, "nothing was delivered again"
    result = await swarm.finish()
    assert all(fault.verified for fault in result.faults)
    assert result.effects == result.accepted


def test_a_node_that_died_interferes_no_more_and_what_it_said_counts_no_more(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def lines(file: str) -> list[Any]:
        """Those that are whole; another may be on its way."""
        written, _, _ = (path / file).read_text().rpartition("\n")
        return [json.loads(line) for line in written.splitlines()]

    async def begun() -> list[int]:
        return [line["inc"] for line in lines("history.jsonl") if line["node"] == "agent-1"]

    async def attack(nemesis: Nemesis) -> None:
        async with nemesis.duplicate("agent-1", every=1) as strike:
            assert strike.verified
            pid = next(start["pid"] for start in lines("nodes.jsonl") if start["node"] == "agent-1")
            os.kill(pid, signal.SIGKILL)
            await wait_until(begun, lambda incs: 2 in incs, timeout_s=30, what="a word of the next start")
        assert not strike.verified, "it ended with the node, before it was healed"
        assert "was started anew" in strike.reason
        async with nemesis.duplicate("agent-1", every=50) as strike:
            said = [
                line
                for line in lines("history.jsonl")
                if (line["op"], line["node"]) == ("interfere", "agent-1")
            ]
            assert [(line["inc"], line["on"]) for line in said] == [(1, True), (2, True)]
            assert strike.verified

    spec = resolve("hierarchical", **{**experiment_of("hierarchical"), "rate_per_s": 80.0})
    with claim(spec, path) as directory:
        asyncio.run(experiment(spec, directory, attack, progress=lambda text: None))
    assert [fault.verified for fault in history_of(path).faults] == [False, True]
    assert "pass" not in {check.verdict for check in judge(path).checks}
