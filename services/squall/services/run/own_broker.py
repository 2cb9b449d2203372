"""A broker of our own: a private nats-server with an operator of ours, so with permissions by topology."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator
from dataclasses import replace

from squall.bus import system as bus_system
from squall.bus.broker import LOOPBACK, Broker, jetstream_probe
from squall.bus.connection import Connection, connect
from squall.bus.errors import RequestError
from squall.bus.guard import Guard
from squall.bus.identity import SYSTEM, Authority, Credentials
from squall.bus.system import Accounts
from squall.bus.tasks import task_group
from squall.bus.topology.model import Topology
from squall.services.handlers.guests import guest_of
from squall.services.patterns import pattern_of
from squall.services.run.access import Access, Own
from squall.services.run.directory import RunDirectory
from squall.services.run.nodes import Starts
from squall.services.run.spec import Spec

BROKER = "broker"
"""Its name and role among the processes of a run."""

LAUNCHER = "launcher"
"""Its node makes the streams."""

OBSERVER = "observer"
"""Its node looks, and changes nothing."""

LAUNCHER_LIFE_S = 60.0

BROKER_LOG = "broker.log"
"""The broker's log, among those of a run."""


def topology_of(spec: Spec) -> Topology:
    """Who there is on a swarm's own broker, guests included."""
    guest = guest_of(spec.handling, spec.handler_timeout_s)
    return replace(pattern_of(spec).topology(spec), guests=() if guest is None else (guest,))


@contextlib.asynccontextmanager
async def own_broker(
    spec: Spec, run: RunDirectory, guard: Guard, starts: Starts, *, host: str = LOOPBACK
) -> AsyncIterator[Access]:
    """A broker that serves inside the block, with the streams of a swarm.

    Args:
        guard: Ends it if this process dies.
        starts: Told of each start of it.
        host: The address of this machine at which it listens.

    Raises:
        BusError: It cannot be started, or not be kept running.
    """
    pattern = pattern_of(spec)
    authority = Authority.create(topology_of(spec))

    def launcher() -> Credentials:
        return authority.credentials(LAUNCHER, LAUNCHER_LIFE_S)

    def started(pid: int, incarnation: int) -> None:
        starts.note(BROKER, BROKER, incarnation, str(pid))

    def mint(node: str) -> Credentials:
        return authority.credentials(node, spec.credentials_life_s)

    async with contextlib.AsyncExitStack() as stack:
        broker = await stack.enter_async_context(
            Broker.running(
                run.broker,
                lambda: authority.server_config(run.broker / "jwt"),
                guard=guard,
                log=run.logs / BROKER_LOG,
                probe=jetstream_probe(launcher),
                on_start=started,
                host=host,
            )
        )

        def provisioner() -> contextlib.AbstractAsyncContextManager[Connection]:
            return connect(broker.url, LAUNCHER, launcher())

        async with provisioner() as connection:
            await pattern.provision(connection, spec)
        observer = await stack.enter_async_context(connect(broker.url, OBSERVER, mint(OBSERVER)))
        system = await stack.enter_async_context(connect(broker.url, SYSTEM, mint(SYSTEM)))
        accounts = Accounts(authority, system)
        tasks = await stack.enter_async_context(task_group())
        tasks.daemon(accounts.run())
        yield Access(
            url=broker.url,
            server_version=broker.version,
            observer=observer,
            provisioner=provisioner,
            mint=mint,
            connections={OBSERVER: observer, SYSTEM: system},
            process=broker,
            heard=functools.partial(_heard, system),
            own=Own(broker=broker, authority=authority, accounts=accounts, system=system),
        )


async def _heard(system: Connection, node: str) -> int | None:
    """How many messages the broker has had on the open connections of a node; None if it does not say."""
    with contextlib.suppress(RequestError):
        return await bus_system.heard(system, node)
    return None
