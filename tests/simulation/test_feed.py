"""A feed on virtual time: every record once and in order, over cuts, losses, purges and ends of the broker.

python -m tests.simulation.test_feed 10000 20000    with these seeds
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import Any

import pytest
from tests.simulation.simulated import SimulatedBus

from squall.bus import feed, log
from squall.bus.connection import Connection
from squall.bus.errors import RequestError
from squall.bus.jetstream import create_stream, publish
from squall.bus.subjects import Subjects
from squall.bus.topology.mesh import mesh
from squall.bus.vote_log import log_stream_config
from squall.bus.vote_subjects import VoteSubjects

SWARM = Subjects("squall")
LOG = VoteSubjects(SWARM)
RECORDS = 300
GIVE_UP_S = 600.0


class World(SimulatedBus):
    """A broker with a log, a peer that writes and one that reads."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, mesh(SWARM.swarm, agents=3))
        self.read: list[int] = []
        self.purged = 0
        self.last = 0

    async def write(self, writer: Connection) -> None:
        for number in range(RECORDS):
            await asyncio.sleep(self.chance.expovariate(50.0))
            outcome = await publish(
                writer, LOG.vote("agent-1", f"t-{number % 7}", 1), b"%d" % number, timeout_s=GIVE_UP_S
            )
            assert outcome.accepted
            self.last = outcome.sequence

    async def follow(self, reader: Connection) -> None:
        async with contextlib.aclosing(feed.follow(reader, LOG.stream, LOG.feed)) as records:
            async for record in records:
                self.read.append(record.sequence)
                if self.chance.random() < 0.02:
                    await asyncio.sleep(self.chance.uniform(0.0, 2.0))

    async def trouble(self, registrar: Connection) -> None:
        """Cut, lose, end and purge, one after the other, for ever."""
        way = self.ways.way("agent-2")
        while True:
            await asyncio.sleep(self.chance.expovariate(1.0))
            match self.chance.randrange(6):
                case 0:
                    self.broker.signal(signal.SIGKILL)
                case 1:
                    below = self.chance.randint(1, self.last + 1)
                    with contextlib.suppress(RequestError):
                        self.purged = max(self.purged, below - 1)
                        await log.trim(registrar, LOG.stream, below=below)
                case _:
                    await self.strike(way, most_s=6.0)

    def interfere(self, handler: Any, message: Any) -> None:
        """Lose, repeat or reorder what has arrived."""
        drawn = self.chance.random()
        if drawn < 0.02:
            return
        if drawn < 0.04:
            handler(message)
        if drawn < 0.06:
            asyncio.get_running_loop().call_later(self.chance.uniform(0.0, 1.5), handler, message)
            return
        handler(message)

    async def live(self) -> None:
        async with (
            self.connected("launcher") as launcher,
            self.connected("agent-1") as writer,
            self.connected("agent-2") as reader,
            self.connected("registrar") as registrar,
        ):
            ingress = {"name": SWARM.stream("IN"), "subjects": [SWARM.ingress]}
            await create_stream(launcher, ingress)
            await create_stream(launcher, log_stream_config(LOG, bytes_max=1 << 26))
            reader.interceptor = self.interfere
            following = asyncio.create_task(self.follow(reader))
            troubling = asyncio.create_task(self.trouble(registrar))
            await self.write(writer)
            troubling.cancel()
            await asyncio.wait({troubling})
            await self.ways.way("agent-2").recreate()
            reader.interceptor = None
            async with asyncio.timeout(GIVE_UP_S):
                while not self.read or self.read[-1] < self.last:
                    await asyncio.sleep(0.1)
                    assert not following.done(), following.exception()
                    if self.purged >= self.last:
                        break
            following.cancel()
            await asyncio.wait({following})

    def run(self) -> None:
        self.live_through(self.live())
        assert self.read == sorted(set(self.read))
        missing = set(range(1, self.last + 1)) - {*self.read}
        assert all(sequence <= self.purged for sequence in missing)


@pytest.mark.parametrize("seed", range(25))
def test_a_feed_loses_and_repeats_nothing(seed: int) -> None:
    World(seed).run()


if __name__ == "__main__":
    for number in range(*map(int, sys.argv[1:3])):
        World(number).run()
