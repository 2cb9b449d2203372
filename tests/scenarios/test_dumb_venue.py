"""The count of duplicates can rise: a venue that fills whatever comes, and a gateway that dies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from squall.bus.tasks import wait_until
from squall.services.node.service import Halt, Order
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.loaded import Run
from squall.services.run.result import exit_code

pytestmark = [pytest.mark.nats, pytest.mark.slow]

SPEC = HierarchicalSpec(
    pattern="hierarchical", tasks=1600, rate_per_s=160, ack_wait_s=1.0, pause_leader=False
)
KILLS = 4


async def kill_the_gateway(run: Run) -> None:
    """Again and again, after the venue has answered and before anything is acknowledged."""
    swarm = run.swarm

    async def serving() -> Any:
        return swarm.units.get("gateway")

    for _ in range(KILLS):
        unit = await wait_until(serving, bool, timeout_s=30, what="the gateway")
        await swarm.launcher.tell(unit, Order(halt=Halt(point="gateway.filled")))
        async with asyncio.timeout(30):
            assert await swarm.launcher.halted(unit) == "gateway.filled"
        await swarm.launcher.kill(unit)
        await unit.ended()


@pytest.mark.everything  # a simulated one is found by what is run always
def test_a_dumb_venue_shows_duplicates_and_the_run_fails(run_against: Any) -> None:
    result, _ = run_against(replace(SPEC, venue="dumb"), kill_the_gateway)
    assert result.duplicated >= KILLS
    assert exit_code(result) == 1
    assert next(check for check in result.checks if check.id == "H2").verdict == "fail"


@pytest.mark.everything
def test_the_same_kills_at_a_real_venue_double_nothing(run_against: Any, oracle_of: Any) -> None:
    result, ledger = run_against(SPEC, kill_the_gateway)
    assert (result.duplicated, result.lost) == (0, 0)
    assert result.duplicates_suppressed >= KILLS
    assert ledger == oracle_of(SPEC)
