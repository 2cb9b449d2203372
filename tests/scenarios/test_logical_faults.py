"""Deliveries doubled, late and out of order, and clocks that are wrong, change nothing that is promised.

The fixtures judge each swarm when its test ends: lost, doubled, and the ledger of the oracle.
"""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow]

TARGETS = ("all-agents", "gateway", "leader")


@pytest.mark.squall(rate_per_s=200)
@pytest.mark.parametrize("fault", ["duplicate", "late", "reorder", "clock-off", "clock-jump"])
async def test_nothing_is_lost_doubled_or_changed(swarm: Any, nemesis: Any, fault: str) -> None:
    for target in TARGETS:
        async with nemesis.strike(fault, target) as strike:
            assert strike.verified, f"{fault} of {target} struck nothing"
            await swarm.progress(100)
    result = await swarm.finish()
    assert all(fault.verified for fault in result.faults)
    assert result.effects == result.accepted


@pytest.mark.squall(rate_per_s=200, ack_wait_s=1.0)
async def test_deliveries_later_than_the_ack_wait_have_one_effect(swarm: Any, nemesis: Any) -> None:
    async with nemesis.late("all-agents", every=3, delay_ms=2500) as strike:
        assert strike.verified
        await swarm.progress(300)
    result = await swarm.finish()
    assert result.duplicates_suppressed > 0, "nothing was delivered again"
    assert result.effects == result.accepted


@pytest.mark.squall(rate_per_s=200, excused=["U1"])  # who kills by hand leaves no reason on record
async def test_a_node_that_died_interferes_no_more_and_what_it_said_counts_no_more(
    swarm: Any, nemesis: Any
) -> None:
    async with nemesis.duplicate("agent-1", every=1) as strike:
        assert strike.verified
        starts = [json.loads(line) for line in (swarm.path / "nodes.jsonl").read_text().splitlines()]
        os.kill(next(start["pid"] for start in starts if start["node"] == "agent-1"), signal.SIGKILL)
        await swarm.progress(600)  # three seconds: it is started anew meanwhile
    async with nemesis.duplicate("agent-1", every=1000) as strike:
        seen = [
            line for line in (swarm.path / "history.jsonl").read_text().splitlines() if "duplicate" in line
        ]
        said = [
            line for line in map(json.loads, seen) if line["op"] == "interfere" and line["node"] == "agent-1"
        ]
        assert [(line["inc"], line["on"]) for line in said] == [(1, True), (2, True)]
        assert strike.verified
    result = await swarm.finish()
    assert [fault.verified for fault in result.faults] == [True, True]
