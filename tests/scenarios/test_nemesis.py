"""A fault heals however its block ends, and with its lease; a trap that nobody waits at holds nobody.

These tests use the fixtures that users get, so each also ends with all checks passed.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from squall.chaos.evidence.operations import Fenced, Lead, Resign
from squall.chaos.inject import nemesis as nemesis_module

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow]


def faults(swarm: Any) -> list[dict[str, Any]]:
    lines = (swarm.path / "faults.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.squall(rate_per_s=200)
async def test_faults_heal_whatever_happens_inside(swarm: Any, nemesis: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with nemesis.blackhole_nofin("gateway"):
            raise ZeroDivisionError
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2), nemesis.pause("agent-1"):
            await asyncio.sleep(60)
    async with nemesis.stall("agent-2", lease_s=0.5) as strike:
        until = time.monotonic() + 10
        while not any("end_s" in fault for fault in faults(swarm) if fault["kind"] == "stall"):
            assert time.monotonic() < until, "the lease did not heal"
            await asyncio.sleep(0.1)
        assert strike.verified
    await swarm.progress(100)
    ended = [fault for fault in faults(swarm) if "end_s" in fault]
    assert [fault["kind"] for fault in ended] == ["blackhole-nofin", "pause", "stall"]
    assert all(fault["verified"] for fault in ended)


@pytest.mark.squall(rate_per_s=200)
async def test_a_lease_ends_a_flap_for_good(swarm: Any, nemesis: Any) -> None:
    way = nemesis._network.way("agent-1")
    async with nemesis.flap("agent-1", lease_s=0.5):
        until = time.monotonic() + 10
        while not any("end_s" in fault for fault in faults(swarm)):
            assert time.monotonic() < until, "the lease did not heal"
            await asyncio.sleep(0.1)
        for _ in range(20):
            assert (await way.state()).enabled, "it flaps on"
            await swarm.progress(20)
    assert (await way.state()).enabled


@pytest.mark.squall(rate_per_s=200)
async def test_a_trap_that_was_given_up_holds_nobody(
    swarm: Any, nemesis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nemesis_module, "POINT_S", 1.0)
    with pytest.raises(TimeoutError):
        async with nemesis.crash("gateway", point="gateway.filled", nth=100_000):
            raise AssertionError("it passes the point too rarely for that")
    async with nemesis.pause("gateway", point="gateway.delivered") as strike:
        assert strike.verified
    await swarm.progress(400)
    result = await swarm.finish()
    assert result.effects == result.accepted


@pytest.mark.squall(rate_per_s=200)
async def test_the_broker_itself_can_be_struck(swarm: Any, nemesis: Any) -> None:
    for strike in (nemesis.pause("broker"), nemesis.restart("broker"), nemesis.crash("broker")):
        async with strike as struck:
            assert struck.verified
        await swarm.progress(100)
    result = await swarm.finish()
    assert [(fault.kind, fault.verified) for fault in result.faults] == [
        ("pause", True),
        ("restart", True),
        ("crash", True),
    ]


@pytest.mark.squall(rate_per_s=200)
async def test_who_takes_over_can_be_caught_taking_over(swarm: Any, nemesis: Any) -> None:
    for point in ("coordinator.claimed", "coordinator.resumed"):
        async with nemesis.crash("standby", point=point) as strike:
            assert strike.verified
        await swarm.progress(100)
    assert [fault.target for fault in swarm.history().faults if fault.point] == ["standby", "standby"]


@pytest.mark.squall(rate_per_s=200)
async def test_a_leader_hands_over_in_good_order(swarm: Any, nemesis: Any) -> None:
    async with nemesis.hand_over("leader") as strike:
        assert strike.verified
    await swarm.progress(100)
    history = swarm.history()
    previous, following = history.of(Lead)[-2:]
    (fault,) = history.faults
    assert (fault.node, fault.target) == (previous.node, "leader")
    assert following.node != previous.node
    assert [resigned.term for resigned in history.of(Resign)] == [previous.term]
    assert not history.of(Fenced), "who hands over writes nothing afterwards"
