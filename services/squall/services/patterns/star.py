"""Star: a hub with a warm standby, and spokes that each have classes of tasks and may only ask.

producer ─► IN ═► WK ─► spokes ─► REQ ═► HUB ─ requests ─► hub ─ decisions ─► HUB ═► RES ─► gateway ─► venue

A double line is the broker's own copying. Where a file says who is given what, a spoke has no classes, and WK
is a copy of what the hub gives out: IN ─► hub ─► HUB ═► WK.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from squall.bus import attempts, queue, register
from squall.bus import log as bus_log
from squall.bus.codec import HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, decode
from squall.bus.jetstream import sourced
from squall.bus.messages import HubState
from squall.bus.subjects import ANY, GATEWAY, POOL, Subjects
from squall.bus.topology.model import Topology
from squall.bus.topology.star import star
from squall.services.errors import SpecError
from squall.services.patterns import distributing, hub_facts, opening, parts, reading
from squall.services.patterns.distributing import DistributedSpec
from squall.services.patterns.pattern import AGENT, Backlog, Consumer, Pattern, Place
from squall.services.trading.market import SYMBOLS
from squall.services.trading.strategies import SIGNALS
from squall.services.trading.workload import Submission, independent

if TYPE_CHECKING:
    from squall.services.node.history import History
    from squall.services.run.directory import RunDirectory
    from squall.services.run.swarm import Swarm

NAME = "star"

CLASSES = tuple(f"{strategy}-{symbol}" for strategy, symbol in itertools.product(SIGNALS, SYMBOLS))
"""The classes of tasks; they are dealt to the spokes in turn."""

WINDOW_MAX = 100_000
"""The largest ingress; a hub's snapshot of so many open tasks fits a message."""

QUEUE_BYTES_MAX = 512 * 1024**2
REQUEST_BYTES_MAX = 128 * 1024**2
"""Bounds of the streams. The broker sets them aside when a stream is made: no larger than needed. What spokes
ask for while nobody leads goes into the hub's log all the same, beyond the share up to which a hub lets that
grow: so requests may take no more than what is left, or nobody could claim the next term."""

LOG_BYTES = (1024**3, 3 * 1024, 5 * 1024**3)
REGISTER_BYTES = (1024**3, 1024, 12 * 1024**3)
"""Bounds of the hub's log and of the registers: at least, for each task, at most. Registers stay for the life
of the swarm, the log for as long as there is room. A task with one small effect takes about 1,600 bytes of
the one and 700 of the other. All streams together must fit what the broker may store."""

GIFT_BYTES = 2 * 1024
"""What the hub's log may take more for each task, where tasks are given out in it; of ours about 1,200."""

MARKS_MAX = 100_000
"""Tasks whose attempts are counted at a time; only those that were delivered twice or have failed."""


class StarSpec(DistributedSpec, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A star and its workload.

    Attributes:
        agents: The spokes.
        hubs: The leader and its standbys.
        exposure_max: The most units of a symbol that all spokes together may hold, bought or sold.
        on_hub_loss: What a spoke does that has heard of no hub for two leases. ``hold``: it takes no further
            task. ``reduce-only``: what it asks for may only bring positions nearer to zero. ``flatten``: it
            takes no further task, and asks once to have the positions in its symbols closed.
        snapshot_every: Decisions after which the hub stores a snapshot. Higher means less to write and more
            for a successor to read.
        pause_leader: Stop the leader for longer than its lease in mid-run and resume it, so that the run
            shows a fail-over.
    """

    pattern: str = NAME
    agents: Annotated[int, Meta(ge=1, le=len(CLASSES))] = 6
    tasks: Annotated[int, Meta(ge=1, le=10_000_000)] = 2000
    rate_per_s: Annotated[float, Meta(gt=0)] = 500.0
    hubs: Annotated[int, Meta(ge=1, le=5)] = 2
    exposure_max: Annotated[int, Meta(ge=0, le=2**53)] = 1000
    on_hub_loss: Literal["hold", "reduce-only", "flatten"] = "reduce-only"
    snapshot_every: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    pause_leader: bool = True


def check(spec: StarSpec) -> None:
    """See that a snapshot of a full ingress fits a message, and that tasks can be given out.

    Raises:
        SpecError: It does not.
    """
    if spec.ingress_max > WINDOW_MAX:
        raise SpecError(
            f"ingress_max {spec.ingress_max} is more than a hub's snapshot can name",
            f"lower it to at most {WINDOW_MAX}",
        )
    distributing.check(spec, needed=CLASSES)
    if spec.hedge_after and not spec.is_addressed:
        raise SpecError(
            "hedge_after has nobody to try a task of a star once more, as only one spoke has its class",
            'say who is given tasks instead, for instance distribution = "adaptive"',
        )


def owners(spec: StarSpec) -> dict[str, str]:
    """Which spoke has a class, where they are not given tasks by name."""
    spokes = itertools.cycle(f"agent-{number}" for number in range(1, spec.agents + 1))
    return dict(zip(CLASSES, spokes, strict=False))


def symbol_of(kind: str) -> str:
    """The symbol that tasks of a class, or of a key, are about."""
    return kind.rsplit("-", 1)[1]


def classes_of(spec: StarSpec, spoke: str) -> tuple[str, ...]:
    """The classes of the tasks that a spoke may be given."""
    if spec.is_addressed:
        return CLASSES
    return tuple(kind for kind, owner in owners(spec).items() if owner == spoke)


def queue_of(spec: StarSpec, spoke: str) -> queue.Queue:
    """The tasks that a spoke has, of its classes or as they were given to it; its results are requests.

    Attempts of a task are counted wherever it is given to.
    """
    swarm = Subjects(spec.swarm)
    classed = (swarm.queued_in(kind, ANY, ANY, ANY) for kind in classes_of(spec, spoke))
    return queue.Queue(
        stream=swarm.stream("WK"),
        consumer=spoke,
        tasks=(swarm.queued(ANY, ANY, ANY, spoke),) if spec.is_addressed else tuple(classed),
        register=lambda lane, task: swarm.request(spoke, task),
        marks=POOL if spec.is_addressed else "",
    )


def topology(spec: StarSpec) -> Topology:
    """Who there is, and who may do what."""
    return star(spec.swarm, agents=spec.agents, hubs=spec.hubs, addressed=spec.is_addressed)


def _bounded(bounds: tuple[int, int, int], tasks: int, *, more: int = 0) -> int:
    least, each, most = bounds
    return min(max(least, (each + more) * tasks), most)


def streams(spec: StarSpec) -> list[dict[str, Any]]:
    """The streams, in the order in which they must be made: a source before what it feeds."""
    swarm = Subjects(spec.swarm)
    common = {"storage": "file", "num_replicas": 1, "deny_delete": True}
    ingress, requests, hub = swarm.stream("IN"), swarm.stream("REQ"), swarm.stream("HUB")
    seat = swarm.hub_seat
    gifts = [swarm.gifts] if spec.is_addressed else []
    source, transform = (hub, swarm.gift_transform) if spec.is_addressed else (ingress, swarm.class_transform)
    return [
        parts.ingress(spec),  # trimmed below the oldest task that is not decided
        {
            **register.stream_config(requests, swarm.request(ANY, ANY), bytes_max=REQUEST_BYTES_MAX),
            "description": "requests: what each spoke asks the hub for",
            "deny_purge": False,  # what the log has a copy of is trimmed when it is nearly full
        },
        {
            "name": hub,
            "description": "the hub's log: who leads, what was asked for, in which order, and the decisions",
            "subjects": [
                seat.term,
                seat.lease,
                seat.snapshot,
                swarm.decision(ANY),
                swarm.hub_dead(ANY),
                *gifts,
            ],
            **sourced(requests, swarm.request_transform),
            "retention": "limits",
            # Refuses when full: under discard-old the term's record would be evicted in the end.
            "discard": "new",
            "max_bytes": _bounded(LOG_BYTES, spec.tasks, more=GIFT_BYTES if spec.is_addressed else 0),
            "max_msg_size": MESSAGE_BYTES_MAX + HEADER_BYTES_MAX,
            "allow_atomic": True,
            **common,
        },
        queue.stream_config(
            swarm.stream("WK"), source=source, transform=transform, bytes_max=QUEUE_BYTES_MAX
        ),
        {
            **register.stream_config(swarm.stream("RES"), bytes_max=_bounded(REGISTER_BYTES, spec.tasks)),
            **sourced(hub, swarm.decision_transform),
        },
        attempts.stream_config(swarm, marks_max=MARKS_MAX),
        parts.dead_letters(swarm, sourced(hub, swarm.hub_dead_letter_transform)),
    ]


def consumers(spec: StarSpec, nodes: Topology) -> list[Consumer]:
    """A consumer for each spoke, so that it holds up nobody, and the gateway's place in the registers.

    Raises:
        SpecError: The spokes are not those that have the classes, or there is a second gateway.
    """
    spokes = [node.name for node in nodes.of_role(AGENT)]
    if {*spokes} != {*owners(spec).values()}:
        raise SpecError(
            "no spoke can join or leave a star, as the classes of tasks are dealt when it starts",
            "choose `agents` in its swarm.toml",
        )
    if len(nodes.of_role(GATEWAY)) > 1:
        raise SpecError(
            "no second gateway can join a star, as hubs announce themselves to one",
            "leave it at one",
        )
    return [*(parts.puller(spec, queue_of(spec, spoke)) for spoke in spokes), parts.gateway(spec)]


def workload(spec: StarSpec) -> Iterator[Submission]:
    """The tasks a producer is to offer, in order, each with its class for its job."""
    for submission in independent(spec.seed, spec.tasks):
        yield msgspec.structs.replace(submission, job=f"{submission.job}-{symbol_of(submission.key)}")


def job(key: str, needs: str) -> str:
    """The class of a user's own task."""
    return CLASSES[zlib.crc32(key.encode()) % len(CLASSES)]


async def backlog(swarm: Swarm) -> Backlog:
    """How far a swarm has come; it has drained when all tasks are decided and the gateway has all decisions.

    Raises:
        RequestError: The broker did not answer.
    """
    last = await _snapshot(swarm)
    at = await parts.ends(swarm)
    drained = (
        last is not None
        and last[1].ingress >= at.submitted
        and not last[1].open
        and at.ended >= last[1].decided
        and at.delivered
    )
    return Backlog(at.submitted, at.ended, drained)


async def _snapshot(swarm: Swarm) -> tuple[int, HubState] | None:
    """The newest snapshot of the hub, and its place."""
    seat = swarm.swarm.hub_seat
    record = await bus_log.last(swarm.observer, seat.stream, seat.snapshot)
    return (record.sequence, decode(record.data, HubState)) if record is not None else None


def emptied(swarm: Subjects) -> Sequence[Place]:
    """What was submitted and queued goes once it is decided. Requests and log stay while there is room."""
    return Place(swarm.stream("IN")), Place(swarm.stream("WK"))


async def read_back(swarm: Swarm, history: History) -> int:
    """Write registers, the hub's log, its last snapshot, the queue, and dead letters into the history."""
    ended = await reading.ended(swarm, history)
    await hub_facts.read_back(swarm, history)
    last = await reading.patiently(lambda: _snapshot(swarm))
    if last is not None:
        sequence, state = last
        history(
            "final",
            "ok",
            what="snapshot",
            seq=sequence,
            positions=state.positions,
            decided=state.decided,
            requests=state.requests,
            ingress=state.ingress,
            open=len(state.open),
            trimmed=state.trimmed,
            flattened=state.flattened,
        )
    submitted = (await reading.state_of(swarm, "IN"))["last_seq"]
    is_given = last is not None and swarm.spec_as(StarSpec).is_addressed
    await reading.queue(swarm, history, dispatched=last[1].dispatched if last and is_given else submitted)
    await reading.dead_letters(swarm, history, ended.dead)
    return ended.all


async def show(swarm: Swarm, run: RunDirectory) -> None:
    """Pause the leading hub, if the spec says so."""
    if swarm.spec_as(StarSpec).pause_leader:
        await opening.pause_leader(swarm, run)


PATTERN = Pattern(
    name=NAME,
    spec=StarSpec,
    check=check,
    topology=topology,
    streams=streams,
    consumers=consumers,
    roles={
        **parts.ENDS,
        "hub": "squall.services.roles.hub",
        "gateway": "squall.services.roles.gated_gateway",
        "agent": "squall.services.roles.spoke",
    },
    leader="hub",
    seat=lambda swarm: swarm.hub_seat,
    workload=workload,
    job=job,
    subject=parts.subject,
    emptied=emptied,
    backlog=backlog,
    read_back=read_back,
    opening=show,
)
