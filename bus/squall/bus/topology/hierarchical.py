"""Hierarchical: a coordinator with standbys, and workers that pull.

    producer ──► IN ──► coordinator ──► JOB ──(sourced)──► WK ──► agent ──► RES ──► gateway
                          │    ▲                                   ▲ │       │
                          │    └────────── results, heartbeats ────┼─┴───────┘
                          └─────────────────── commands ───────────┘

The agents share one consumer, so that the least loaded pulls next. That makes
them one trust domain: whoever may acknowledge on a consumer may acknowledge
what another of its members holds. Everything else of an agent's is its own.
"""

from __future__ import annotations

from squall.bus.subjects import (
    ANY,
    GATEWAY,
    ME,
    POOL,
    REST,
    Subjects,
    api,
    every_ack,
    every_inbox,
    newest,
    next_message,
)
from squall.bus.topology.model import Export, Import, Link, Node, Permissions, Topology

PATTERN = "hierarchical"


def hierarchical(swarm: str, *, agents: int, coordinators: int = 2) -> Topology:
    """The topology of a coordinator and its workers.

    Args:
        swarm: Its name.
        agents: How many workers, ``agent-1`` and up.
        coordinators: How many candidates for leadership, ``coordinator-1`` and up; one of them leads.

    Raises:
        InvalidNameError: The swarm's name cannot be used in subjects.
        ValueError: Fewer than one agent or coordinator.
    """
    if agents < 1 or coordinators < 1:
        raise ValueError(f"a {PATTERN} swarm needs at least one agent and one coordinator")
    s = Subjects(swarm)
    nodes = (
        Node("launcher", "launcher"),
        *(Node(f"coordinator-{n}", "coordinator") for n in range(1, coordinators + 1)),
        Node("gateway", "gateway"),
        *(Node(f"agent-{n}", "agent", isolated=True) for n in range(1, agents + 1)),
        Node("producer", "producer"),
        Node("observer", "observer"),
        Node("warden", "warden"),
    )
    roles = {
        "launcher": _launcher(),
        "coordinator": _coordinator(s),
        "gateway": _gateway(s),
        "agent": _agent(s),
        "producer": _producer(s),
        "observer": _observer(s),
        "warden": _warden(s),
    }
    permissions = {node.name: roles[node.role].of(node.name) for node in nodes}
    return Topology(
        pattern=PATTERN,
        swarm=swarm,
        nodes=nodes,
        links=_links(s),
        permissions=permissions,
        templates={node.role: roles[node.role] for node in nodes if not node.isolated},
        exports=_exports(s),
        imports={node.name: _imports(permissions[node.name], node) for node in nodes if node.isolated},
    )


def _agent(s: Subjects) -> Permissions:
    wk = s.stream("WK")
    return Permissions(
        publish=(
            next_message(wk, POOL),
            every_ack(wk, POOL),
            s.registers,
            s.tries,
            newest(s.stream("TRY"), s.tries),
            s.heartbeat("agent", ME),
            s.reply(ME, ANY),
        ),
        subscribe=(every_inbox(ME), s.command(ME, ANY)),
    )


def _producer(s: Subjects) -> Permissions:
    return Permissions(
        publish=(s.submissions, s.closes, s.heartbeat("producer", ME)),
        subscribe=(every_inbox(ME),),
    )


def _gateway(s: Subjects) -> Permissions:
    res = s.stream("RES")
    return Permissions(
        publish=(next_message(res, GATEWAY), every_ack(res, GATEWAY), s.heartbeat("gateway", ME)),
        subscribe=(every_inbox(ME),),
    )


def _coordinator(s: Subjects) -> Permissions:
    read = {"IN": s.ingress, "JOB": s.dispatches, "RES": s.registers}
    return Permissions(
        publish=(
            s.jobs,
            s.registers,
            s.commands,
            s.heartbeat("coordinator", ME),
            *(api("STREAM", "MSG", "GET", s.stream(plane)) for plane in ("JOB", "WK", "RES", "DLQ")),
            api("STREAM", "PURGE", s.stream("IN")),
            api("STREAM", "PURGE", s.stream("JOB")),
            *(api("STREAM", "INFO", s.stream(plane)) for plane in read),
            *_reading(s, read),
        ),
        subscribe=(every_inbox(ME), s.heartbeats, s.replies),
    )


def _launcher() -> Permissions:
    return Permissions(
        publish=(
            api("INFO"),
            api("STREAM", "CREATE", ANY),
            api("STREAM", "INFO", ANY),
            api("CONSUMER", "CREATE", REST),
            api("CONSUMER", "INFO", ANY, ANY),
        ),
        subscribe=(every_inbox(ME),),
    )


def _observer(s: Subjects) -> Permissions:
    read = {"IN": s.ingress, "JOB": s.jobs, "RES": s.registers, "DLQ": s.dead_letters}
    return Permissions(
        publish=(
            api("STREAM", "INFO", ANY),
            api("CONSUMER", "INFO", ANY, ANY),
            api("STREAM", "MSG", "GET", ANY),
            *_reading(s, read),
        ),
        subscribe=(every_inbox(ME), s.heartbeats),
    )


def _warden(s: Subjects) -> Permissions:
    """Sees who pulls from the pool and who answers; makes the pool's consumer anew."""
    wk = s.stream("WK")
    return Permissions(
        publish=(
            api("STREAM", "INFO", wk),
            api("STREAM", "INFO", s.stream("RES")),
            api("CONSUMER", "INFO", wk, POOL),
            api("CONSUMER", "DELETE", wk, POOL),
            api("CONSUMER", "CREATE", wk, POOL, s.work),
        ),
        subscribe=(every_inbox(ME), every_ack(wk, POOL), next_message(wk, POOL)),
    )


def _reading(s: Subjects, read: dict[str, str]) -> tuple[str, ...]:
    """What reading streams takes, by plane and filter: consumers of one's own, with that filter alone.

    A consumer's filter is part of the subject it is created by, so the broker holds the reader to it.
    """
    return tuple(
        subject
        for stream, filter_subject in ((s.stream(plane), wanted) for plane, wanted in read.items())
        for subject in (
            api("CONSUMER", "CREATE", stream, ANY, filter_subject),
            next_message(stream, ANY),
            api("CONSUMER", "DELETE", stream, ANY),
        )
    )


def _exports(s: Subjects) -> tuple[Export, ...]:
    wk = s.stream("WK")
    return (
        Export(next_message(wk, POOL), many_answers=True),
        Export(every_ack(wk, POOL)),
        Export(s.registers),
        Export(s.tries),
        Export(newest(s.stream("TRY"), s.tries)),
        Export(s.heartbeat("agent", ANY)),
        Export(s.replies),
        Export(s.commands, "stream"),
    )


def _imports(permissions: Permissions, node: Node) -> tuple[Import, ...]:
    """All a node may do, except on its inbox, which is in its own account."""
    inboxes = every_inbox(node.name)
    return (
        *(Import(subject) for subject in permissions.publish),
        *(Import(subject, "stream") for subject in permissions.subscribe if subject != inboxes),
    )


def _links(s: Subjects) -> tuple[Link, ...]:
    queued = s.queued(ANY, ANY, ANY)
    return (
        Link("producer", "IN", s.submissions, "submits tasks; stored is accepted"),
        Link("producer", "IN", s.closes, "says that a job has all its tasks"),
        Link("IN", "coordinator", s.ingress, "reads what was accepted"),
        Link("coordinator", "JOB", s.jobs, "leads and dispatches, fenced by its term"),
        Link("JOB", "WK", queued, "sourced by the broker, by lane"),
        Link("WK", "agent", queued, f"pulls from {POOL}, which all agents share and trust"),
        Link("agent", "RES", s.registers, "writes results; the first wins"),
        Link("agent", "TRY", s.tries, "counts the attempts of what is delivered again"),
        Link("RES", "coordinator", s.registers, "counts what has ended"),
        Link("RES", "gateway", s.registers, "carries out the effects"),
        Link("JOB", "DLQ", s.dead_letters, "sourced by the broker: dead letters"),
        Link("coordinator", "RES", s.registers, "buries what was acknowledged without a result"),
        Link("coordinator", "agent", s.commands, "commands"),
        Link("agent", "coordinator", s.replies, "answers to commands"),
        *(
            Link(role, "coordinator", s.heartbeat(role, ANY), "heartbeats")
            for role in ("agent", "producer", "gateway", "coordinator")
        ),
    )
