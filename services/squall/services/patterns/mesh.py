"""Mesh: equal peers that vote on an ordered log, and act on what it says once. Nobody leads.

producer ─► IN ═► LOG ═► WK ─► peers ─► RES ─► gateway ─► venue
                  │ ▲                            ▲
                  │ └── proposals, votes ── peers│
                  └───────────── read by all ────┘

A double line is the broker's own copying. What is decided is a pure function of the log, which every peer and
the gateway compute for themselves (`rules/voting.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from squall.bus import attempts, queue, register
from squall.bus import log as bus_log
from squall.bus.codec import decode
from squall.bus.connection import Connection
from squall.bus.subjects import POOL, Subjects
from squall.bus.tasks import task_group
from squall.bus.topology.mesh import edges, edges_of_one_more, mesh
from squall.bus.topology.model import Topology
from squall.bus.vote_log import link_stream_config, log_stream_config
from squall.bus.vote_messages import EpochRecord, FoundRoster, JoinRoster, LeaveRoster, Member, Rule
from squall.bus.vote_subjects import VoteSubjects
from squall.services.errors import SpecError
from squall.services.handlers.outcome import RESULT_BYTES_MAX
from squall.services.patterns import parts, reading, vote_facts
from squall.services.patterns.asking import ask_registrar
from squall.services.patterns.changing_members import change_members, changes, fewest
from squall.services.patterns.pattern import AGENT, Backlog, Consumer, Pattern, Place, Roster
from squall.services.rules import log_room
from squall.services.run.spec import Seconds, Spec
from squall.services.trading.workload import Submission, independent

if TYPE_CHECKING:
    from squall.services.node.history import History
    from squall.services.run.directory import RunDirectory
    from squall.services.run.swarm import Swarm

NAME = "mesh"

QUEUE_BYTES_MAX = 256 * 1024**2
"""Bound of the work queue, which holds decisions only. The broker sets it aside when the stream is made."""

LINKS_BYTES_MAX = 1024**2
"""Bound of the stream that links go through, which keeps nothing."""

LOG_BYTES = (1024**3, 8 * 1024, 6 * 1024**3)
REGISTER_BYTES = (512 * 1024**2, 1024, 6 * 1024**3)
"""Bounds of the log and of the registers: at least, for each task, at most. Registers stay for the life of
the swarm; the log is trimmed once it is nearly half full. With five peers a task with one small effect takes
about 3,500 bytes of the one, and 700 of the other."""

JOINS_MAX = 4
"""Peers beyond those of the file that may join and have links; the accounts of all say so from the start."""


MARKS_MAX = 100_000
"""Tasks whose attempts are counted at a time; only those that were open when a peer ended."""


class MeshSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A mesh and its workload.

    Attributes:
        agents: The peers.
        rule: How many of them it takes: ``majority``, ``two-thirds``, ``all``, or ``weighted`` for more than
            half of all weight.
        weights: What the vote of each peer counts, from ``agent-1`` on, where votes are weighted.
        deadline_s: How long a proposal waits for votes before it may be closed without a decision. Higher
            lets slow voters have their say; lower finds out sooner that there is no quorum.
        neighbours: How many others each peer has links with, for who is there; 0 is all.
        proposals_max: Proposals of one peer that are open at a time.
        result_bytes_max: What a handler may return for one task, in bytes. Higher leaves the log room for
            fewer tasks at a time, as each peer may propose it twice.
        heartbeat_s: Between two pings of a peer.
        suspect_s_min, suspect_s_max: For how long a peer that does not answer is suspect before it is taken
            for failed: while many find so, and while one does.
        joins_at_s, leaves_at_s: When, after the load of `squall run` begins, a peer joins, and when the
            newest that there is leaves.
        strike_peers: Kill one peer in mid-run, and pause another for longer than any deadline, so that the
            run shows what decisions do then.
    """

    pattern: str = NAME
    agents: Annotated[int, Meta(ge=3, le=9)] = 5
    tasks: Annotated[int, Meta(ge=1, le=10_000_000)] = 2000
    rate_per_s: Annotated[float, Meta(gt=0)] = 100.0
    rule: Rule = "majority"
    weights: tuple[Annotated[int, Meta(ge=1, le=1000)], ...] = ()
    deadline_s: Annotated[float, Meta(ge=0.05, le=600)] = 0.5
    neighbours: Annotated[int, Meta(ge=0, le=8)] = 0
    proposals_max: Annotated[int, Meta(ge=1, le=256)] = 16
    result_bytes_max: Annotated[int, Meta(ge=1024, le=RESULT_BYTES_MAX)] = 8 * 1024
    heartbeat_s: Seconds = 0.5
    suspect_s_min: Seconds = 2.0
    suspect_s_max: Seconds = 12.0
    joins_at_s: tuple[Seconds, ...] = ()
    leaves_at_s: tuple[Seconds, ...] = ()
    strike_peers: bool = True


def check(spec: MeshSpec) -> None:
    """See that decisions can be made, and that peers can find out who is there.

    Raises:
        SpecError: They cannot.
    """
    if spec.rule == "weighted" and len(spec.weights) != spec.agents:
        raise SpecError(
            f"{len(spec.weights)} weights for {spec.agents} peers: the rule cannot be reached",
            f"give {spec.agents} weights, from agent-1 on",
        )
    if spec.weights and spec.rule != "weighted":
        raise SpecError(f"weights count for nothing under the rule {spec.rule}", 'write rule = "weighted"')
    if spec.neighbours == 1:
        raise SpecError("with 1 neighbour each, not all peers would be connected", "raise it to 2, or 0")
    if (least := fewest(spec.agents, changes(spec.joins_at_s, spec.leaves_at_s))) < 1:
        raise SpecError(f"{least} peers would be left", "have fewer leave, or more join before")
    if not spec.heartbeat_s <= spec.suspect_s_min <= spec.suspect_s_max:
        raise SpecError(
            "heartbeat_s, suspect_s_min and suspect_s_max must not be smaller one than the one before",
            "raise the later ones",
        )


def weight_of(spec: MeshSpec, peer: str) -> int:
    """What the vote of a peer counts; one that joined later counts as one."""
    number = peer.rpartition("-")[2]
    place = int(number) - 1 if number.isdecimal() else -1
    return spec.weights[place] if 0 <= place < len(spec.weights) else 1


def topology(spec: MeshSpec) -> Topology:
    """Who there is, and who may do what."""
    return mesh(
        spec.swarm,
        agents=spec.agents,
        neighbours=spec.neighbours,
        seed=spec.seed,
        joins=len(spec.joins_at_s) + JOINS_MAX,
    )


def neighbours(spec: MeshSpec, peer: str, members: Sequence[str]) -> list[str]:
    """Whom a peer has links with, of some members."""
    first = [f"agent-{number}" for number in range(1, spec.agents + 1)]
    if spec.neighbours == 0 or spec.neighbours >= len(first) - 1:
        return [name for name in members if name != peer]
    linked = edges(first, spec.neighbours, spec.seed)
    for name in {peer, *members} - {*first}:
        linked += edges_of_one_more(name, first, spec.neighbours, spec.seed)
    return [name for name in members if (peer, name) in linked or (name, peer) in linked]


def _bounded(bounds: tuple[int, int, int], tasks: int) -> int:
    least, each, most = bounds
    return min(max(least, each * tasks), most)


def streams(spec: MeshSpec) -> list[dict[str, Any]]:
    """The streams, in the order in which they must be made: a source before what it feeds."""
    swarm = Subjects(spec.swarm)
    votes = VoteSubjects(swarm)
    log_bytes = _bounded(LOG_BYTES, spec.tasks)
    ingress = parts.ingress(spec)  # trimmed below the oldest task that has not ended
    # What is let in can be decided: the log has room for it, and for what is said of it.
    open_max = log_room.open_max(log_bytes, spec.agents + len(spec.joins_at_s), spec.result_bytes_max)
    bounds = {"max_msgs": open_max, "max_bytes": log_room.input_bytes_max(log_bytes)}
    return [
        {**ingress, **{name: min(ingress[name], bound) for name, bound in bounds.items()}},
        log_stream_config(votes, bytes_max=log_bytes),
        {**link_stream_config(votes), "max_bytes": LINKS_BYTES_MAX},
        queue.stream_config(
            swarm.stream("WK"), source=votes.stream, transform=votes.work_transform, bytes_max=QUEUE_BYTES_MAX
        ),
        register.stream_config(
            swarm.stream("RES"), swarm.registers, bytes_max=_bounded(REGISTER_BYTES, spec.tasks)
        ),
        attempts.stream_config(swarm, marks_max=MARKS_MAX),
        parts.dead_letters(swarm, {"subjects": [swarm.dead_letters]}),
    ]


def pool(swarm: Subjects) -> queue.Queue:
    """The queue of what was decided, which all peers share."""
    return queue.Queue(stream=swarm.stream("WK"), consumer=POOL, tasks=(swarm.work,), register=swarm.register)


def consumers(spec: MeshSpec, nodes: Topology) -> list[Consumer]:
    """The pool that all peers pull from, and the gateway's place in the registers."""
    shared = pool(Subjects(spec.swarm))
    return [parts.puller(spec, shared, agents=len(nodes.of_role(AGENT))), parts.gateway(spec)]


def workload(spec: MeshSpec) -> Iterator[Submission]:
    """The tasks a producer is to offer, in order; the same for the same seed."""
    return independent(spec.seed, spec.tasks)


async def backlog(swarm: Swarm) -> Backlog:
    """How far a swarm has come; it has drained when all that was submitted has ended and been carried out.

    Raises:
        RequestError: The broker did not answer.
    """
    at = await parts.ends(swarm)
    return Backlog(at.submitted, at.ended, drained=at.waiting == 0 and at.delivered)


def emptied(swarm: Subjects) -> Sequence[Place]:
    """What was submitted and queued goes once it has ended. Of the log what is over goes, if it fills it."""
    return Place(swarm.stream("IN")), Place(swarm.stream("WK"))


async def read_back(swarm: Swarm, history: History) -> int:
    """Write registers, the log, the queue and dead letters into the history."""
    ended = await reading.ended(swarm, history)
    await vote_facts.read_back(swarm, history)
    await reading.dead_letters(swarm, history, ended.dead)
    return ended.all


async def found(swarm: Swarm, connection: Connection, keys: Mapping[str, str]) -> None:
    """Have the first epoch written: all peers that there are.

    Raises:
        LaunchError: It was not.
    """
    spec = swarm.spec_as(MeshSpec)
    members = tuple(
        Member(name=peer, key=key, weight=weight_of(spec, peer)) for peer, key in sorted(keys.items())
    )
    await ask_registrar(
        swarm, connection, "found", lambda token: FoundRoster(members=members, rule=spec.rule, token=token)
    )


async def join(swarm: Swarm, connection: Connection, peer: str, key: str) -> None:
    """Have a peer that serves be a member.

    Raises:
        LaunchError: It was not made one.
    """
    member = Member(name=peer, key=key, weight=weight_of(swarm.spec_as(MeshSpec), peer))
    await ask_registrar(swarm, connection, "join", lambda token: JoinRoster(member=member, token=token))


async def leave(swarm: Swarm, connection: Connection, peer: str) -> None:
    """Have a peer be no member any more, before it ends.

    Raises:
        LaunchError: It still is one.
    """
    await ask_registrar(swarm, connection, "leave", lambda token: LeaveRoster(name=peer, token=token))


async def members(swarm: Swarm) -> list[str]:
    """Who the members are, by the newest epoch.

    Raises:
        RequestError: The broker did not answer.
    """
    votes = VoteSubjects(swarm.swarm)
    stored = await bus_log.last(swarm.observer, votes.stream, votes.epochs)
    return [member.name for member in decode(stored.data, EpochRecord).members] if stored is not None else []


async def show(swarm: Swarm, run: RunDirectory) -> None:
    """Kill a peer and pause another, and have others join and leave, if the spec says so."""
    spec = swarm.spec_as(MeshSpec)
    async with task_group() as tasks:
        tasks.start(change_members(swarm, changes(spec.joins_at_s, spec.leaves_at_s)))
        if spec.strike_peers:
            from squall.services.patterns import opening_peers

            tasks.start(opening_peers.strike(swarm, run))


PATTERN = Pattern(
    name=NAME,
    spec=MeshSpec,
    check=check,
    topology=topology,
    streams=streams,
    consumers=consumers,
    roles={
        **parts.ENDS,
        "registrar": "squall.services.roles.registrar",
        "gateway": "squall.services.roles.counting_gateway",
        "agent": "squall.services.roles.peer",
    },
    roster=Roster(found=found, join=join, leave=leave, members=members),
    workload=workload,
    subject=parts.subject,
    emptied=emptied,
    backlog=backlog,
    read_back=read_back,
    opening=show,
)
