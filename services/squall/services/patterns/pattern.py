"""What a pattern is: one value that says all that the rest needs to know of it.

    spec ─► topology, streams, consumers ─► a swarm's identities, stores and nodes
         ─► roles ─► what the process of a node runs, and where a fault can strike it
         ─► workload ─► the producer
    swarm ─► backlog, opening, read_back ─► a run

Everything that takes ``Any`` is given a spec of the pattern's own type.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from squall.bus.border import printable
from squall.bus.connection import Connection
from squall.bus.errors import RejectedError
from squall.bus.jetstream import CONSUMER_NOT_FOUND, call, create_consumer, create_stream
from squall.bus.messages import RunTask
from squall.bus.subjects import Seat, Subjects
from squall.bus.topology.model import Topology
from squall.services.errors import SpecError
from squall.services.handlers.port import Handling
from squall.services.packages import REMEDY
from squall.services.run.spec import Spec
from squall.services.trading.workload import Submission

if TYPE_CHECKING:
    from squall.services.node.history import History
    from squall.services.run.directory import RunDirectory
    from squall.services.run.swarm import Swarm

AGENT = "agent"
"""The role of the nodes that run the user's handler, in every pattern."""

PRODUCER = "producer"
"""The role of the node that offers the workload; it is started when the run says so."""

VENUE = "venue"
"""The role of the node that stands for the outside world; it has no way to the broker."""


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """A durable consumer of a stream.

    Attributes:
        config: As JetStream takes it, without its name.
    """

    stream: str
    name: str
    config: Mapping[str, Any] = field(hash=False)

    async def create(self, connection: Connection) -> None:
        """Have it made. Done again, it changes nothing.

        Raises:
            RequestError: The broker refuses, or does not answer.
        """
        await create_consumer(connection, self.stream, self.name, self.config)

    async def delete(self, connection: Connection) -> None:
        """Remove it, if it is there.

        Raises:
            RequestError: The broker did not answer; done again, it does no harm.
        """
        try:
            await call(connection, "CONSUMER", "DELETE", self.stream, self.name)
        except RejectedError as error:
            if error.code != CONSUMER_NOT_FOUND:
                raise

    async def recreate(self, connection: Connection) -> None:
        """Take back everything that anybody holds of it, also what was put off for long, by making it anew.

        What honest nodes hold is delivered a second time, and its register decides.

        Raises:
            RequestError: The broker did not answer; done again, it does no harm.
        """
        await self.delete(connection)
        await self.create(connection)


class Place(NamedTuple):
    """Subjects in a stream.

    Attributes:
        subjects: A pattern of them; empty for all.
    """

    stream: str
    subjects: str = ""


@dataclass(frozen=True)
class Backlog:
    """How far a swarm has come.

    Attributes:
        submitted: Tasks, and ends of jobs where they are told, in the ingress so far.
        registers: Tasks with a terminal record.
        drained: Everything accepted has ended, and its effects were delivered.
    """

    submitted: int
    registers: int
    drained: bool


def _the_least(spec: Any, names: Sequence[str], least: int) -> int:
    return least


@dataclass(frozen=True, kw_only=True)
class Roster:
    """How a pattern keeps who its members are: its agents.

    Each raises LaunchError if what it asks for was not done, and is given a connection of the launcher.

    Attributes:
        found: Has the first members written, given their public keys by name, once all nodes serve.
        join: Has an agent that serves be a member.
        leave: Has an agent be none any more, before it ends.
        members: Who they are now; raises RequestError if the broker does not answer.
        next_number: The number of the next that joins, for a spec, given all names and the least that nobody
            has had: that one, or one above it.
        votes: Whether they vote, so that each has a key to sign with.
    """

    found: Callable[[Swarm, Connection, Mapping[str, str]], Awaitable[None]]
    join: Callable[[Swarm, Connection, str, str], Awaitable[None]]
    leave: Callable[[Swarm, Connection, str], Awaitable[None]]
    members: Callable[[Swarm], Awaitable[Collection[str]]]
    next_number: Callable[[Any, Sequence[str], int], int] = _the_least
    votes: bool = True


def _own_job(key: str, needs: str) -> str:
    return needs or "own"


def _submit(swarm: Subjects, task: RunTask) -> str:
    return swarm.submit(task.key)


def _own_handling(spec: Any, node: str) -> Handling:
    handling: Handling = spec.handling
    return handling


def _no_groups(spec: Any) -> Mapping[str, Sequence[str]]:
    return {}


def _nothing_to_check(spec: Any) -> None:
    pass


def _not_said(swarm: Subjects) -> Sequence[Place]:
    return ()


async def _nothing_to_watch(swarm: Swarm, history: History) -> None:
    pass


async def _nothing_to_show(swarm: Swarm, run: RunDirectory) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A deployment pattern. Registered in `squall.services.patterns`, by name.

    Attributes:
        name: What ``swarm.toml`` and the command call it.
        spec: The common fields and the pattern's own, flat, as ``swarm.toml`` has them.
        check: Raises SpecError for a spec whose own fields contradict each other.
        topology: Who there is and who may do what, for a spec.
        streams: As JetStream takes them, in the order in which they must be made.
        consumers: The durable consumers that the nodes of a topology find when they start. Raises SpecError
            for a topology with which the pattern cannot work: nobody joins or leaves to make one.
        roles: By role, the module that serves it: it has ``serve(service)``, a coroutine that ends when
            ``service.stop`` is set, and ``POINTS``, what has happened at each point where a fault can strike
            it. The venue's has ``serve_alone(alone)`` instead; see `node.service.Alone`.
        leader: The role whose nodes stand for the seat; empty if nobody leads.
        seat: Where the leadership is kept; None if nobody leads.
        roster: How it keeps who its members are; None if it keeps no such list.
        workload: What is offered, in order; the same for the same spec.
        job: The job of a task that is a user's own, by its key and the capability that it needs.
        subject: Where a task is submitted. Raises InvalidNameError if its names cannot be used in subjects.
        handling: The handler of a node that runs one, and what it is told beside its tasks.
        groups: Agents that do the same together, by a word that means them.
        close: Where a producer says that a job has all its tasks; None if nobody needs to know.
        emptied: Where no record is left, soon after a swarm has drained.
        backlog: How far a swarm has come. Raises RequestError if the broker does not answer.
        read_back: Writes what the broker holds in the end into the history; how many registers there are.
        watch: Writes what is seen of a swarm that serves into the history, until it is cancelled.
        opening: What ``squall run`` does to a swarm at work, to show what the pattern survives.
        operate: Has whoever leads do what an operator says of a target, and returns how that stands then, in
            words. Raises SpecError for what it does not know, LaunchError if nobody did it; None if there is
            nothing to operate.
    """

    name: str
    spec: type[Spec]
    check: Callable[[Any], None] = _nothing_to_check
    topology: Callable[[Any], Topology]
    streams: Callable[[Any], Sequence[dict[str, Any]]]
    consumers: Callable[[Any, Topology], Sequence[Consumer]]
    roles: Mapping[str, str]
    leader: str = ""
    seat: Callable[[Subjects], Seat] | None = None
    roster: Roster | None = None
    workload: Callable[[Any], Iterator[Submission]]
    job: Callable[[str, str], str] = _own_job
    subject: Callable[[Subjects, RunTask], str] = _submit
    handling: Callable[[Any, str], Handling] = _own_handling
    groups: Callable[[Any], Mapping[str, Sequence[str]]] = _no_groups
    close: Callable[[Subjects, str], str] | None = None
    emptied: Callable[[Subjects], Sequence[Place]] = _not_said
    backlog: Callable[[Swarm], Awaitable[Backlog]]
    read_back: Callable[[Swarm, History], Awaitable[int]]
    watch: Callable[[Swarm, History], Coroutine[Any, Any, None]] = _nothing_to_watch
    opening: Callable[[Swarm, RunDirectory], Coroutine[Any, Any, None]] = _nothing_to_show
    operate: Callable[[Swarm, str, str], Awaitable[str]] | None = None

    def module(self, role: str) -> ModuleType:
        """The module that serves a role.

        Raises:
            SpecError: There is none; the pattern, or the package that brings it, is broken.
        """
        if role not in self.roles:
            raise SpecError(f"the pattern {self.name} has no role {role!r}", REMEDY)
        try:
            return importlib.import_module(self.roles[role])
        except Exception as error:  # the module's own code ran, and may raise anything
            raise SpecError(
                f"the role {role} of the pattern {self.name} cannot be imported: "
                f"{type(error).__name__}: {printable(str(error))}",
                REMEDY,
            ) from error

    def points(self) -> dict[str, str]:
        """Every point at which a fault can strike, and what has happened there."""
        return {
            point: text
            for role in self.roles
            for point, text in getattr(self.module(role), "POINTS", {}).items()
        }

    def seldom(self) -> frozenset[str]:
        """The points that are passed only after something else was done to the swarm."""
        return frozenset(point for role in self.roles for point in getattr(self.module(role), "SELDOM", ()))

    async def provision(self, connection: Connection, spec: Spec) -> None:
        """Make the streams and consumers. Done again, it changes nothing.

        Raises:
            RequestError: The broker refuses, or does not answer.
        """
        for config in self.streams(spec):
            await create_stream(connection, config)
        for consumer in self.consumers(spec, self.topology(spec)):
            await consumer.create(connection)
