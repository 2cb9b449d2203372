"""Swarms that share a broker see nothing of each other, even where they have one name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nats.aio.msg import Msg

from squall.bus import log
from squall.bus.jetstream import publish_once

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


async def test_what_one_swarm_stores_and_says_is_its_own(bus: Any) -> None:
    async with (
        bus(agents=1) as one,
        bus(agents=1) as two,
        one.connect("producer") as producer,
        one.connect("observer") as same,
        two.connect("observer") as other,
        two.connect("producer") as neighbour,
    ):
        assert one.broker.url == two.broker.url
        assert one.spec.swarm == two.spec.swarm
        heard: asyncio.Queue[Msg] = asyncio.Queue()
        elsewhere: asyncio.Queue[Msg] = asyncio.Queue()
        await same.subscribe(one.swarm.heartbeats, heard.put_nowait)
        await other.subscribe(two.swarm.heartbeats, elsewhere.put_nowait)
        outcome = await publish_once(producer, one.swarm.submit("k"), b"one", timeout_s=5)
        assert outcome.sequence == 1
        await producer.publish(one.swarm.heartbeat("producer", "producer"), b"one")
        async with asyncio.timeout(5):
            assert (await heard.get()).data == b"one"
            # Behind it on the same way; the other swarm's first is what its own producer says.
            await neighbour.publish(two.swarm.heartbeat("producer", "producer"), b"two")
            assert (await elsewhere.get()).data == b"two"
        assert (await log.state(other, two.swarm.stream("IN")))["messages"] == 0
