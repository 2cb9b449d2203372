"""A fault heals however its block ends, and with its lease; a trap that nobody waits at holds nobody.

One swarm, all of it in turn. It uses the fixtures that users get, so it ends with all checks passed.
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

GOES_ON = 30
"""Tasks that end once a fault has healed: about half a second's."""


def ended(swarm: Any) -> list[dict[str, Any]]:
    """The faults that have ended so far."""
    lines = (swarm.path / "faults.jsonl").read_text().splitlines()
    return [fault for fault in map(json.loads, lines) if "end_s" in fault]


async def until_ended(swarm: Any, kind: str) -> None:
    until = time.monotonic() + 10
    while not any(fault["kind"] == kind for fault in ended(swarm)):
        assert time.monotonic() < until, "the lease did not heal"
        await asyncio.sleep(0.1)  # a look, not a wait for a time


async def faults_heal_whatever_happens_inside(swarm: Any, nemesis: Any) -> None:
    before = len(ended(swarm))
    with pytest.raises(ZeroDivisionError):
        async with nemesis.blackhole_nofin("gateway"):
            raise ZeroDivisionError
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2), nemesis.pause("agent-1"):
            await asyncio.sleep(60)
    async with nemesis.stall("agent-2", lease_s=0.5) as strike:
        await until_ended(swarm, "stall")
        assert strike.verified
    await swarm.progress(GOES_ON)
    assert [(fault["kind"], fault["verified"]) for fault in ended(swarm)[before:]] == [
        ("blackhole-nofin", True),
        ("pause", True),
        ("stall", True),
    ]


async def a_lease_ends_a_flap_for_good(swarm: Any, nemesis: Any) -> None:
    way = swarm.nemesis._network.way("agent-1")
    async with nemesis.flap("agent-1", lease_s=0.5):
        await until_ended(swarm, "flap")
        for _ in range(20):
            assert (await way.state()).enabled, "it flaps on"
            await swarm.progress(20)
    assert (await way.state()).enabled


async def a_trap_that_was_given_up_holds_nobody(swarm: Any, nemesis: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nemesis_module, "PATIENCE", nemesis_module.Patience(point_s=1.0))
        with pytest.raises(TimeoutError):
            async with nemesis.crash("gateway", point="gateway.filled", nth=100_000):
                raise AssertionError("it passes the point too rarely for that")
        async with nemesis.pause("gateway", point="gateway.delivered") as strike:
            assert strike.verified
    await swarm.progress(GOES_ON)


async def the_broker_itself_can_be_struck(swarm: Any, nemesis: Any) -> None:
    before = len(ended(swarm))
    for strike in (nemesis.pause("broker"), nemesis.restart("broker"), nemesis.crash("broker")):
        async with strike as struck:
            assert struck.verified
        await swarm.progress(GOES_ON)
    assert [(fault["kind"], fault["verified"]) for fault in ended(swarm)[before:]] == [
        ("pause", True),
        ("restart", True),
        ("crash", True),
    ]


async def who_takes_over_can_be_caught_taking_over(swarm: Any, nemesis: Any) -> None:
    for point in ("coordinator.claimed", "coordinator.resumed"):
        async with nemesis.crash("standby", point=point) as strike:
            assert strike.verified
        await swarm.progress(GOES_ON)
    struck = [fault for fault in swarm.history().faults if fault.point.startswith("coordinator.")]
    assert [fault.target for fault in struck] == ["standby", "standby"]


async def the_ends_can_be_struck(swarm: Any, nemesis: Any) -> None:
    """The venue in every way it can be, and the producer, which goes on where it was."""
    before = len(ended(swarm))
    for strike in (
        nemesis.crash("venue", point="venue.journaled"),
        nemesis.blackhole_nofin("venue", point="venue.filled"),
        nemesis.errors("venue"),
        nemesis.reset("venue"),
        nemesis.crash("producer"),
        nemesis.pause("producer"),
        nemesis.crash("agent-1", point="agent.asked"),
        nemesis.blackhole_nofin("leader", point="coordinator.asked"),
    ):
        async with strike as struck:
            assert struck.verified
        await swarm.progress(GOES_ON)
    assert all(fault["verified"] for fault in ended(swarm)[before:])


async def a_leader_hands_over_in_good_order(swarm: Any, nemesis: Any) -> None:
    async with nemesis.hand_over("leader") as strike:
        assert strike.verified
    await swarm.progress(GOES_ON)
    history = swarm.history()
    previous, following = history.of(Lead)[-2:]
    fault = history.faults[-1]
    assert (fault.kind, fault.node, fault.target) == ("hand-over", previous.node, "leader")
    assert following.node != previous.node
    assert history.of(Resign)[-1].term == previous.term
    late = [line for line in history.of(Fenced) if line.time_s > following.time_s]
    assert not late, "who hands over writes nothing afterwards"


STRIKES = (
    a_leader_hands_over_in_good_order,
    faults_heal_whatever_happens_inside,
    a_lease_ends_a_flap_for_good,
    a_trap_that_was_given_up_holds_nobody,
    who_takes_over_can_be_caught_taking_over,
    the_broker_itself_can_be_struck,
    the_ends_can_be_struck,
)


@pytest.mark.squall(rate_per_s=60)
async def test_of_one_swarm(swarm: Any, nemesis: Any, subtests: pytest.Subtests) -> None:
    for strike in STRIKES:
        with subtests.test(strike.__name__):
            await strike(swarm, nemesis)
    result = await swarm.finish()
    assert all(fault.verified for fault in result.faults)
    assert result.effects == result.accepted
