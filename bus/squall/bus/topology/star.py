"""Star: a hub with standbys that decides, and spokes that may only ask.

    producer ──► IN ──(sourced)──► WK ──► spoke ──► REQ ──(sourced)──► HUB ──(sourced)──► RES ──► gateway
                 │                          ▲                          │ ▲                          ▲
                 │                          │                 requests ▼ │ decisions                │
                 └────── what is open ──────┼─────────────────────────► hub                         │
                                            └───────────────────────────┴───────── who leads ───────┘

A spoke pulls from a consumer of its own, which holds the classes it has, and its
requests carry its name, so it holds up nobody and speaks for nobody else. It does
not write the hub's log itself: whoever may write a stream that takes batches can
begin so many that the broker takes none of anybody else's. The role of a spoke is
``agent``, as of every node that runs a handler.

Where the hub says who is given what, it gives tasks out in its log, and that is what
the broker copies into WK.
"""

from __future__ import annotations

import functools

from squall.bus.subjects import ANY, GATEWAY, POOL, SOURCE, TARGET, Subjects
from squall.bus.topology.administration import launcher, observer
from squall.bus.topology.given import looks_at_each, to_each
from squall.bus.topology.link import Link, Node
from squall.bus.topology.model import Topology

PATTERN = "star"


@functools.lru_cache(maxsize=16)
def star(swarm: str, *, agents: int, hubs: int = 2, addressed: bool = False) -> Topology:
    """The topology of a hub and its spokes.

    Args:
        swarm: Its name.
        agents: How many spokes, ``agent-1`` and up.
        hubs: How many candidates for leadership, ``hub-1`` and up; one of them leads.
        addressed: Whether each spoke is given tasks by its name, instead of having classes of its own.

    Raises:
        InvalidNameError: The swarm's name cannot be used in subjects.
        ValueError: Fewer than one spoke or hub.
    """
    if agents < 1 or hubs < 1:
        raise ValueError(f"a {PATTERN} swarm needs at least one spoke and one hub")
    s = Subjects(swarm)
    return Topology(
        pattern=PATTERN,
        swarm=swarm,
        nodes=(
            Node("launcher", "launcher"),
            *(Node(f"hub-{n}", "hub") for n in range(1, hubs + 1)),
            Node("gateway", "gateway"),
            *(Node(f"agent-{n}", "agent", isolated=True) for n in range(1, agents + 1)),
            Node("producer", "producer"),
            Node("observer", "observer"),
        ),
        links=_links(s, _given(s) if addressed else _classed(s), marks=POOL if addressed else ""),
        layout="wheel",
        administration={
            "launcher": launcher(),
            "observer": observer(
                s, [("IN", s.ingress), ("HUB", s.hub), ("RES", s.registers), ("DLQ", s.dead_letters)]
            ),
            **({"hub": looks_at_each(s)} if addressed else {}),
        },
    )


def _classed(s: Subjects) -> tuple[Link, ...]:
    """Tasks wait for the spoke that has their class."""
    queued = s.queued_in(ANY, ANY, ANY, ANY)
    return (
        Link("IN", "WK", s.submissions_in(ANY), "sourced by the broker, by lane", by="source"),
        Link("WK", "agent", queued, "pulls what is of its classes", by="pull", consumer=TARGET),
        Link("WK", "hub", queued, "looks whether a task still waits", by="get"),
    )


def _given(s: Subjects) -> tuple[Link, ...]:
    """Tasks wait for the spoke that a hub has given them to."""
    return (
        Link("hub", "HUB", s.gifts, "gives tasks to spokes, fenced by its term"),
        Link("hub", "HUB", s.gifts, "trims what is decided", by="trim"),
        Link("HUB", "WK", s.gifts, "sourced by the broker, by lane", by="source"),
        *to_each(s, "hub"),
        Link("agent", "hub", s.heartbeat("agent", SOURCE), "heartbeats, with its free slots"),
    )


def _links(s: Subjects, to_spokes: tuple[Link, ...], *, marks: str) -> tuple[Link, ...]:
    """All links.

    Args:
        to_spokes: How tasks come to their spokes.
        marks: Under which name attempts are counted; without, each spoke counts those of its own tasks.
    """
    seat = s.hub_seat
    requests, decisions, letters = s.request(ANY, ANY), s.decision(ANY), s.hub_dead(ANY)
    return (
        Link("producer", "IN", s.submissions_in(ANY), "submits tasks by class; stored is accepted"),
        *to_spokes,
        Link("agent", "REQ", s.request(SOURCE, ANY), "asks for what a task should do; the first wins"),
        Link("REQ", "HUB", requests, "sourced by the broker: only hubs write the hub's log", by="source"),
        Link("REQ", "hub", requests, "looks whether a request was copied", by="get"),
        Link("hub", "REQ", requests, "looks how full it is, and trims what was copied", by="trim"),
        Link("agent", "TRY", s.tries_of(marks or SOURCE), "counts the attempts of what is delivered again"),
        Link("TRY", "agent", s.tries_of(marks or TARGET), "asks how often a task was tried", by="newest"),
        Link("IN", "hub", s.submissions_in(ANY), "reads which tasks are open, and of which class", by="read"),
        Link("hub", "IN", s.ingress, "trims what is decided", by="trim"),
        Link("HUB", "hub", s.hub, "reads requests in order, and decisions when it takes over", by="read"),
        Link("HUB", "hub", s.hub, "looks up its term and its snapshot", by="get"),
        Link("IN", "hub", s.ingress, "looks up the inputs of dead letters", by="get"),
        Link("RES", "hub", s.registers, "looks whether a decision was copied", by="get"),
        Link("DLQ", "hub", s.dead_letters, "looks whether a letter was copied", by="get"),
        Link("hub", "HUB", seat.term, "claims the lead"),
        Link("hub", "HUB", seat.lease, "renews it"),
        Link("hub", "HUB", seat.snapshot, "stores what it knows"),
        Link("hub", "HUB", decisions, "decides, fenced by its term"),
        Link("hub", "HUB", letters, "gives up tasks"),
        Link("hub", "HUB", requests, "trims what a snapshot covers", by="trim"),
        Link("HUB", "RES", decisions, "sourced by the broker: decisions are the registers", by="source"),
        Link("HUB", "DLQ", letters, "sourced by the broker: dead letters", by="source"),
        Link("RES", "gateway", s.registers, "carries out the effects", by="pull", consumer=GATEWAY),
        Link("hub", "agent", s.command(TARGET, "lead"), "says who leads"),
        Link("hub", "gateway", s.command(TARGET, "lead"), "says who leads"),
        Link("agent", "hub", s.reply(SOURCE, ANY), "answers to commands"),
        Link("gateway", "hub", s.heartbeat(GATEWAY, SOURCE), "heartbeats, with how far it is behind"),
    )
