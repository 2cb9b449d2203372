"""Deliveries doubled, late and out of order, and clocks that are wrong, change nothing that is promised.

The fixtures judge each swarm when its test ends: lost, doubled, and the ledger of the oracle.
"""

from __future__ import annotations

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
