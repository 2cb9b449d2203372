"""The life all roles share: start, ready, serve, drain, stop.

stdout ◄──asking───
stdin ──first line──► NodeStart ──► connect ──► role.serve(service) ──► drain ──► exit
      ──further lines─► fresh credentials, where to halt, "stop"
      ──end of file───► the parent is gone: exit at once
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from squall.bus.codec import encode
from squall.bus.connection import Connection
from squall.bus.errors import RequestError
from squall.bus.identity import Credentials
from squall.bus.messages import Heartbeat
from squall.bus.signing import SigningKey
from squall.bus.subjects import Subjects
from squall.services.handlers.port import Loaded
from squall.services.node.complaints import Complaints
from squall.services.node.history import History
from squall.services.node.interference import Interfere, Interference
from squall.services.node.points import Points
from squall.services.node.surroundings import REAL, Surroundings
from squall.services.patterns.pattern import Pattern
from squall.services.run.spec import Spec

HEARTBEAT_S = 1.0

LEAVE_S = 2.0
"""What a node that is told to stop keeps of its time for closing what it has open."""

log = logging.getLogger("squall")


class VenueToken(msgspec.Struct, frozen=True):
    """What the venue knows the gateway by; secret. Neither `repr` nor `str` shows it."""

    value: str

    def __repr__(self) -> str:
        return "VenueToken()"

    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # Rich, which prints local variables in tracebacks, asks for this before it asks for repr.
        return []


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """How the process that hands a handler on has imported its module.

    Attributes:
        path: Where it looked for modules, its ``sys.path``, in order; absolute.
        file: The file of the module; empty if it has not imported it itself.
    """

    path: tuple[str, ...]
    file: str = ""


class NodeStart(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told when it starts. Travels over its standard input, never by argument or file.

    Attributes:
        spec: The swarm.
        node, role, incarnation: Who it is.
        url: The broker, or empty for a node that does not use it; an agent that is told of none imports its
            handler, says whether it can, and ends.
        credentials: What it connects with.
        history: The run's history file, or empty.
        venue: Where the venue answers, for the gateway.
        venue_token: What the venue knows the gateway by, for these two.
        path: The venue's database, for the venue.
        tasks: A user's own tasks, for the producer; empty for the pattern's workload.
        port: The port to listen on, for the venue; 0 chooses.
        host: The address to listen at, for the venue.
        preload: A module whose ``install(node, role)`` is called before the role starts, or empty. This is
            how the harness runs known-bad variants of a service.
        origin: Where the spec's handler comes from, for an agent; None for whatever its name alone finds.
        signing: What an agent signs with, where those of the pattern vote.
    """

    spec: Spec
    node: str
    role: str
    incarnation: int
    url: str = ""
    credentials: Credentials | None = None
    history: str = ""
    venue: str = ""
    venue_token: VenueToken | None = None
    path: str = ""
    tasks: str = ""
    port: int = 0
    host: str = "127.0.0.1"
    preload: str = ""
    origin: Origin | None = None
    signing: SigningKey | None = None


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """Where a node is to stop itself: at the nth passing of a point, 0 for not; see `points.py`."""

    point: str
    nth: int = 1


class Operate(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator wants of whoever leads.

    Attributes:
        target: Of what it is said, in the pattern's own words, for instance ``stage-3``.
        verb: What is to be done.
    """

    target: str
    verb: str


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A further line on a node's standard input.

    Attributes:
        operate: An operator says something; for whoever leads.
        fail: Answer every request with an error from now on, or no more; for the venue.
        stop: Drain and end.
        step_down: If it leads, finish what it has begun, give the seat up, and stand again one lease later.
        grace_s: After how long, if it is told to stop, it is killed; 0 for never.
    """

    credentials: Credentials | None = None
    halt: Halt | None = None
    interfere: Interfere | None = None
    operate: Operate | None = None
    fail: bool | None = None
    stop: bool = False
    step_down: bool = False
    grace_s: float = 0.0


class Asking(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="asking"):
    """A node's first words: it is there, and may be told what it is."""


class Loading(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="loading"):
    """A node's first answer then, if it runs a handler: it imports that now."""

    handler: str


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="ready"):
    """A node's answer: it serves, or why it cannot.

    Attributes:
        url: Where it answers, for a node that listens.
        error, remedy, kind, code: Why it does not serve; ``code`` is the exit code it means for a command.
    """

    url: str = ""
    error: str = ""
    remedy: str = ""
    kind: str = ""
    code: int = 0


class Halted(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="halted"):
    """A node's further answer: it stops itself here, until it is killed or told to go on."""

    point: str


class Alive(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="alive"):
    """A further answer of a node that runs a handler, about once a second: its loop turns."""


Answer = Asking | Loading | Ready | Halted | Alive


@dataclass(frozen=True, kw_only=True)
class Alone:
    """What a role is given that has no way to the broker.

    Attributes:
        start: Who and what it is.
        at: Passed the name of each point that the role reaches.
        ready: Told the URL once it serves there.
        stop: Set when it should drain and return.
        failing: Set while it should answer every request with an error.
    """

    start: NodeStart
    at: Points
    ready: Callable[[str], None]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    failing: asyncio.Event = field(default_factory=asyncio.Event)

    def obey(self, order: Order) -> None:
        """Do what it is told."""
        if order.halt is not None:
            self.at.halt(order.halt.point, order.halt.nth)
        if order.fail is not None:
            (self.failing.set if order.fail else self.failing.clear)()
        if order.stop:
            self.stop.set()


def _nobody_leads(said: Operate) -> None:
    """Whoever does not lead leaves it to the one who does."""


class Service:
    """What a role is given.

    Attributes:
        start: Who and what it is.
        pattern: The swarm's pattern.
        connection: Its connection.
        swarm: The swarm's subjects.
        history: Where it writes what it did.
        at: Passed the name of each point that the role reaches.
        handler: What an agent gives its tasks to; None in other roles.
        around: What its node has around it.
        stop: Set when it should drain and return.
        step_down: Set when it should give up the seat that it holds; see `node/lead.py`.
        operated: Told what an operator says, by a role that can be operated, while it leads.
        state: Where a role that has states stands; sent with each heartbeat.
        counters: Its own counts, sent with each heartbeat.
        complaints: Told what was wrong with something that came in.
        interference: What is done to its deliveries and its attempts, if anything is.
    """

    interference: Interference | None = None

    def __init__(
        self,
        start: NodeStart,
        pattern: Pattern,
        connection: Connection,
        history: History,
        at: Points,
        ready: Callable[[], None],
        handler: Loaded | None = None,
        around: Surroundings = REAL,
    ) -> None:
        self.start = start
        self.pattern = pattern
        self.spec = start.spec
        self.node = start.node
        self.connection = connection
        self.swarm = Subjects(start.spec.swarm)
        self.history = history
        self.at = at
        self.ready = ready
        self.handler = handler
        self.around = around
        self.stop = asyncio.Event()
        self.step_down = asyncio.Event()
        self.operated: Callable[[Operate], None] = _nobody_leads
        self.state = ""
        self.counters: Counter[str] = Counter()
        self.complaints = Complaints(self.counters)
        self.vitals: Callable[[], dict[str, Any]] = dict

    def counted(self) -> dict[str, int]:
        """All that it and its connection have counted so far."""
        return {**self.connection.counters, **self.counters}

    async def beat(self) -> None:
        """Tell the swarm once a second that this node is alive; what cannot be sent is not missed."""
        subject = self.swarm.heartbeat(self.start.role, self.node)
        while True:
            heartbeat = Heartbeat(
                role=self.start.role,
                node=self.node,
                incarnation=self.start.incarnation,
                time_s=time.time(),
                state=self.state,
                **{"counters": self.counted(), **self.vitals()},
            )
            try:
                await self.connection.publish(subject, encode(heartbeat))
            except RequestError as error:
                log.info("heartbeat not sent: %s", error)
            await asyncio.sleep(HEARTBEAT_S)
