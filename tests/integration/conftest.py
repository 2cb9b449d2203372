"""A real broker with a hierarchical swarm's streams and identities.

Tests share one broker a process; each is a swarm of its own there, with accounts and streams that nobody else
sees. A test that stops, kills or configures the broker asks for one of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.integration.led import Swarm, leading

from squall.bus.broker import Broker, jetstream_probe
from squall.bus.connection import Connection, connect
from squall.bus.errors import RejectedError
from squall.bus.guard import Guard
from squall.bus.identity import SYSTEM, Authority
from squall.bus.jetstream import call
from squall.bus.pull import Delivery, Puller
from squall.bus.subjects import ANY, POOL, Subjects, api
from squall.bus.system import Accounts
from squall.bus.tasks import task_group, wait_until
from squall.bus.topology.link import Node
from squall.bus.topology.rights import Permissions
from squall.services.patterns import hierarchical
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.patterns.pattern import Pattern
from squall.services.roles import sweeper
from squall.services.run.spec import Spec


@dataclass(frozen=True)
class SharedBroker:
    """All that a test may know of a broker that is not its own."""

    url: str


@dataclass
class Bus:
    """A broker, who may connect to it, and what is on it."""

    spec: Spec
    swarm: Subjects
    broker: Broker | SharedBroker
    authority: Authority

    def connect(
        self, node: str, life_s: float | None = None, *, url: str = ""
    ) -> AbstractAsyncContextManager[Connection]:
        return connect(url or self.broker.url, node, self.authority.credentials(node, life_s))


BusMaker = Callable[..., AbstractAsyncContextManager[Bus]]


SWEEPER = "sweeper"
"""Removes a test's streams, whose bounds the broker sets aside for as long as they are there."""


@dataclass(frozen=True)
class Shared:
    """The broker that tests share, and the authority beside which theirs are."""

    broker: Broker
    authority: Authority


@contextlib.asynccontextmanager
async def own_broker(authority: Authority, directory: Path) -> AsyncIterator[Broker]:
    async with (
        Guard() as guard,
        Broker.running(
            directory / "broker",
            lambda: authority.server_config(directory / "broker" / "jwt"),
            guard=guard,
            log=directory / "broker.log",
            probe=jetstream_probe(lambda: authority.credentials("launcher", 60)),
        ) as broker,
    ):
        yield broker


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A broker that lives as long as the process, kept by a thread: the loops of tests come and go."""
    started: queue.Queue[Shared | BaseException] = queue.Queue()
    ending: queue.Queue[Callable[[], object]] = queue.Queue()

    async def keep() -> None:
        authority = Authority.create(hierarchical.topology(HierarchicalSpec(swarm="first")))
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        ending.put(lambda: loop.call_soon_threadsafe(stop.set))
        async with own_broker(authority, tmp_path_factory.mktemp("shared")) as broker:
            started.put(Shared(broker, authority))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(keep())
        except BaseException as error:  # raised where it is waited for
            started.put(error)

    thread = threading.Thread(target=run, name="shared broker")
    thread.start()
    found = started.get()
    if not isinstance(found, Shared):
        raise found
    yield found
    ending.get()()
    thread.join()


@contextlib.asynccontextmanager
async def guest(shared: Shared, pattern: Pattern, spec: Spec) -> AsyncIterator[Bus]:
    """A swarm beside others on the shared broker."""
    topology = pattern.topology(spec)
    swept = [config["name"] for config in pattern.streams(spec)]
    topology = replace(
        topology,
        nodes=(*topology.nodes, Node(SWEEPER, SWEEPER)),
        administration={**topology.administration, SWEEPER: Permissions((api("STREAM", "DELETE", ANY),))},
    )
    authority = Authority.create(topology, beside=shared.authority)
    url = shared.broker.url
    async with (
        connect(url, SYSTEM, authority.credentials(SYSTEM, 600)) as system,
        task_group() as tasks,
    ):
        accounts = Accounts(authority, system)
        tasks.daemon(accounts.run())
        accounts.introduce()
        assert await accounts.settled(30)
    try:
        async with connect(url, "launcher", authority.credentials("launcher", 60)) as launcher:
            await pattern.provision(launcher, spec)
        yield Bus(spec, Subjects(spec.swarm), SharedBroker(url), authority)
    finally:
        async with connect(url, SWEEPER, authority.credentials(SWEEPER, 60)) as sweeper:
            for stream in swept:
                with contextlib.suppress(RejectedError):
                    await call(sweeper, "STREAM", "DELETE", stream)


@pytest.fixture
def bus(tmp_path: Path, request: pytest.FixtureRequest) -> BusMaker:
    """``async with bus(ack_wait_s=1.0) as b``: a swarm with that spec's streams, on a broker.

    ``bus(alone=True)`` has a broker of its own, to be stopped or killed.
    """

    @contextlib.asynccontextmanager
    async def running(
        pattern: Pattern | None = None, *, alone: bool = False, **changes: Any
    ) -> AsyncIterator[Bus]:
        pattern = pattern or hierarchical.PATTERN
        spec = pattern.spec(**{"pattern": pattern.name, **changes})
        if not alone:
            shared: Shared = request.getfixturevalue("shared")
            async with guest(shared, pattern, spec) as b:
                yield b
            return
        authority = Authority.create(pattern.topology(spec))
        async with own_broker(authority, tmp_path) as broker:
            async with connect(broker.url, "launcher", authority.credentials("launcher", 60)) as launcher:
                await pattern.provision(launcher, spec)
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
