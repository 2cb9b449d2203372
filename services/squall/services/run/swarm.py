"""A running swarm: its broker, its credentials, its nodes, kept alive until the block ends.

guard ─► broker ─► streams ─► venue ─► coordinators, gateway, agents ─► (producer, when told)
  └── ends every process with this one
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from squall.bus import log as bus_log
from squall.bus.broker import Broker, jetstream_probe
from squall.bus.codec import decode
from squall.bus.connection import Connection, connect
from squall.bus.errors import RequestError
from squall.bus.guard import Guard
from squall.bus.identity import SYSTEM, Authority, Credentials
from squall.bus.messages import TermClaimed
from squall.bus.subjects import GATEWAY, POOL, Subjects
from squall.bus.system import Accounts
from squall.bus.tasks import Tasks, task_group
from squall.services.errors import LaunchError
from squall.services.launch import Launcher, Unit
from squall.services.launch.processes import ProcessLauncher
from squall.services.node.history import History
from squall.services.node.service import NodeStart, Order, VenueToken
from squall.services.patterns import pattern_of
from squall.services.patterns.pattern import AGENT, PRODUCER, VENUE, Backlog
from squall.services.rules.conduct import Suspicion
from squall.services.run import stores
from squall.services.run.counters import Counters
from squall.services.run.directory import RunDirectory
from squall.services.run.outside_broker import OutsideBroker, outside_broker
from squall.services.run.spec import S, Spec, spec_as
from squall.services.run.warden import WARDEN, Warden

log = logging.getLogger("squall")

STARTS_MAX = 5
"""Starts of one node in a row that may end before it serves."""

RESTART_PAUSE_S = 0.1
STOP_S = 10.0
PRODUCER_STOP_S = 90.0
"""A producer that is asked to stop still waits for what it is not sure of, which it does for a minute."""

DISK_LOOK_S = 0.5

PUSH_S = 1.0
"""How long to wait for the broker to take a revocation; one that is away is told once it answers."""

Route = Callable[[str, str], Awaitable[str]]
"""From a node's name and the broker's URL to the URL that the node is given."""


async def straight(node: str, url: str) -> str:
    """Every node reaches the broker directly."""
    return url


class Swarm:
    """Made by `running`.

    Attributes:
        spec: What it runs.
        pattern: The pattern of it.
        topology: Its nodes, and who may do what.
        units: The nodes that serve now, by name.
        limits: Guarantees it does not have, in words.
        server_version: The broker's version.
        broker: Our own broker; None for an outside one.
        restarts: Nodes that had to be started again so far.
        load_cut_short: Whether the producer was stopped before it had offered everything.
    """

    def __init__(
        self,
        spec: Spec,
        run: RunDirectory,
        launcher: Launcher,
        tasks: Tasks,
        route: Route,
        preload: str,
        history: History,
    ) -> None:
        self.spec = spec
        self.pattern = pattern_of(spec)
        self.topology = self.pattern.topology(spec)
        self.swarm = Subjects(spec.swarm)
        self.units: dict[str, Unit] = {}
        self.limits: list[str] = []
        self.server_version = ""
        self.broker: Broker | None = None
        self.restarts = 0
        self.load_cut_short = False
        self._run = run
        self.launcher = launcher
        self._tasks = tasks
        self._route = route
        self._preload = preload
        self._history = history
        self._url = ""
        self._venue = ""
        self._venue_token = VenueToken(secrets.token_urlsafe(32))
        self._mint: Callable[[str], Credentials | None] = lambda node: None
        self._accounts: Accounts | None = None  # with a broker of our own
        self._starts: dict[str, int] = {}
        self._expelled: set[str] = set()
        self._ended = 0
        self._stopping = False
        self._done: set[str] = set()
        self._supervisors: dict[str, asyncio.Task[None]] = {}
        self._connections: list[tuple[str, Connection]] = []
        self.observer: Connection
        self._counters = Counters(run, lambda: self.observer.counters)

    # Starting.

    def note(self, node: str, role: str, incarnation: int = 1, pid: str = "") -> None:
        """Enter a start into the run's list of nodes.

        Args:
            pid: What the target calls it; this process, if empty.
        """
        self._run.append(
            "nodes.jsonl",
            node=node,
            role=role,
            incarnation=incarnation,
            target=self.launcher.target,
            pid=int(pid) if pid.isdigit() else pid or os.getpid(),
            started_s=time.time(),
        )
        self._counters.started(node, role, incarnation)

    async def _supervise(self, node: str, role: str, serving: asyncio.Event) -> None:
        """Start a node, and again whenever it ends, until the swarm stops or its work is done."""
        incarnation = failures = 0
        port = 0
        while True:
            incarnation += 1
            self._starts[node] = incarnation
            url = await self._route(node, self._url) if role != VENUE else ""
            if node in self._expelled:
                break
            start = NodeStart(
                spec=self.spec,
                node=node,
                role=role,
                incarnation=incarnation,
                url=url,
                credentials=self._mint(node) if role != VENUE else None,
                history=str(self._run.history),
                venue=self._venue if role == GATEWAY else "",
                venue_token=self._venue_token if role in (GATEWAY, VENUE) else None,
                path=str(self._run.venue),
                port=port,
                preload=self._preload,
            )
            try:
                unit = await self.launcher.start(start)
            except LaunchError as error:
                await self._revoke(node, role)
                failures += 1
                if failures >= STARTS_MAX and node not in self._expelled:
                    raise
                log.warning("%s", error)
                await asyncio.sleep(RESTART_PAUSE_S * 2**failures)
                continue
            failures = 0
            self.note(node, role, incarnation, unit.id)
            self.units[node] = unit
            if role == VENUE:
                self._venue = unit.ready.url
                port = urlsplit(self._venue).port or 0
            serving.set()
            if node in self._expelled:  # while it was being started
                await self.launcher.kill(unit)
            status = await unit.ended()
            self.launcher.forget(unit)
            if unit.killed_for:
                facts = {"agent": node, "incarnation": incarnation, "reason": unit.killed_for}
                self._history("killed", "ok", **facts)
            self.units.pop(node, None)
            if not self._stopping:
                await self._revoke(node, role)
            if self._stopping or node in self._done or (role == PRODUCER and status == 0):
                return
            if node in self._expelled:
                break
            log.info("%s ended with status %d and is started again", node, status)
            self.restarts += 1
            await asyncio.sleep(RESTART_PAUSE_S)
        serving.set()  # it will not, and nobody is to wait for it

    async def _revoke(self, node: str, role: str) -> None:
        """Have the broker refuse what an agent's process was given, now that the process has ended."""
        if self._accounts is not None and role == AGENT:
            self._accounts.revoke(node)
            await self._accounts.settled(PUSH_S)

    def _agents(self) -> dict[str, int]:
        """The agents that are in the swarm, and how often each was started."""
        return {name: self._starts.get(name, 0) for name in self.of_role(AGENT) if name not in self._expelled}

    async def expel(self, suspicion: Suspicion) -> None:
        """Put an agent out: end it and take its account away.

        Raises:
            LaunchError: No agent is left.
        """
        node = suspicion.agent
        self._expelled.add(node)
        if self._accounts is not None:
            self._accounts.expel(node)
        unit = self.units.pop(node, None)
        if unit is not None:
            await self.launcher.kill(unit)
        log.warning("%s is put out of the swarm: %s", node, suspicion.reason)
        self._history("expel", "ok", agent=node, reason=suspicion.reason)
        if self._accounts is not None:
            await self._accounts.settled(PUSH_S)
        if not self._agents():
            raise LaunchError(
                f"every agent was put out of the swarm; the last was {node}: {suspicion.reason}",
                f"see {self._run.logs} and the handler",
            )

    def _use(self, url: str, outside: OutsideBroker) -> None:
        self._url, self._mint = url, outside.mint
        self.observer, self.server_version = outside.observer, outside.server_version
        self.limits += outside.limits

    def _start(self, node: str, role: str) -> asyncio.Event:
        serving = asyncio.Event()
        self._supervisors[node] = self._tasks.daemon(self._supervise(node, role, serving))
        return serving

    async def start_producer(self) -> None:
        """Let the workload begin."""
        await self._start(PRODUCER, PRODUCER).wait()

    @property
    def producer(self) -> asyncio.Task[None]:
        """Ends with the workload, once that was begun."""
        return self._supervisors[PRODUCER]

    async def stop_producer(self) -> None:
        """Have the producer offer nothing more, and end; one that does not in time is killed."""
        self._done.add(PRODUCER)
        self.load_cut_short = self.load_cut_short or not self.producer.done()
        unit = self.units.get(PRODUCER)
        if unit is not None:
            await self.launcher.stop(unit, grace_s=PRODUCER_STOP_S)

    async def _watch_disk(self) -> None:
        """End the swarm before the disk is full, and see that no log fills it."""
        while True:
            for name in self._run.cut_logs():
                log.info("%s was cut", name)
            self._run.check_room()
            await asyncio.sleep(DISK_LOOK_S)

    async def _watch_stores(self, progress: Callable[[str], None]) -> None:
        """Tell of streams near their bounds; not of the ingress, whose bound is what holds producers back."""

        def tell(stream: str, share: float) -> None:
            progress(f"{stream} is {share:.0%} full")
            self._history("store", "ok", stream=stream, share=share)

        names = [config["name"] for config in self.pattern.streams(self.spec)]
        streams = [name for name in names if name != self.swarm.stream("IN")]
        await stores.watch(self.observer, streams, tell)

    async def _renew(self) -> None:
        """Give everybody fresh credentials at two thirds of their life."""
        while True:
            await asyncio.sleep(self.spec.credentials_life_s * 2 / 3)
            for node, unit in list(self.units.items()):
                if node in self._expelled:
                    continue
                credentials = self._mint(node) if node != VENUE else None
                if credentials is not None:
                    await self.launcher.tell(unit, Order(credentials=credentials))
            for name, connection in self._connections:
                credentials = self._mint(name)
                if credentials is not None:
                    connection.renew(credentials)

    # Looking.

    @property
    def history(self) -> Path:
        """Where its nodes write what they do."""
        return self._run.history

    @property
    def own_broker(self) -> Broker:
        """The broker that this swarm started.

        Raises:
            LookupError: It uses somebody else's.
        """
        if self.broker is None:
            raise LookupError("the swarm has no broker of its own")
        return self.broker

    def spec_as(self, kind: type[S]) -> S:
        """The spec, for code that serves its pattern alone.

        Raises:
            TypeError: It is of another pattern.
        """
        return spec_as(self.spec, kind)

    def of_role(self, role: str) -> list[str]:
        """The names of the nodes of a role, whether they serve just now or not."""
        return [node.name for node in self.topology.of_role(role)]

    async def leader(self) -> tuple[str, int] | None:
        """Who holds the newest term, and the term.

        None while nobody does, or the broker is away, or if nobody leads in this pattern.
        """
        if self.pattern.seat is None:
            return None
        seat = self.pattern.seat(self.swarm)
        with contextlib.suppress(RequestError):
            record = await bus_log.last(self.observer, seat.stream, seat.term)
            if record is not None:
                return decode(record.data, TermClaimed).holder, record.sequence
        return None

    async def backlog(self) -> Backlog:
        """How far it has come.

        Raises:
            RequestError: The broker did not answer.
        """
        return await self.pattern.backlog(self)

    async def ended(self) -> int:
        """How many tasks have ended; while the broker is away, as far as was known."""
        with contextlib.suppress(RequestError):
            registers = await bus_log.state(self.observer, self.swarm.stream("RES"))
            self._ended = int(registers["last_seq"])
        return self._ended

    async def stop(self) -> None:
        """Have every node drain and end."""
        self._stopping = True
        units = list(self.units.values())
        await asyncio.gather(*(self.launcher.stop(unit, grace_s=STOP_S) for unit in units))


@contextlib.asynccontextmanager
async def running(
    spec: Spec,
    run: RunDirectory,
    *,
    url: str | None,
    route: Route,
    preload: str,
    history: History,
    progress: Callable[[str], None],
) -> AsyncIterator[Swarm]:
    """A swarm that serves inside the block and is gone after it.

    Args:
        url: An outside broker, or None for one of our own.
        route: Says where a node is to reach the broker; asked before each start of a node.
        preload: A module that each node loads before its role, or empty.
        history: The command's; told of agents that are killed or put out, and of streams nearly full.
        progress: Told what is being done.

    Raises:
        SpecError, LaunchError, BusError: It cannot be started, or not be kept running.
    """
    async with Guard() as guard, task_group() as tasks:
        swarm = Swarm(spec, run, ProcessLauncher(guard, run.logs), tasks, route, preload, history)
        async with contextlib.AsyncExitStack() as stack:
            if url is None:
                await _own_broker(swarm, run, guard, stack, progress)
            else:
                progress(f"connecting to {url}")
                swarm._use(url, await stack.enter_async_context(outside_broker(spec, url)))
            await swarm.observer.subscribe(swarm.swarm.heartbeats, swarm._counters.hear)
            tasks.daemon(swarm._counters.keep())
            progress("starting the nodes")
            await swarm._start(VENUE, VENUE).wait()
            nodes = [
                node
                for node in swarm.topology.nodes
                if node.role in swarm.pattern.roles and node.role != PRODUCER
            ]
            serving = [swarm._start(node.name, node.role) for node in nodes]
            for event in serving:
                await event.wait()
            tasks.daemon(swarm._renew())
            tasks.daemon(swarm._watch_disk())
            tasks.daemon(swarm._watch_stores(progress))
            yield swarm
            progress("stopping the nodes")
            await swarm.stop()


async def _own_broker(
    swarm: Swarm,
    run: RunDirectory,
    guard: Guard,
    stack: contextlib.AsyncExitStack,
    progress: Callable[[str], None],
) -> None:
    """A private nats-server with an operator of our own: permissions by topology."""
    progress("starting nats-server")
    spec = swarm.spec
    authority = Authority.create(swarm.topology)
    swarm._mint = lambda node: authority.credentials(node, spec.credentials_life_s)

    def on_start(pid: int, incarnation: int) -> None:
        swarm.note("broker", "broker", incarnation, str(pid))

    broker = await stack.enter_async_context(
        Broker.running(
            run.broker,
            lambda: authority.server_config(run.broker / "jwt"),
            guard=guard,
            log=run.logs / "broker.log",
            probe=jetstream_probe(lambda: authority.credentials("launcher", 60)),
            on_start=on_start,
        )
    )
    swarm.broker = broker
    swarm._url, swarm.server_version = broker.url, broker.version
    async with connect(broker.url, "launcher", authority.credentials("launcher", 60)) as launcher:
        await swarm.pattern.provision(launcher, spec)
    swarm.observer = await stack.enter_async_context(connect(broker.url, "observer", swarm._mint("observer")))
    swarm._connections.append(("observer", swarm.observer))
    system = await stack.enter_async_context(connect(broker.url, SYSTEM, swarm._mint(SYSTEM)))
    swarm._connections.append((SYSTEM, system))
    tasks = await stack.enter_async_context(task_group())
    swarm._accounts = Accounts(authority, system)
    tasks.daemon(swarm._accounts.run())
    pool = next((consumer for consumer in swarm.pattern.consumers(spec) if consumer.name == POOL), None)
    if pool is None:
        return  # agents that share no consumer keep each other from nothing
    core = await stack.enter_async_context(connect(broker.url, WARDEN, swarm._mint(WARDEN)))
    swarm._connections.append((WARDEN, core))
    warden = Warden(
        spec,
        authority,
        system,
        core,
        pool=pool,
        starts=swarm._agents,
        put_out=swarm.expel,
    )
    tasks.daemon(warden.run())
