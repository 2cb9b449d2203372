"""Every ordered pair of nodes, with their real credentials: an edge delivers, what is no edge is refused.

What a pair may do is read from the links alone, not from the permissions that were derived of them. A way
from one node to another is a subject that the second hears, or one of a stream from which it takes:

    a ──says──► b                      a ──stores──► stream ═source═► stream ──► b takes
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from squall.bus import log
from squall.bus.broker import Broker, jetstream_probe
from squall.bus.connection import Connection, connect
from squall.bus.errors import ForbiddenError, RequestError
from squall.bus.guard import Guard
from squall.bus.identity import SYSTEM, Authority
from squall.bus.jetstream import call, create_stream, publish_once
from squall.bus.subjects import (
    ANY,
    SOURCE,
    TARGET,
    Subjects,
    acks,
    api,
    every_inbox,
    fetch,
    matches,
    newest,
    next_message,
    overlap,
)
from squall.bus.system import Accounts
from squall.bus.tasks import task_group, wait_until
from squall.bus.topology.link import Link, Node
from squall.bus.topology.model import Topology
from squall.services.patterns import PATTERNS
from squall.services.patterns.pattern import Consumer, Pattern

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

DELIVERED_S = 5.0
S = Subjects("squall")


@dataclass(frozen=True)
class Case:
    """A topology and what stands on its broker: streams in order, and the consumers that nodes find."""

    before: Topology
    joined: Node | None
    topology: Topology
    streams: Sequence[Mapping[str, Any]]
    consumers: Sequence[Consumer]

    @classmethod
    def of(cls, pattern: Pattern, **changes: Any) -> Case:
        spec = pattern.spec(**{"agents": 3, **changes})
        first = pattern.topology(spec)
        if first.coming:  # who joins has links of its own
            joined = next(iter(first.coming))
            before, topology = first, first.with_node(joined)
        elif changes:
            before, joined, topology = first, None, first
        else:
            joined = first.of_role("agent")[-1]
            before, topology = first.without_node(joined.name), first
        consumers = pattern.consumers(spec, topology)
        if joined is not None:
            consumers = with_lanes_of_its_own(consumers, topology, joined.name)
        return cls(before, joined, topology, pattern.streams(spec), consumers)

    def said_again_by(self, subject: str) -> str | None:
        """The stream whose records the broker says again on a subject; None if there is none."""
        for config in self.streams:
            if "republish" in config and overlap(config["republish"]["dest"], subject):
                return str(config["name"])
        return None

    def filters(self, link: Link, node: Node) -> Sequence[str]:
        """What the consumer delivers that a node pulls from along a link."""
        name = link.consumer.replace(TARGET, node.name)
        for consumer in self.consumers:
            if (consumer.stream, consumer.name) == (S.stream(link.source), name):
                alone = consumer.config.get("filter_subject")
                return [alone] if alone else consumer.config.get("filter_subjects", ())
        return ()


def with_lanes_of_its_own(
    consumers: Sequence[Consumer], topology: Topology, joined: str
) -> Sequence[Consumer]:
    """The consumers, with half of what another has moved to one that joined and has none, if it pulls."""
    pulls = [link for link in topology.links if link.by == "pull" and link.target == joined]
    if not pulls or any(consumer.name == joined for consumer in consumers):
        return consumers
    stream = S.stream(pulls[0].source)
    giver = next(consumer for consumer in consumers if consumer.stream == stream)
    lanes = giver.config["filter_subjects"]
    parts = {giver.name: lanes[::2], joined: lanes[1::2]}
    shared = [
        Consumer(
            stream=stream,
            name=name,
            config={**giver.config, "durable_name": name, "filter_subjects": part},
        )
        for name, part in parts.items()
    ]
    return [*(consumer for consumer in consumers if consumer is not giver), *shared]


@contextlib.asynccontextmanager
async def standing(case: Case, tmp_path: Path) -> AsyncIterator[dict[str, Connection]]:
    """A broker with a topology's streams and consumers, and a connection for each of its nodes.

    Who joins does so while the broker runs.
    """
    authority = Authority.create(case.before)
    async with (
        Guard() as guard,
        Broker.running(
            tmp_path / "broker",
            lambda: authority.server_config(tmp_path / "broker" / "jwt"),
            guard=guard,
            log=tmp_path / "broker.log",
            probe=jetstream_probe(lambda: authority.credentials("launcher", 60)),
        ) as broker,
        contextlib.AsyncExitStack() as stack,
    ):
        system = await stack.enter_async_context(
            connect(broker.url, SYSTEM, authority.credentials(SYSTEM, None))
        )
        accounts = Accounts(authority, system)
        (await stack.enter_async_context(task_group())).daemon(accounts.run())
        if case.joined is not None:
            accounts.admit(case.joined)
        assert await accounts.settled(5)
        nodes = {
            node.name: await stack.enter_async_context(
                connect(broker.url, node.name, authority.credentials(node.name, None))
            )
            for node in case.topology.nodes
        }
        for config in case.streams:
            await create_stream(nodes["launcher"], config)
        for consumer in case.consumers:
            await consumer.create(nodes["launcher"])
        yield nodes


# What the links say.


@dataclass(frozen=True)
class Way:
    """From one node to another.

    Attributes:
        subject: A pattern of what the first says or stores that gets to the second.
        plane: The stream in which it is stored; empty if it is said.
        takes: The link along which the second takes it from a stream; None if it hears it.
    """

    source: Node
    target: Node
    subject: str
    plane: str
    takes: Link | None

    def __str__(self) -> str:
        return f"{self.source.name} → {self.target.name} by {self.subject}"


def named(subject: str, source: str, target: str) -> str:
    return subject.replace(SOURCE, source).replace(TARGET, target)


def filled(pattern: str, tokens: Iterator[str]) -> str:
    """A subject that falls under a pattern."""
    return ".".join(next(tokens) if token in "*>" else token for token in pattern.split("."))


def flows(topology: Topology, plane: str, subject: str) -> Iterator[tuple[str, str]]:
    """The streams that something gets into, with what of it does."""
    yield plane, subject
    for link in topology.links:
        if link.by == "source" and link.source == plane and (part := overlap(subject, link.subject)):
            yield from flows(topology, link.target, part)


def ways(topology: Topology) -> Iterator[Way]:
    for says in topology.links:
        if says.by != "publish":
            continue
        for a in topology.at(says.source):
            if says.is_spoken:
                for b in topology.at(says.target):
                    yield Way(a, b, named(says.subject, a.name, b.name), "", None)
                continue
            for plane, part in flows(topology, says.target, named(says.subject, a.name, ANY)):
                for takes in topology.links:
                    if takes.source != plane or takes.by == "source":
                        continue
                    # Where the broker renames what it copies, the subject says nothing of what is taken.
                    subject = overlap(part, takes.subject) if plane == says.target else part
                    for b in topology.at(takes.target) if subject else ():
                        yield Way(a, b, subject or "", says.target, takes)


def uses(link: Link, name: str) -> list[str]:
    """What of JetStream's own subjects a node needs for a link."""
    consumer = link.consumer.replace(TARGET, name)
    match link.by:
        case "pull":
            stream = S.stream(link.source)
            return [next_message(stream, consumer), f"{acks(stream, consumer)}1.1.1.1.0"]
        case "read":
            stream = S.stream(link.source)
            return [
                api("STREAM", "INFO", stream),
                api("CONSUMER", "CREATE", stream, name, link.subject),
                next_message(stream, name),
                api("CONSUMER", "DELETE", stream, name),
            ]
        case "get":
            return [api("STREAM", "MSG", "GET", S.stream(link.source))]
        case "newest":
            return [newest(S.stream(link.source), link.subject)]
        case "fetch":
            return [fetch(S.stream(link.source))]
        case "trim":
            stream = S.stream(link.target)
            return [api("STREAM", "INFO", stream), api("STREAM", "PURGE", stream)]
        case "publish" | "source" | "hear":
            return []


def whom(topology: Topology, end: str) -> str:
    """The name of the one node that an end of a link stands for, or any."""
    return end if [node.name for node in topology.at(end)] == [end] else ANY


def acts(topology: Topology, node: Node) -> list[Link]:
    return [link for link in topology.links if node in topology.at(link.actor)]


def may_publish(topology: Topology, node: Node) -> list[str]:
    """Patterns of all that a node's links let it publish, and its administration."""
    more = topology.administration.get(node.role)
    linked = acts(topology, node)
    return [
        *(
            named(link.subject, node.name, whom(topology, link.target))
            for link in linked
            if link.by == "publish"
        ),
        *(subject for link in linked for subject in uses(link, node.name)),
        *(more.of(node.name).publish if more else ()),
    ]


def may_hear(topology: Topology, node: Node) -> list[str]:
    more = topology.administration.get(node.role)
    return [
        every_inbox(node.name),
        *(
            named(link.arrives, whom(topology, link.source), node.name)
            for link in topology.links
            if link.is_heard and node in topology.at(link.target)
        ),
        *(more.of(node.name).subscribe if more else ()),
    ]


# Edges.


class Walk:
    """Goes along ways, and where there are none."""

    def __init__(self, case: Case, nodes: Mapping[str, Connection]) -> None:
        self.case = case
        self.topology = case.topology
        self.nodes = nodes
        self.heard: dict[str, set[bytes]] = {name: set() for name in nodes}
        self._news = asyncio.Event()
        self._numbers = itertools.count(1)
        self._fresh = (f"x{n}" for n in itertools.count(1))

    async def listen(self) -> None:
        """Have every node listen to all that it may."""
        for node in self.topology.nodes:
            for subject in may_hear(self.topology, node):
                hear, stream = self._hear(node.name), self.case.said_again_by(subject)
                await self.nodes[node.name].subscribe(subject, hear, stream=stream)

    def _hear(self, name: str) -> Callable[[Msg], None]:
        def hear(message: Msg) -> None:
            self.heard[name].add(message.data)
            self._news.set()

        return hear

    async def delivers(self, way: Way) -> bool:
        """Whether what the source says or stores arrives."""
        connection, data = self.nodes[way.source.name], b"edge %d" % next(self._numbers)
        said = self._subjects(way)
        try:
            async with asyncio.timeout(DELIVERED_S):
                for subject in said:
                    if not way.plane:
                        await connection.publish(subject, data)
                    elif not (await publish_once(connection, subject, data, timeout_s=1.0)).accepted:
                        return False
                await self._arrives(way, said, data)
        except (TimeoutError, RequestError):
            return False
        return True

    def _subjects(self, way: Way) -> list[str]:
        """Subjects of which one gets to the target: what its consumer filters by is put into each place."""
        subjects = [filled(way.subject, self._fresh)]
        filters = self.case.filters(way.takes, way.target) if way.takes else ()
        words = {token for pattern in filters for token in pattern.split(".")[3:] if token not in "*>"}
        places = [n for n, token in enumerate(way.subject.split(".")) if token in "*>"]
        for place, word in itertools.product(places, sorted(words)):
            tokens = filled(way.subject, self._fresh).split(".")
            tokens[place] = word
            subjects.append(".".join(tokens))
        return subjects

    async def _arrives(self, way: Way, said: Sequence[str], data: bytes) -> None:
        """Return once the target has it."""
        link, connection = way.takes, self.nodes[way.target.name]
        if link is None or link.by == "hear":
            while data not in self.heard[way.target.name]:
                self._news.clear()
                await self._news.wait()
            return
        stream = S.stream(link.source)
        match link.by:
            case "pull":
                await self._pulls(connection, stream, link.consumer.replace(TARGET, way.target.name), data)
            case "read":
                async with contextlib.aclosing(log.read(connection, stream, link.subject)) as records:
                    async for record in records:
                        if record.data == data:
                            return
            case "get":
                await wait_until(
                    lambda: log.last(connection, stream, link.subject),
                    lambda found: found is not None and found.data == data,
                    timeout_s=DELIVERED_S,
                    what=f"what was said along {link}",
                )
            case "fetch":
                wanted = json.dumps({"last_by_subj": link.subject}).encode()
                await wait_until(
                    lambda: connection.request(fetch(stream), wanted, timeout_s=DELIVERED_S),
                    lambda found: found.data == data,
                    timeout_s=DELIVERED_S,
                    what=f"what was said along {link}",
                )
            case "newest":
                found = await log.direct(connection, stream, said[0])
                assert found is not None
                assert found.data == data
            case _:
                raise AssertionError(f"nothing is taken along {link}")

    async def _pulls(self, connection: Connection, stream: str, consumer: str, data: bytes) -> None:
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = f"edge.{next(self._numbers)}"
        stop = await connection.subscribe(inbox, arrived.put_nowait, private=True)
        request, reply = b'{"batch": 1, "expires": 1000000000}', f"{connection.private_inbox}.{inbox}"
        while True:
            await connection.publish(next_message(stream, consumer), request, reply=reply, confirm=False)
            message = await arrived.get()
            if message.reply.startswith(acks(stream, consumer)):
                await connection.request(message.reply, b"+ACK", timeout_s=DELIVERED_S)
            if message.data == data:
                return await stop()

    # No edges.

    def forbidden(self, a: Node, b: Node) -> Iterator[tuple[str, str]]:
        """What a node must be refused towards another: whether it says or hears it, and the subject."""
        says, hears = may_publish(self.topology, a), may_hear(self.topology, a)
        reached = [filled(way.subject, self._fresh) for way in ways(self.topology) if way.target == b]
        taken = [subject for link in acts(self.topology, b) for subject in uses(link, b.name)]
        more = self.topology.administration.get(b.role)
        written = [filled(pattern, self._fresh) for pattern in (more.of(b.name).publish if more else ())]
        # What the other says to this one, if it were to hear it.
        heard = [named(link.arrives, b.name, a.name) for link in acts(self.topology, b) if link.is_spoken]
        listened = [pattern for pattern in may_hear(self.topology, b) if not pattern.startswith("$JS.")]
        arriving = [filled(pattern, self._fresh) for pattern in listened]
        for subject in (*reached, *taken, *written, *arriving):
            if not any(matches(pattern, subject) for pattern in says):
                yield "says", subject
        for pattern in (*may_hear(self.topology, b), *heard):
            if not any(matches(mine, pattern) for mine in hears):
                yield "hears", pattern

    async def refused(self, a: Node, how: str, subject: str) -> bool:
        connection = self.nodes[a.name]
        try:
            if how == "says":
                await connection.publish(subject, b"{}")
            else:
                await connection.subscribe(subject, lambda message: None)
        except ForbiddenError:
            return True
        return False

    async def stored(self) -> list[Any]:
        """What stands in the streams, and how many read them."""
        states = []
        for config in self.case.streams:
            state = (await call(self.nodes["launcher"], "STREAM", "INFO", config["name"]))["state"]
            states.append([state[name] for name in ("messages", "first_seq", "last_seq", "consumer_count")])
        return states


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((name, {}) for name in PATTERNS if name != "ring"),
        ("hierarchical", {"distribution": "affinity"}),
        ("star", {"distribution": "affinity"}),
        ("mesh", {"agents": 5, "neighbours": 2}),
        ("ring", {"agents": 4}),
        ("ring", {"agents": 4, "closed": True, "laps_max": 3}),
    ],
)
async def test_each_edge_delivers_and_what_is_none_is_refused(
    name: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    case = Case.of(PATTERNS[name], **changes)
    async with standing(case, tmp_path) as nodes:
        walk = Walk(case, nodes)
        await walk.listen()
        wrong: list[str] = []
        for way in ways(case.topology):
            if way.source != way.target and not await walk.delivers(way):
                wrong.append(f"{way}: not delivered")
        for node in case.topology.nodes:
            for link in acts(case.topology, node):
                if link.by == "trim":
                    await log.trim(nodes[node.name], S.stream(link.target), below=1)
        before, heard = await walk.stored(), {name: set(data) for name, data in walk.heard.items()}
        tried = 0
        for a, b in itertools.permutations(case.topology.nodes, 2):
            for how, subject in walk.forbidden(a, b):
                tried += 1
                if not await walk.refused(a, how, subject):
                    wrong.append(f"{a.name} {how} what is {b.name}'s: {subject}")
        assert wrong == []
        assert tried > 10 * len(case.topology.nodes)
        # What was refused has come to nobody: each has heard all that the broker had for it.
        for connection in nodes.values():
            await connection.subscribe("marker", lambda message: None, private=True)
        assert walk.heard == heard
        assert await walk.stored() == before
