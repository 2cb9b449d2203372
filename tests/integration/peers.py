"""A broker of its own with the log of peers that vote, and their links."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.brokers import running

from squall.bus import queue
from squall.bus.broker import Broker
from squall.bus.connection import Connection, connect
from squall.bus.identity import Authority
from squall.bus.jetstream import Outcome, create_consumer, create_stream, publish
from squall.bus.register import stream_config as register_stream
from squall.bus.subjects import POOL, Subjects
from squall.bus.topology.mesh import mesh
from squall.bus.vote_log import link_stream_config, log_stream_config
from squall.bus.vote_subjects import VoteSubjects

SWARM = Subjects("demo")
LOG = VoteSubjects(SWARM)


@dataclass(frozen=True)
class Peers:
    """A broker with the streams of peers, and who may connect to it."""

    broker: Broker
    authority: Authority

    def connect(self, node: str, url: str = "") -> AbstractAsyncContextManager[Connection]:
        return connect(url or self.broker.url, node, self.authority.credentials(node, None))


@contextlib.asynccontextmanager
async def peers(
    directory: Path, *, agents: int = 3, neighbours: int = 0, log_bytes_max: int = 1 << 26
) -> AsyncIterator[Peers]:
    topology = mesh(SWARM.swarm, agents=agents, neighbours=neighbours)
    ingress = {"name": SWARM.stream("IN"), "subjects": [SWARM.ingress], "max_bytes": 1 << 26}
    async with running(directory, topology=topology) as (broker, authority):
        async with connect(broker.url, "launcher", authority.credentials("launcher", None)) as launcher:
            for config in (
                {**ingress, "storage": "file", "duplicate_window": 10**9},
                log_stream_config(LOG, bytes_max=log_bytes_max),
                link_stream_config(LOG),
                queue.stream_config(
                    SWARM.stream("WK"), source=LOG.stream, transform=LOG.work_transform, bytes_max=1 << 26
                ),
                register_stream(SWARM.stream("RES"), SWARM.registers, bytes_max=1 << 26),
            ):
                await create_stream(launcher, config)
            await create_consumer(
                launcher,
                SWARM.stream("WK"),
                POOL,
                {"durable_name": POOL, "ack_policy": "explicit", "filter_subject": SWARM.work},
            )
        yield Peers(broker, authority)


async def write(connection: Connection, subject: str, data: bytes = b"{}", **headers: str) -> Outcome:
    """Store a record, whatever it takes."""
    wanted = {name.replace("_", "-"): value for name, value in headers.items()}
    return await publish(connection, subject, data, timeout_s=20, headers=wanted)


Voter = Callable[[int], str]


def votes(peer: str) -> Voter:
    """Where a peer's votes on the first attempt of a numbered task go."""
    return lambda number: LOG.vote(peer, f"t-{number}", 1)
