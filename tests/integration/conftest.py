"""A real broker with a hierarchical swarm's streams and identities, on a free port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.integration.led import Swarm, leading

from squall.bus.broker import Broker, jetstream_probe
from squall.bus.connection import Connection, connect
from squall.bus.guard import Guard
from squall.bus.identity import Authority
from squall.bus.pull import Delivery, Puller
from squall.bus.subjects import POOL, Subjects
from squall.bus.tasks import task_group, wait_until
from squall.services.patterns import hierarchical
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.roles import sweeper
from squall.services.run.spec import Spec


@dataclass
class Bus:
    """A broker, who may connect to it, and what is on it."""

    spec: Spec
    swarm: Subjects
    broker: Broker
    authority: Authority

    def connect(self, node: str, life_s: float | None = None) -> AbstractAsyncContextManager[Connection]:
        return connect(self.broker.url, node, self.authority.credentials(node, life_s))


BusMaker = Callable[..., AbstractAsyncContextManager[Bus]]


@pytest.fixture
def bus(tmp_path: Path) -> BusMaker:
    """``async with bus(ack_wait_s=1.0) as b``: a broker with that spec's streams."""

    @contextlib.asynccontextmanager
    async def running(**changes: Any) -> AsyncIterator[Bus]:
        spec = HierarchicalSpec(**changes)
        authority = Authority.create(hierarchical.topology(spec))
        async with (
            Guard() as guard,
            Broker.running(
                tmp_path / "broker",
                lambda: authority.server_config(tmp_path / "broker" / "jwt"),
                guard=guard,
                log=tmp_path / "broker.log",
                probe=jetstream_probe(lambda: authority.credentials("launcher", 60)),
            ) as broker,
        ):
            async with connect(broker.url, "launcher", authority.credentials("launcher", 60)) as launcher:
                await hierarchical.PATTERN.provision(launcher, spec)
            yield Bus(spec, Subjects(spec.swarm), broker, authority)

    return running


class Relay:
    """TCP connections that can keep what a broker sends to itself, and be reset. Made by `relaying`.

    Attributes:
        url: Where to connect to instead of the broker.
        swallows: While this is set, what the broker sends is taken from it and never handed on.
        swallowed: What was taken so.
    """

    def __init__(self, broker_url: str) -> None:
        self._port = urlsplit(broker_url).port
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.swallows = False
        self.swallowed = bytearray()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, broker_writer}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(reader, broker_writer, down=False))
            group.create_task(self._pump(broker_reader, writer, down=True))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool) -> None:
        with contextlib.suppress(ConnectionError, OSError):
            while data := await reader.read(65536):
                if down and self.swallows:
                    self.swallowed += data
                else:
                    writer.write(data)
                    await writer.drain()
        writer.close()

    async def until_swallowed(self, data: bytes, timeout_s: float) -> None:
        """Wait until the broker has sent this and it was kept from the reader."""

        async def swallowed() -> bytes:
            return bytes(self.swallowed[-4096:])

        await wait_until(swallowed, lambda kept: data in kept, timeout_s=timeout_s, what=repr(data))

    def reset(self) -> None:
        """End every connection at once; new ones are carried as before."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@contextlib.asynccontextmanager
async def _relaying(broker_url: str) -> AsyncIterator[Relay]:
    relay = Relay(broker_url)
    server = await asyncio.start_server(relay.carry, "127.0.0.1", 0)
    relay.url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        relay.reset()


@pytest.fixture
def relaying() -> Callable[[str], AbstractAsyncContextManager[Relay]]:
    """``async with relaying(url) as relay``: a relay before a broker."""
    return _relaying


@pytest.fixture
def swarm(bus: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``async with swarm(attempts=3) as s``: all is there but agents."""
    monkeypatch.setattr(sweeper, "PATIENCE_MIN_S", 0.5)

    @contextlib.asynccontextmanager
    async def running(**changes: Any) -> AsyncIterator[Swarm]:
        spec = {"ack_wait_s": 0.25, "agents": 2, "slots": 8, "lease_s": 0.5, **changes}
        async with (
            bus(**spec) as b,
            b.connect("producer") as producer,
            b.connect("agent-1") as agent,
            b.connect("observer") as observer,
            leading(b) as service,
            task_group() as tasks,
        ):
            pulled: asyncio.Queue[Delivery] = asyncio.Queue()
            held: set[str] = set()

            def take(delivery: Delivery) -> None:
                held.add(delivery.reply)
                pulled.put_nowait(delivery)

            puller = Puller(agent, b.swarm.stream("WK"), POOL, take, lambda: 8)
            tasks.daemon(puller.run())
            yield Swarm(b, service, producer, agent, observer, pulled)

    return running
