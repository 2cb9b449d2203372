"""Mesh: equal peers that vote on a log, and act on what it says.

    producer ──► IN ──(sourced)──► LOG ──(sourced)──► WK ──► agent ──► RES ──► gateway
                  ▲                │ ▲ ▲               (the peers' pool)          ▲
                  │       feed ┄┄┄ ▼ │ └── epochs ── registrar                    │
                  │                agent ◄──► agent          │ ▲                  │
                  └───────────── trims ──────────────────────┤ └── reads ─────────┘
                                                             └──► DLQ

All peers write the log, each in its own name; none has a consumer there: the
broker says every record once more on the feed, and a peer that missed some asks
for them by their places. Nobody but the broker writes what there is to decide,
nobody but the registrar who the members are. The links between peers carry what
may be lost: who is alive. The role of a peer is ``agent``, as of every node that
runs a handler.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from squall.bus.subjects import ANY, GATEWAY, POOL, SOURCE, TARGET, Subjects, api
from squall.bus.topology.administration import launcher, observer
from squall.bus.topology.link import Link, Node
from squall.bus.topology.model import Topology
from squall.bus.topology.rights import Permissions
from squall.bus.vote_subjects import FEED, PLANE, VoteSubjects

PATTERN = "mesh"


def mesh(swarm: str, *, agents: int, neighbours: int = 0, seed: int = 0, joins: int = 0) -> Topology:
    """The topology of peers.

    Args:
        swarm: Its name.
        agents: How many peers, ``agent-1`` and up.
        neighbours: How many others each is linked with; 0 is all. Where both this and ``agents`` are odd,
            one has a neighbour more.
        seed: Chooses the neighbours.
        joins: How many peers that may join have neighbours, too; where all are linked, any have.

    Raises:
        InvalidNameError: The swarm's name cannot be used in subjects.
        ValueError: Fewer than one peer, or so few neighbours that not all peers would be connected.
    """
    if agents < 1:
        raise ValueError(f"a {PATTERN} swarm needs at least one agent")
    s = Subjects(swarm)
    names = [f"agent-{n}" for n in range(1, agents + 1)]
    return Topology(
        pattern=PATTERN,
        swarm=swarm,
        nodes=(
            Node("launcher", "launcher"),
            Node("registrar", "registrar"),
            Node("gateway", "gateway"),
            *(Node(name, "agent", isolated=True) for name in names),
            Node("producer", "producer"),
            Node("observer", "observer"),
        ),
        links=(*_links(s), *_between(s, names, neighbours, seed)),
        coming=_coming(s, names, neighbours, seed, joins),
        layout="circle",
        administration={
            "launcher": launcher(),
            "registrar": _registrar(s),
            "observer": observer(
                s,
                [
                    ("IN", s.ingress),
                    (PLANE, VoteSubjects(s).everything),
                    ("RES", s.registers),
                    ("DLQ", s.dead_letters),
                ],
            ),
        },
    )


def edges(names: list[str], neighbours: int, seed: int) -> list[tuple[str, str]]:
    """Who is linked with whom, each pair once: a circle in random order, with chords to those next but one.

    Raises:
        ValueError: So few neighbours that not all would be connected.
    """
    count = len(names)
    if neighbours == 0 or neighbours >= count - 1:
        return [(a, b) for n, a in enumerate(names) for b in names[n + 1 :]]
    if neighbours < 2:
        raise ValueError("with fewer than 2 neighbours each, not all peers would be connected")
    around = list(names)
    random.Random(seed).shuffle(around)
    pairs = [(n, n + away) for away in range(1, neighbours // 2 + 1) for n in range(count)]
    if neighbours % 2:
        # Who is opposite; where there is no one quite opposite, one peer is so to two.
        pairs += [(n, n + count // 2) for n in range((count + 1) // 2)]
    return sorted((min(a, b), max(a, b)) for a, b in ((around[a], around[b % count]) for a, b in pairs))


def edges_of_one_more(name: str, names: list[str], neighbours: int, seed: int) -> list[tuple[str, str]]:
    """Whom a peer that joins is linked with: so many of the first, the same in every process.

    As the newest leave first, who joined is linked with nobody who did.
    """
    chosen = random.Random(f"{seed}/{name}").sample(names, min(neighbours or len(names), len(names)))
    return sorted((min(name, other), max(name, other)) for other in chosen)


def _coming(
    s: Subjects, names: list[str], neighbours: int, seed: int, joins: int
) -> dict[Node, tuple[Link, ...]]:
    if neighbours == 0 or neighbours >= len(names) - 1:
        return {}
    more = [f"agent-{n}" for n in range(len(names) + 1, len(names) + 1 + joins)]
    return {
        Node(name, "agent", isolated=True): tuple(
            _both_ways(s, edges_of_one_more(name, names, neighbours, seed))
        )
        for name in more
    }


def _between(s: Subjects, names: list[str], neighbours: int, seed: int) -> Iterator[Link]:
    if neighbours == 0 or neighbours >= len(names) - 1:
        yield _link(s, "agent", "agent")
    else:
        yield from _both_ways(s, edges(names, neighbours, seed))


def _both_ways(s: Subjects, pairs: list[tuple[str, str]]) -> Iterator[Link]:
    for a, b in pairs:
        yield _link(s, a, b)
        yield _link(s, b, a)


def _link(s: Subjects, source: str, target: str) -> Link:
    v, note = VoteSubjects(s), "asks whether it is there, and tells who is"
    heard = v.told(SOURCE, TARGET, ANY)
    return Link(source, target, v.link(SOURCE, TARGET, ANY), note, heard=heard)


def _links(s: Subjects) -> tuple[Link, ...]:
    v = VoteSubjects(s)
    decisions = v.decision(ANY, ANY, ANY, ANY)
    return (
        Link("producer", "IN", s.submissions_in(ANY), "submits tasks; stored is accepted"),
        Link(
            "IN", PLANE, s.submissions_in(ANY), "sourced by the broker: what there is to decide", by="source"
        ),
        Link("registrar", PLANE, v.epochs, "writes who votes, from there on"),
        Link("agent", PLANE, v.proposal(SOURCE, ANY, ANY), "proposes"),
        Link("agent", PLANE, v.vote(SOURCE, ANY, ANY), "votes"),
        Link("agent", PLANE, v.closing(SOURCE, ANY, ANY), "closes what had its time"),
        Link("agent", PLANE, v.decision(SOURCE, ANY, ANY, ANY), "says what it saw decided; the first counts"),
        Link(PLANE, FEED, v.everything, "said again by the broker as it is stored", by="source"),
        Link(FEED, "agent", v.feed, "hears all that is stored", by="hear"),
        Link(PLANE, "agent", v.everything, "asks for what it missed", by="fetch"),
        Link(PLANE, "WK", decisions, "sourced by the broker, by lane", by="source"),
        Link("WK", "agent", s.queued(ANY, ANY, ANY), "pulls what was decided", by="pull", consumer=POOL),
        Link("agent", "RES", s.registers, "writes what came of it; the first wins"),
        Link("agent", "TRY", s.tries_of(SOURCE), "counts how often its handler died of a task"),
        Link("TRY", "agent", s.tries_of(TARGET), "asks how often it did", by="newest"),
        Link("RES", "gateway", s.registers, "carries out the effects", by="pull", consumer=GATEWAY),
        Link(PLANE, "gateway", v.everything, "counts what was approved", by="read"),
        Link(PLANE, "registrar", v.everything, "looks up the newest epoch", by="get"),
        Link("RES", "registrar", s.registers, "reads what has ended", by="read"),
        Link("IN", "registrar", s.ingress, "reads where submissions stand", by="read"),
        Link("IN", "registrar", s.ingress, "looks up the input of what is dead", by="get"),
        Link("RES", "registrar", s.registers, "looks whether the oldest has ended", by="get"),
        Link("registrar", "IN", s.ingress, "trims what is settled", by="trim"),
        Link("registrar", "DLQ", s.dead_letters, "writes dead letters"),
        Link("gateway", "registrar", s.heartbeat(GATEWAY, SOURCE), "heartbeats, with how far it is behind"),
        Link("registrar", PLANE, v.trimmed, "says what is over"),
        Link("registrar", PLANE, v.everything, "trims what is over", by="trim"),
        Link("launcher", "registrar", s.command(TARGET, ANY), "asks for who joins and who leaves"),
        Link("registrar", "launcher", s.reply(SOURCE, ANY), "answers"),
    )


def _registrar(s: Subjects) -> Permissions:
    """Sees how far the pool and the gateway have come, so that nothing is trimmed that they need."""
    return Permissions(
        publish=(
            api("STREAM", "INFO", s.stream("WK")),
            api("CONSUMER", "INFO", s.stream("RES"), GATEWAY),
        )
    )
