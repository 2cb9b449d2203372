"""Hierarchical: a coordinator with standbys, and workers that pull.

    producer ──► IN ──► coordinator ──► JOB ──(sourced)──► WK ──► agent ──► RES ──► gateway
                          │    ▲                                   ▲ │       │
                          │    └────────── results, heartbeats ────┼─┴───────┘
                          └─────────────────── commands ───────────┘

The agents share one consumer, so that the least loaded pulls next. That makes
them one trust domain: whoever may acknowledge on a consumer may acknowledge
what another of its members holds. Everything else of an agent's is its own.

Where the coordinator says who is given what, each agent has a consumer of its own,
and may pull from no other. What is given to one that is gone, the coordinator gives
to another, and then takes out of the queue.
"""

from __future__ import annotations

import functools

from squall.bus.subjects import ANY, GATEWAY, POOL, SOURCE, TARGET, Subjects
from squall.bus.topology.administration import launcher, observer, warden
from squall.bus.topology.given import looks_at_each, to_each
from squall.bus.topology.link import Link, Node
from squall.bus.topology.model import Topology

PATTERN = "hierarchical"


@functools.lru_cache(maxsize=16)
def hierarchical(swarm: str, *, agents: int, coordinators: int = 2, addressed: bool = False) -> Topology:
    """The topology of a coordinator and its workers.

    Args:
        swarm: Its name.
        agents: How many workers, ``agent-1`` and up.
        coordinators: How many candidates for leadership, ``coordinator-1`` and up; one of them leads.
        addressed: Whether each worker is given tasks by its name, instead of pulling from a pool.

    Raises:
        InvalidNameError: The swarm's name cannot be used in subjects.
        ValueError: Fewer than one agent or coordinator.
    """
    if agents < 1 or coordinators < 1:
        raise ValueError(f"a {PATTERN} swarm needs at least one agent and one coordinator")
    s = Subjects(swarm)
    return Topology(
        pattern=PATTERN,
        swarm=swarm,
        nodes=(
            Node("launcher", "launcher"),
            *(Node(f"coordinator-{n}", "coordinator") for n in range(1, coordinators + 1)),
            Node("gateway", "gateway"),
            *(Node(f"agent-{n}", "agent", isolated=True) for n in range(1, agents + 1)),
            Node("producer", "producer"),
            Node("observer", "observer"),
            *(() if addressed else (Node("warden", "warden"),)),
        ),
        links=_links(s, to_each(s, "coordinator") if addressed else _to_all(s)),
        administration={
            "launcher": launcher(),
            "observer": observer(
                s, [("IN", s.ingress), ("JOB", s.jobs), ("RES", s.registers), ("DLQ", s.dead_letters)]
            ),
            **({"coordinator": looks_at_each(s)} if addressed else {"warden": warden(s)}),
        },
    )


def _to_all(s: Subjects) -> tuple[Link, ...]:
    """From a pool that all share."""
    queued, note = s.queued(ANY, ANY, ANY, ANY), "pulls from the pool, which agents share and trust"
    return (
        Link("WK", "agent", queued, note, by="pull", consumer=POOL),
        Link("WK", "coordinator", queued, "looks whether a task still waits", by="get"),
    )


def _links(s: Subjects, to_workers: tuple[Link, ...]) -> tuple[Link, ...]:
    return (
        Link("producer", "IN", s.submissions, "submits tasks; stored is accepted"),
        Link("producer", "IN", s.closes, "says that a job has all its tasks"),
        Link("IN", "coordinator", s.ingress, "reads what was accepted", by="read"),
        Link("coordinator", "IN", s.ingress, "trims what is dispatched", by="trim"),
        Link("coordinator", "JOB", s.jobs, "leads and dispatches, fenced by its term"),
        Link("JOB", "coordinator", s.jobs, "looks up its term and its snapshot", by="get"),
        Link("JOB", "coordinator", s.dispatches, "reads what a leader before it dispatched", by="read"),
        Link("coordinator", "JOB", s.jobs, "trims what has ended", by="trim"),
        Link("JOB", "WK", s.dispatches, "sourced by the broker, by lane", by="source"),
        *to_workers,
        Link("agent", "RES", s.registers, "writes results; the first wins"),
        Link("agent", "TRY", s.tries_of(POOL), "counts the attempts of what is delivered again"),
        Link("TRY", "agent", s.tries_of(POOL), "asks how often a task was tried", by="newest"),
        Link("RES", "coordinator", s.registers, "counts what has ended", by="read"),
        Link("RES", "gateway", s.registers, "carries out the effects", by="pull", consumer=GATEWAY),
        Link("JOB", "DLQ", s.deads, "sourced by the broker: dead letters", by="source"),
        Link("DLQ", "coordinator", s.dead_letters, "looks whether a letter is there", by="get"),
        Link("RES", "coordinator", s.registers, "looks whether a task has ended", by="get"),
        Link("coordinator", "RES", s.registers, "buries what was acknowledged without a result"),
        Link("coordinator", "agent", s.command(TARGET, ANY), "commands"),
        Link("agent", "coordinator", s.reply(SOURCE, ANY), "answers to commands"),
        Link("agent", "coordinator", s.heartbeat("agent", SOURCE), "heartbeats, with its free slots"),
        Link("gateway", "coordinator", s.heartbeat(GATEWAY, SOURCE), "heartbeats, with how far it is behind"),
    )
