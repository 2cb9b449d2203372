"""A running swarm: its broker, its credentials, its nodes, kept alive until the block ends.

guard ─► broker ─► streams ─► venue ─► the pattern's nodes ─► (producer, when told)
  └── ends every process with this one
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from squall.bus import log as bus_log
from squall.bus import system
from squall.bus.broker import READY_S, Broker
from squall.bus.codec import decode
from squall.bus.connection import connect
from squall.bus.errors import RequestError
from squall.bus.guard import Guard
from squall.bus.messages import TermClaimed
from squall.bus.subjects import POOL, Subjects
from squall.bus.tasks import task_group
from squall.bus.topology.link import Node
from squall.bus.topology.model import Topology
from squall.services.errors import LaunchError, SpecError
from squall.services.launch import Launcher, Unit
from squall.services.launch.processes import ProcessLauncher
from squall.services.node.history import History
from squall.services.node.service import NodeStart, Origin
from squall.services.patterns import pattern_of
from squall.services.patterns.pattern import AGENT, PRODUCER, VENUE, Backlog, Consumer
from squall.services.rules.conduct import Suspicion
from squall.services.run import watches
from squall.services.run.access import Access, Own
from squall.services.run.counters import Counters
from squall.services.run.directory import RunDirectory
from squall.services.run.nodes import PUSH_S, Nodes, Route, Starts, straight
from squall.services.run.outside_broker import outside_broker
from squall.services.run.own_broker import BROKER_LOG, own_broker
from squall.services.run.progress import Phase, Progress, Waiting
from squall.services.run.spec import S, Spec, is_own, spec_as
from squall.services.run.warden import WARDEN, Warden

log = logging.getLogger("squall")

STOP_S = 10.0

DRAIN_S = 30.0
"""How long a node that leaves may take to finish what it has begun."""

ADMIT_S = 10.0
"""How long the broker may take to hear of a node that joins."""

PRODUCER_STOP_S = 90.0
"""A producer that is asked to stop still waits for what it is not sure of, which it does for a minute."""


TRIAL = "handler"
"""What a process is called that imports the handler before there is anything else."""


class Swarm:
    """Made by `running`.

    Attributes:
        spec: What it runs.
        pattern: The pattern of it.
        swarm: Its subjects.
        limits: Guarantees it does not have, in words.
        server_version: The broker's version.
        url: Where the broker listens.
        owns_broker: Whether this swarm started it; somebody else's broker is not to be touched.
        observer: The command's own connection.
        launcher: Starts its nodes and has a hold on them.
        load_cut_short: Whether the producer was stopped before it had offered everything.
        tell: Told what is learned of the run as it goes.
    """

    def __init__(
        self,
        spec: Spec,
        run: RunDirectory,
        access: Access,
        launcher: Launcher,
        nodes: Nodes,
        starts: Starts,
        history: History,
        counters: Counters,
        progress: Progress,
    ) -> None:
        self.spec = spec
        self.pattern = pattern_of(spec)
        self.swarm = Subjects(spec.swarm)
        self.limits = access.limits
        self.server_version = access.server_version
        self.url = access.url
        self.owns_broker = access.own is not None
        self.observer = access.observer
        self.launcher = launcher
        self.load_cut_short = False
        self.note = starts.note
        self.tell = progress
        self._run = run
        self._access = access
        self._nodes = nodes
        self._history = history
        self._counters = counters
        self._topology = self.pattern.topology(spec)
        self._numbers: dict[str, int] = {}
        self._changing = asyncio.Lock()
        self._ended = 0

    # Its nodes.

    @property
    def topology(self) -> Topology:
        """Its nodes and who may do what, as it is now."""
        return self._topology if self._access.own is None else self._access.own.authority.topology

    @property
    def units(self) -> dict[str, Unit]:
        """The nodes that serve now, by name."""
        return self._nodes.units

    @property
    def restarts(self) -> int:
        """Nodes that had to be started again so far."""
        return self._nodes.restarts

    def of_role(self, role: str) -> list[str]:
        """The names of the nodes of a role, whether they serve just now or not."""
        return [node.name for node in self.topology.of_role(role)]

    def agents(self) -> dict[str, int]:
        """The agents that were not put out, and how often each was started."""
        return self._nodes.starts(self.of_role(AGENT))

    async def start(self) -> None:
        """Have all of its nodes serve, but the producer."""
        await self._nodes.start(VENUE, VENUE).wait()
        started = [
            self._nodes.start(node.name, node.role)
            for node in self.topology.nodes
            if node.role in self.pattern.roles and node.role != PRODUCER
        ]
        for serving in started:
            await serving.wait()

    async def start_producer(self) -> None:
        """Let the workload begin."""
        await self._nodes.start(PRODUCER, PRODUCER).wait()

    @property
    def producer(self) -> asyncio.Task[None]:
        """Ends with the workload, once that was begun."""
        return self._nodes.supervisor(PRODUCER)

    async def stop_producer(self) -> None:
        """Have the producer offer nothing more, and end; one that does not in time is killed."""
        self.load_cut_short = self.load_cut_short or not self.producer.done()
        await self._nodes.end(PRODUCER, grace_s=PRODUCER_STOP_S)

    async def add(self, role: str) -> str:
        """Have one more node of a role serve; its name, once it does.

        The broker knows it, and has its consumers, before it is started. Nobody else notices.

        Raises:
            SpecError: The pattern has no such role, or none that can have one node more.
            LaunchError: The broker does not hear of it, or it does not start.
        """
        async with self._changing:
            node = self._another(role)
            topology = self.topology.with_node(node)
            made, _ = self._changed(topology)
            try:
                await self._provide(made)
            except RequestError as error:
                await self._withdraw(made)
                raise LaunchError(f"{node.name} cannot join: {error}") from error
            if self._access.own is not None:
                accounts = self._access.own.accounts
                accounts.admit(node)
                if not await accounts.settled(ADMIT_S):
                    accounts.dismiss(node.name)
                    await self._withdraw(made)
                    raise LaunchError(f"{node.name} cannot join: the broker does not answer")
            self._topology = topology
            self._history("join", "ok", agent=node.name)
            await self._nodes.start(node.name, node.role).wait()
            return node.name

    async def remove(self, node: str) -> None:
        """Have a node finish what it has begun, and leave for good; one that does not in time is killed.

        Raises:
            InvalidNameError: There is no such node.
            ValueError: It is the last of its role.
            SpecError: The pattern cannot do without it.
            LaunchError: It left, but what it pulled from could not be removed.
        """
        async with self._changing:
            topology = self.topology.without_node(node)
            _, gone = self._changed(topology)
            await self._nodes.end(node, grace_s=DRAIN_S)
            await asyncio.wait({self._nodes.supervisor(node)})
            self._topology = topology
            if self._access.own is not None:
                self._access.own.accounts.dismiss(node)
                await self._access.own.accounts.settled(PUSH_S)
            self._history("leave", "ok", agent=node)
            try:
                await self._provide(gone=gone)
            except RequestError as error:
                raise LaunchError(f"{node} left, and its consumers are still there: {error}") from error

    def _changed(self, topology: Topology) -> tuple[list[Consumer], list[Consumer]]:
        """The consumers that a topology needs and this one does not, and the reverse."""
        now, then = (
            {
                (consumer.stream, consumer.name): consumer
                for consumer in self.pattern.consumers(self.spec, each)
            }
            for each in (self.topology, topology)
        )
        made = [consumer for place, consumer in then.items() if place not in now]
        return made, [consumer for place, consumer in now.items() if place not in then]

    async def _provide(self, made: Sequence[Consumer] = (), gone: Sequence[Consumer] = ()) -> None:
        """Make the consumers of who joins, and remove those of who left."""
        if not made and not gone:
            return
        async with self._access.provisioner() as connection:
            for consumer in made:
                await consumer.create(connection)
            for consumer in gone:
                await consumer.delete(connection)

    async def _withdraw(self, made: Sequence[Consumer]) -> None:
        """Remove the consumers of who did not come to join, which would hold what nobody pulls."""
        try:
            await self._provide(gone=made)
        except RequestError as error:
            log.warning("consumers of who did not join may be there: %s", error)

    def _another(self, role: str) -> Node:
        """One more node of a role, with a name that none has had."""
        others = self.topology.of_role(role)
        if role not in self.pattern.roles or role in (PRODUCER, VENUE) or not others:
            raise SpecError(f"no node of role {role!r} can join a swarm of the pattern {self.pattern.name}")
        numbers = [int(end) for name in self.of_role(role) if (end := name.rpartition("-")[2]).isdigit()]
        self._numbers[role] = max([self._numbers.get(role, 0), *numbers]) + 1
        return Node(f"{role}-{self._numbers[role]}", role, isolated=others[0].isolated)

    async def expel(self, suspicion: Suspicion) -> None:
        """Put an agent out: end it and take its account away.

        Raises:
            LaunchError: No agent is left.
        """
        node, own = suspicion.agent, self._access.own
        if own is not None:
            own.accounts.expel(node)
        await self._nodes.expel(node)
        log.warning("%s is put out of the swarm: %s", node, suspicion.reason)
        self._history("expel", "ok", agent=node, reason=suspicion.reason)
        if own is not None:
            await own.accounts.settled(PUSH_S)
        if not self.agents():
            raise LaunchError(
                f"every agent was put out of the swarm; the last was {node}: {suspicion.reason}",
                f"see {self._run.logs} and the handler",
            )

    async def stop(self, *, grace_s: float = STOP_S) -> None:
        """Have every node drain and end."""
        await self._nodes.stop(grace_s=grace_s)

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
        if self._access.own is None:
            raise LookupError("the swarm has no broker of its own")
        return self._access.own.broker

    def spec_as(self, kind: type[S]) -> S:
        """The spec, for code that serves its pattern alone.

        Raises:
            TypeError: It is of another pattern.
        """
        return spec_as(self.spec, kind)

    async def heard(self, node: str) -> int | None:
        """How many messages its own broker has had on the open connections of a node.

        None if the broker does not say.
        """
        if self._access.own is None:
            return None
        with contextlib.suppress(RequestError):
            return await system.heard(self._access.own.system, node)
        return None

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

    def offered(self) -> int | None:
        """How many tasks were offered, by its producer's last heartbeat; None before the first."""
        return self._counters.offered(PRODUCER)

    async def ended(self) -> int:
        """How many tasks have ended; while the broker is away, as far as was known."""
        with contextlib.suppress(RequestError):
            registers = await bus_log.state(self.observer, self.swarm.stream("RES"))
            self._ended = int(registers["last_seq"])
        return self._ended


@contextlib.asynccontextmanager
async def running(
    spec: Spec,
    run: RunDirectory,
    *,
    url: str | None,
    route: Route = straight,
    preload: str = "",
    origin: Origin | None = None,
    history: History,
    progress: Progress,
) -> AsyncIterator[Swarm]:
    """A swarm that serves inside the block and is gone after it.

    Args:
        url: An outside broker, or None for one of our own.
        route: Says where a node is to reach the broker; asked before each start of a node.
        preload: A module that each node loads before its role, or empty.
        origin: Where the spec's handler comes from; see `Origin`.
        history: The command's; told of agents that are killed, put out, join or leave, and of full streams.
        progress: Told what is learned of the run as it goes.

    Raises:
        SpecError, LaunchError, BusError: It cannot be started, or not be kept running.
    """
    async with Guard() as guard, task_group() as tasks:
        launcher = ProcessLauncher(guard, run.logs)
        counters = Counters(run, lambda: swarm.observer.counters)
        starts = Starts(run, counters, launcher.target)
        if is_own(spec.handler):
            progress(Waiting(what=f"the handler {spec.handler} to be imported"))
            await _try_handler(spec, origin, launcher)
        async with contextlib.AsyncExitStack() as stack:
            progress(Phase(stage="starting"))
            if url is None:
                progress(Waiting(what="nats-server to be ready", at_most_s=READY_S))
                broker = own_broker(spec, run, guard, starts)
            else:
                progress(Waiting(what=f"an answer from {url}"))
                broker = outside_broker(spec, url)
            access = await stack.enter_async_context(broker)
            if access.own is not None:
                tasks.daemon(watches.broker_log(run.logs / BROKER_LOG, history, progress))
            nodes = Nodes(
                spec,
                run,
                access,
                launcher,
                tasks,
                starts,
                route=route,
                preload=preload,
                origin=origin,
                history=history,
            )
            swarm = Swarm(spec, run, access, launcher, nodes, starts, history, counters, progress)
            if access.own is not None:
                await stack.enter_async_context(_warden(swarm, access, access.own))
            hearing = await stack.enter_async_context(swarm.observer.apart())
            await hearing.subscribe(swarm.swarm.heartbeats, counters.hear)
            tasks.daemon(counters.keep())
            progress(Waiting(what="the nodes to serve"))
            await swarm.start()
            tasks.daemon(nodes.renew())
            tasks.daemon(watches.disk(run))
            # Not of the ingress, whose bound is what holds producers back.
            ingress = swarm.swarm.stream("IN")
            names = [name for each in swarm.pattern.streams(spec) if (name := each["name"]) != ingress]
            tasks.daemon(watches.bounds(swarm.observer, names, history, progress))
            yield swarm
            progress(Phase(stage="stopping", at_most_s=STOP_S))
            await swarm.stop()


async def _try_handler(spec: Spec, origin: Origin | None, launcher: Launcher) -> None:
    """See that agents will be able to import their handler.

    Raises:
        SpecError: They will not.
    """
    trial = NodeStart(spec=spec, node=TRIAL, role=AGENT, incarnation=1, origin=origin)
    unit = await launcher.start(trial)
    await unit.ended()
    launcher.forget(unit)


@contextlib.asynccontextmanager
async def _warden(swarm: Swarm, access: Access, own: Own) -> AsyncIterator[None]:
    """Watch the agents inside the block, where they share a consumer and so could keep each other from it."""
    consumers = swarm.pattern.consumers(swarm.spec, swarm.topology)
    pool = next((consumer for consumer in consumers if consumer.name == POOL), None)
    if pool is None:
        yield
        return
    async with connect(access.url, WARDEN, access.mint(WARDEN)) as core, task_group() as tasks:
        access.connections[WARDEN] = core
        warden = Warden(
            swarm.spec, own.authority, own.system, core, pool=pool, starts=swarm.agents, put_out=swarm.expel
        )
        tasks.daemon(warden.run())
        yield
