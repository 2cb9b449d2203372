"""A swarm that serves: what is asked of it as a whole, and what it is seen to do. Made by `running.py`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from squall.bus import log as bus_log
from squall.bus.border import printable
from squall.bus.codec import decode
from squall.bus.errors import RequestError
from squall.bus.identity import Credentials
from squall.bus.messages import TermClaimed
from squall.bus.subjects import Subjects
from squall.bus.topology.link import Node
from squall.bus.topology.model import Topology
from squall.services.errors import LaunchError, SpecError
from squall.services.launch import Launcher, Unit
from squall.services.node.history import History
from squall.services.node.service import Operate, Order
from squall.services.patterns import pattern_of
from squall.services.patterns.pattern import AGENT, PRODUCER, VENUE, Backlog, Consumer
from squall.services.rules.conduct import Suspicion
from squall.services.run.access import Access, BrokerProcess
from squall.services.run.counters import Counters
from squall.services.run.directory import RunDirectory
from squall.services.run.nodes import PUSH_S, Nodes, Starts
from squall.services.run.progress import Progress
from squall.services.run.spec import S, Spec, spec_as

log = logging.getLogger("squall")

LOOK_S = 0.05

STOP_S = 10.0

DRAIN_S = 30.0
"""How long a node that leaves may take to finish what it has begun."""

ADMIT_S = 10.0
"""How long the broker may take to hear of a node that joins."""

PRODUCER_STOP_S = 90.0
"""A producer that is asked to stop still waits for what it is not sure of, which it does for a minute."""


class Swarm:
    """Made by `running.on_broker`.

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
        if self.spec.has_venue:
            await self._nodes.start(VENUE, VENUE).wait()
        started = [
            self._nodes.start(node.name, node.role)
            for node in self.topology.nodes
            if node.role in self.pattern.roles and node.role != PRODUCER
        ]
        for serving in started:
            await serving.wait()
        if self.pattern.roster is not None:
            keys = {name: self._nodes.key(name).public for name in self.of_role(AGENT)}
            async with self._access.provisioner() as connection:
                await self.pattern.roster.found(self, connection, keys)

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
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PRODUCER_STOP_S):
                # One that was killed just now is on its way back, and has to say that jobs are complete.
                while not self.producer.done():
                    if (unit := self.units.get(PRODUCER)) is not None:
                        await self.launcher.stop(unit, grace_s=PRODUCER_STOP_S)
                    await asyncio.wait({self.producer}, timeout=LOOK_S)
        await self._nodes.end(PRODUCER, grace_s=0.0)

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
            if self.pattern.roster is not None and role == AGENT:
                await self.enrol(node.name, member=True)
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
            if self.pattern.roster is not None and node in self.of_role(AGENT):
                await self.enrol(node, member=False)
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
        number = max([self._numbers.get(role, 0), *numbers]) + 1
        if self.pattern.roster is not None and role == AGENT:
            number = self.pattern.roster.next_number(self.spec, self.of_role(role), number)
        self._numbers[role] = number
        return Node(f"{role}-{self._numbers[role]}", role, isolated=others[0].isolated)

    async def enrol(self, node: str, *, member: bool) -> None:
        """Have an agent be a member of the roster, or none; its process goes on.

        Done again, it changes nothing.

        Raises:
            SpecError: The pattern has no roster.
            LaunchError: It was not done.
            BusError: The broker is not to be had.
        """
        roster = self.pattern.roster
        if roster is None:
            raise SpecError(f"the pattern {self.pattern.name} has no roster")
        async with self._access.provisioner() as connection:
            if member:
                await roster.join(self, connection, node, self._nodes.key(node).public)
            else:
                await roster.leave(self, connection, node)

    async def members(self) -> Collection[str]:
        """Who the members of the roster are now; nobody where the pattern has none.

        Raises:
            RequestError: The broker did not answer.
        """
        return await self.pattern.roster.members(self) if self.pattern.roster is not None else ()

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
    def own_broker(self) -> BrokerProcess:
        """The broker that this swarm started.

        Raises:
            LookupError: It uses somebody else's.
        """
        if self._access.process is None:
            raise LookupError("the swarm has no broker of its own")
        return self._access.process

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
        return await self._access.heard(node)

    async def operate(self, target: str, verb: str) -> str:
        """Have whoever leads do what an operator says; how the target stands then, in words.

        Raises:
            SpecError: There is nothing of the kind to operate.
            LaunchError: Nobody did it.
        """
        if self.pattern.operate is None:
            raise SpecError(
                f"there is nothing to operate in a swarm of the pattern {self.pattern.name}",
                "only patterns whose stages have breakers can be operated",
            )
        return await self.pattern.operate(self, target, verb)

    def invite(self, guest: str, life_s: float) -> Credentials:
        """Credentials for an agent that is not ours, which the handler of the swarm is.

        Args:
            life_s: After so long the broker lets it go; at the latest it does when the swarm ends.

        Raises:
            SpecError: The swarm has no such guest.
        """
        if self._access.own is None:
            raise SpecError(
                "the operator keys of the swarm's broker are not ours, so it has no account for a guest",
                "give the agent credentials of that broker",
            )
        authority = self._access.own.authority
        known = [each.name for each in authority.topology.guests]
        if guest not in known:
            raise SpecError(
                f"the swarm has no guest called {printable(guest, 60)!r}",
                f"there is {known[0]}" if known else "name one in its spec: [handler] guest = 'pricer'",
            )
        return authority.credentials(guest, life_s)

    async def tell_leaders(self, target: str, verb: str) -> None:
        """Pass on what an operator says to all who may lead; the one that does listens."""
        said = Order(operate=Operate(target=target, verb=verb))
        for name in self.of_role(self.pattern.leader):
            if (unit := self.units.get(name)) is not None:
                await self.launcher.tell(unit, said)

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

    def absences(self) -> int:
        """How often a handler was not there for a task, by the agents' last heartbeats."""
        return self._counters.total(AGENT, "absent")

    async def ended(self) -> int:
        """How many tasks have ended; while the broker is away, as far as was known."""
        with contextlib.suppress(RequestError):
            registers = await bus_log.state(self.observer, self.swarm.stream("RES"))
            self._ended = int(registers["last_seq"])
        return self._ended
