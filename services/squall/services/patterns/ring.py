"""Ring: stages in a row, each with instances that own lanes, and what a key sends comes out in order.

producer ─► IN ═► S1 ─► stage 1 ─► D1 ═► S2 ─► stage 2 ─► D2 ═► … ═► Sn ─► stage n ─► RES ─► gateway ─► venue

A double line is the broker's own copying; see `squall.bus.stages`. A router says who has which lane.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from msgspec import Meta

from squall.bus import attempts
from squall.bus.codec import HEADER_BYTES_MAX, MESSAGE_BYTES_MAX
from squall.bus.connection import Connection
from squall.bus.lane_moves import configured
from squall.bus.lanes import LaneQueue, Route, spread
from squall.bus.stages import LAPS_MAX, STAGES_MAX, Stages
from squall.bus.subjects import Subjects
from squall.bus.tasks import task_group
from squall.bus.topology import ring as rings
from squall.bus.topology.model import Topology
from squall.bus.topology.ring import of_stage, ring, seat, stage_of
from squall.services.errors import SpecError
from squall.services.handlers import kinds
from squall.services.handlers.port import Handling
from squall.services.patterns import (
    closing,
    diverting,
    lane_facts,
    lane_members,
    opening,
    operating_breakers,
    parts,
    reading,
    shedding,
    waiting_facts,
)
from squall.services.patterns.changing_members import change_members, changes, fewest
from squall.services.patterns.pattern import AGENT, Backlog, Consumer, Pattern, Place, Roster
from squall.services.rules.breaker import Settings
from squall.services.rules.shedding import Policy
from squall.services.run.spec import HANDLER, INDEPENDENT, OWN, SEQUENCED, Seconds, Spec
from squall.services.trading import pipeline
from squall.services.trading.workload import Submission, independent, sequenced

if TYPE_CHECKING:
    from squall.services.node.history import History
    from squall.services.run.directory import RunDirectory
    from squall.services.run.swarm import Swarm

NAME = "ring"

QUEUE_BYTES_MAX = 64 * 1024**2
"""Bound of what waits at a stage. One that is full stalls what the broker copies into it, which then waits in
the registers of the stage before."""

REGISTER_BYTES = (256 * 1024**2, 2 * 1024, 1536 * 1024**2)
RESULT_BYTES = (1024**3, 1024, 8 * 1024**3)
"""Bounds of the registers of one stage, and of the last: at least, for each task, at most. They stay for the
life of the swarm. A task with its window of bars takes about 2,000 bytes of the first ones, so there is room
for some 700,000 tasks; then stages wait, and nothing is lost."""

CONTROL_BYTES_MAX = 64 * 1024**2
MARKS_MAX = 100_000

PENDING_PER_SLOT = 32
"""What an instance may hold or have given back for later, for each of its slots. Higher lets more other lanes
go on while one stands; lower keeps less at the broker to be looked through."""


JOINS_MAX = 4
"""Instances beyond those of the file that may join; the rights of all are drawn up from the start."""


SHUT_SLACK_S = 2.0
"""Until it is known that a breaker has closed, and what was put off comes again."""


class RingSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A ring and its workload.

    Attributes:
        agents: The instances of all stages; each stage has as many as any other.
        stages: The handler of each stage, in order. Each is given what the one before it returned as its
            value; what the last one returns has the effects.
        order: ``strict``: what has one key begins at a stage once everything before it there is done.
            ``relaxed``: in any order.
        closed: The last stage may have a task go round again, which then begins anew at the first stage, with
            what the last one returned, behind all of its key that is there.
        laps_max: How many laps a task of a closed ring may make. One that is to go round after the last of
            them is a dead letter, whose reason begins with ``hop bound``, whatever ``on_poison`` says.
        on_poison: What becomes of a task whose attempts at a stage are used up. ``skip``: it is a dead
            letter, and what comes after it goes on. ``block``: it is tried for ever, and in a strict order
            its lane waits for it.
        keys: How many keys the workload has.
        routers: The leader and its standbys.
        absent_s: Silence after which an instance's lanes are given to others of its stage; each says once a
            second that it lives.
        drain_s: How long an instance that lanes are taken from is waited for.
        breaker: ``on``: what a stage depends on is left alone while it fails. ``observe``: it is only told
            when it would be. ``off``: neither.
        breaker_window_s: How far back attempts count.
        breaker_wait_s, breaker_wait_s_max: How long it is left alone the first time, and at most.
        shed: What becomes of what comes in while a stage is left alone. ``reject-new``: it waits, and once
            ``ingress_max`` tasks are under way no more are accepted. ``drop-oldest``: where more than
            ``backlog_max`` wait at the stage, the oldest of them end as dead letters, unrun. ``divert``: the
            same, and a copy of each is set aside before.
        backlog_max: How many may wait at a stage that is left alone; 0 with ``reject-new``.
        diverted_bytes_max: What the copies may hold; where they hold as much, all else waits.
        eject_s: How long an instance whose attempts fail where those of the others do not gets no tasks, the
            first time; 0 for never. Never more than a third of a stage are left out.
        joins_at_s, leaves_at_s: When, after the load of `squall run` begins, an instance joins the stage that
            has the fewest, and when the newest that there is leaves.
        pause_leader: Stop the leading router for longer than its lease in mid-run and resume it.
    """

    workloads: ClassVar[Sequence[str]] = (INDEPENDENT, SEQUENCED, OWN)

    pattern: str = NAME
    agents: Annotated[int, Meta(ge=1, le=9 * 64)] = 8
    tasks: Annotated[int, Meta(ge=1, le=10_000_000)] = 5000
    rate_per_s: Annotated[float, Meta(gt=0)] = 100.0
    stages: Annotated[tuple[str, ...], Meta(min_length=1, max_length=STAGES_MAX)] = pipeline.STAGES
    order: Literal["strict", "relaxed"] = "strict"
    closed: bool = False
    laps_max: Annotated[int, Meta(ge=1, le=LAPS_MAX)] = 1
    on_poison: Literal["skip", "block"] = "skip"
    keys: Annotated[int, Meta(ge=1, le=100_000)] = 10
    routers: Annotated[int, Meta(ge=1, le=5)] = 2
    absent_s: Annotated[float, Meta(ge=2)] = 4.0
    drain_s: Annotated[float, Meta(gt=0)] = 10.0
    breaker: Literal["on", "observe", "off"] = "on"
    breaker_window_s: Annotated[float, Meta(gt=0)] = 30.0
    breaker_wait_s: Annotated[float, Meta(gt=0)] = 5.0
    breaker_wait_s_max: Annotated[float, Meta(gt=0)] = 60.0
    shed: Policy = "reject-new"
    backlog_max: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    diverted_bytes_max: Annotated[int, Meta(ge=64 * 1024, le=2**40)] = 64 * 1024**2
    eject_s: Annotated[float, Meta(ge=0)] = 30.0
    joins_at_s: tuple[Seconds, ...] = ()
    leaves_at_s: tuple[Seconds, ...] = ()
    pause_leader: bool = True

    @property
    def shut_s(self) -> float:
        """Until a breaker that is open for as long as it may be has ended, and what failed has its turn."""
        return breaker_settings(self).longest_s(64) + self.retry_cap_s + SHUT_SLACK_S


def check(spec: RingSpec) -> None:
    """See that each stage has an instance, as many as the others, and a handler that can be found.

    Raises:
        SpecError: It has not.
    """
    for stage in range(1, len(spec.stages) + 1):
        kinds.check(handling(spec, f"agent-{stage}"))
    if spec.agents % len(spec.stages):
        raise SpecError(
            f"{spec.agents} agents cannot be shared equally by {len(spec.stages)} stages",
            f"use a multiple of {len(spec.stages)}",
        )
    if fewest(spec.agents, changes(spec.joins_at_s, spec.leaves_at_s)) < spec.agents:
        raise SpecError(
            "an instance would leave that the swarm began with", "have one join before each leaves"
        )
    if spec.is_sequenced and spec.order != "strict":
        raise SpecError(
            "orders of a sequenced workload follow each other, and in a relaxed order they would be refused",
            'use order = "strict", or workload = "independent"',
        )
    if spec.is_sequenced and not spec.has_venue:
        raise SpecError(
            "only the swarm's own venue sees that orders of a sequenced workload follow each other",
            'leave effects out, or use workload = "independent"',
        )
    closing.check(spec)
    if spec.breaker_wait_s > spec.breaker_wait_s_max:
        raise SpecError("breaker_wait_s is above breaker_wait_s_max", "lower the one or raise the other")
    shedding.check(spec)


def chain(spec: RingSpec) -> Stages:
    """The stages of a swarm."""
    return Stages(swarm=Subjects(spec.swarm), count=len(spec.stages), laps=closing.laps(spec))


def lane_queue(spec: RingSpec, stage: int, paused_until_s: Callable[[], float] = lambda: 0.0) -> LaneQueue:
    """What waits at a stage, by lane.

    Args:
        paused_until_s: See `LaneQueue`.
    """
    queue = chain(spec).lanes(stage, spec.pacing, pending_max=PENDING_PER_SLOT * spec.slots)
    return dataclasses.replace(queue, paused_until_s=paused_until_s)


def first_instances(spec: RingSpec) -> list[str]:
    """The instances that the swarm begins with, of all stages."""
    return [f"agent-{number}" for number in range(1, spec.agents + 1)]


def instances(spec: RingSpec, stage: int) -> list[str]:
    """The instances that a stage begins with."""
    return of_stage(first_instances(spec), stage, len(spec.stages))


def stage_name(stage: int) -> str:
    """What a stage is called where its instances are meant together."""
    return f"stage-{stage}"


def groups(spec: RingSpec) -> dict[str, list[str]]:
    """The instances that each stage begins with, by the name of the stage."""
    return {stage_name(stage): instances(spec, stage) for stage in range(1, len(spec.stages) + 1)}


def first_route(spec: RingSpec, stage: int) -> Route:
    """Who has which lane of a stage to begin with."""
    return Route(epoch=1, owners=spread(instances(spec, stage)))


def breaker_settings(spec: RingSpec) -> Settings:
    """When a stage's breaker opens, and for how long; slow is half of an attempt's time."""
    return Settings(
        window_s=spec.breaker_window_s,
        wait_s=spec.breaker_wait_s,
        wait_max_s=spec.breaker_wait_s_max,
        slow_s=spec.handler_timeout_s / 2,
    )


_OURS = Handling(name=pipeline.PASS_ON, parameters={}, environment=(), headers={})


def handling(spec: RingSpec, node: str) -> Handling:
    """The handler of an instance: that of its stage.

    Where the spec names one handler for all, the last stage has it, and is given what came in.
    """
    stages, number = len(spec.stages), node.rsplit("-", 1)[-1]
    stage = stage_of(node, stages) if number.isdecimal() else stages
    if spec.handler == HANDLER:
        return dataclasses.replace(spec.handling, name=spec.stages[stage - 1])
    return spec.handling if stage == stages else _OURS


def topology(spec: RingSpec) -> Topology:
    """Who there is, and who may do what."""
    return ring(
        spec.swarm,
        stages=len(spec.stages),
        instances=max(1, spec.agents // len(spec.stages)),
        routers=spec.routers,
        joins=len(spec.joins_at_s) + JOINS_MAX,
        laps=closing.laps(spec),
        sheds=bool(spec.backlog_max),
        diverts=spec.shed == "divert",
    )


def _bounded(bounds: tuple[int, int, int], tasks: int) -> int:
    least, each, most = bounds
    return min(max(least, each * tasks), most)


def streams(spec: RingSpec) -> list[dict[str, Any]]:
    """The streams, in the order in which they must be made: a source before what it feeds."""
    swarm, seat = Subjects(spec.swarm), Subjects(spec.swarm).seat("ring")
    common = {"storage": "file", "num_replicas": 1, "deny_delete": True}
    stages = chain(spec).streams(
        queue_bytes_max=QUEUE_BYTES_MAX,
        register_bytes_max=_bounded(REGISTER_BYTES, spec.tasks * spec.laps_max),
    )
    results = chain(spec).results(bytes_max=_bounded(RESULT_BYTES, spec.tasks))
    aside = (
        [diverting.stream(chain(spec), bytes_max=spec.diverted_bytes_max)] if spec.shed == "divert" else []
    )
    return [
        parts.ingress(spec),  # trimmed below the oldest task that has not ended
        *stages,
        results,
        *aside,
        {
            "name": seat.stream,
            "description": "who leads, who should have which lane, and how the breaker of each stage stands",
            "subjects": [swarm.at("ring", ">")],
            "retention": "limits",
            "discard": "new",  # under discard-old the term's record would be evicted in the end
            "max_msgs_per_subject": 1,
            "max_bytes": CONTROL_BYTES_MAX,
            "max_msg_size": MESSAGE_BYTES_MAX + HEADER_BYTES_MAX,
            "allow_atomic": True,
            "allow_direct": True,  # instances ask how their stage's breaker stands
            **common,
        },
        attempts.stream_config(swarm, marks_max=MARKS_MAX),
        parts.dead_letters(swarm, {"subjects": [swarm.dead_letters]}),
    ]


def consumers(spec: RingSpec, nodes: Topology) -> list[Consumer]:
    """A consumer for each instance that the swarm begins with, with its first lanes, and the gateway's.

    One that joins has its consumer from whoever moves lanes to it, and one that leaves has none by then.

    Raises:
        SpecError: A stage has no instance, or one has joined that nothing was drawn up for.
    """
    names, stages = [node.name for node in nodes.of_role(AGENT)], len(spec.stages)
    if empty := [stage for stage in range(1, stages + 1) if not of_stage(names, stage, stages)]:
        raise SpecError(f"stage {empty[0]} would have no instance", "have another join before")
    if strangers := [name for name in names if not any(name in link.ends for link in nodes.links)]:
        most = len(spec.joins_at_s) + JOINS_MAX
        raise SpecError(
            f"{strangers[0]} cannot join: {most} have", "give more of joins_at_s in its swarm.toml"
        )
    made: list[Consumer] = []
    for stage in range(1, stages + 1):
        queue, route = lane_queue(spec, stage), first_route(spec, stage)
        for name, lanes in route.wanted().items():
            config = configured(queue, name, lanes, (), route.epoch)
            made.append(Consumer(stream=queue.stream, name=name, config=config))
    return [*made, parts.gateway(spec)]


def workload(spec: RingSpec) -> Iterator[Submission]:
    """The tasks a producer is to offer, in order."""
    made = sequenced if spec.is_sequenced else independent
    return made(spec.seed, spec.tasks, accounts=spec.keys)


async def backlog(swarm: Swarm) -> Backlog:
    """How far a swarm has come; it has drained when all that came in has ended and the gateway has all of it.

    Raises:
        RequestError: The broker did not answer.
    """
    at = await parts.ends(swarm)
    return Backlog(at.submitted, at.ended, drained=at.ended >= at.submitted and at.delivered)


def emptied(swarm: Subjects) -> Sequence[Place]:
    """What was submitted goes once it has ended."""
    return (Place(swarm.stream("IN")),)


async def read_back(swarm: Swarm, history: History) -> int:
    """Write registers, what each stage took in and has left, and dead letters into the history."""
    spec = swarm.spec_as(RingSpec)
    ended = await reading.ended(swarm, history)
    for stage in range(1, len(spec.stages) + 1):
        state = await reading.settled(swarm, chain(spec).waiting(stage))
        facts = {"stage": stage, "arrivals": state["last_seq"], "left": state["messages"]}
        history("final", "ok", what="stage", **facts)
    await closing.read_back(swarm, chain(spec), history)
    if spec.shed == "divert":
        await diverting.read_back(swarm, chain(spec), history)
    await reading.dead_letters(swarm, history, ended.dead)
    return ended.all


# Members.


async def found(swarm: Swarm, connection: Connection, keys: Mapping[str, str]) -> None:
    """Nothing is written of those that the swarm begins with."""


def members_place(swarm: Subjects) -> lane_members.Place:
    """Where it is said who the instances are."""
    return lane_members.Place(swarm.stream("RING"), rings.members(swarm))


async def join(swarm: Swarm, connection: Connection, node: str, key: str) -> None:
    """Have an instance that serves be a member, and wait until lanes have come to it.

    Raises:
        LaunchError: None did.
        RequestError: The broker does not say whether it is one.
    """
    stage, there = await _changed(swarm, connection, node, member=True)
    await lane_members.lanes_came(swarm, stage, there, node)


async def leave(swarm: Swarm, connection: Connection, node: str) -> None:
    """Have an instance be no member, and wait until its lanes have gone; the last of a stage keeps them.

    Raises:
        LaunchError: They did not go.
        RequestError: The broker does not say whether it is one.
    """
    stage, there = await _changed(swarm, connection, node, member=False)
    if there:
        await lane_members.lanes_went(swarm, stage, node)


async def _changed(
    swarm: Swarm, connection: Connection, node: str, *, member: bool
) -> tuple[str, Sequence[str]]:
    """Have it be a member, or none; where its stage's tasks wait, and who its members are then."""
    spec = swarm.spec_as(RingSpec)
    place, first = members_place(swarm.swarm), first_instances(spec)
    now = await lane_members.write(connection, place, first, node, member=member)
    stage = stage_of(node, len(spec.stages))
    return chain(spec).waiting(stage), of_stage(now.names, stage, len(spec.stages))


async def members(swarm: Swarm) -> Sequence[str]:
    """Who the members are, by the newest record.

    Raises:
        RequestError: The broker did not answer.
    """
    first = first_instances(swarm.spec_as(RingSpec))
    now, _ = await lane_members.newest(swarm.observer, members_place(swarm.swarm), first)
    return now.names


def next_number(spec: RingSpec, names: Sequence[str], least: int) -> int:
    """The number of the instance that joins next."""
    return rings.next_number(names, least, len(spec.stages))


def watch(swarm: Swarm, history: History) -> Coroutine[Any, Any, None]:
    """Write into the history who has which lanes, and where tasks are shed how many wait."""
    spec = swarm.spec_as(RingSpec)
    queues = {stage: lane_queue(spec, stage) for stage in range(1, len(spec.stages) + 1)}
    of_lanes = lane_facts.watch(swarm.observer, queues, history)
    if not spec.backlog_max:
        return of_lanes
    streams = {stage: queue.stream for stage, queue in queues.items()}
    return _both(of_lanes, waiting_facts.watch(swarm.observer, streams, history))


async def _both(one: Coroutine[Any, Any, None], other: Coroutine[Any, Any, None]) -> None:
    async with task_group() as tasks:
        tasks.start(one)
        tasks.start(other)


def operate(swarm: Swarm, target: str, verb: str) -> Awaitable[str]:
    """Have the breaker of a stage stand as an operator says; see `operating_breakers.py`."""
    spec = swarm.spec_as(RingSpec)
    if spec.breaker != "on":
        raise SpecError(f"this ring has no breakers: breaker is {spec.breaker}", 'write breaker = "on"')
    stages = range(1, len(spec.stages) + 1)
    subjects = {stage_name(stage): rings.breaker(swarm.swarm, stage) for stage in stages}
    return operating_breakers.operate(swarm, seat(swarm.swarm).stream, subjects, target, verb)


async def show(swarm: Swarm, run: RunDirectory) -> None:
    """Have instances join and leave, and pause the leading router, if the spec says so."""
    spec = swarm.spec_as(RingSpec)
    async with task_group() as tasks:
        tasks.start(change_members(swarm, changes(spec.joins_at_s, spec.leaves_at_s)))
        if spec.pause_leader:
            tasks.start(opening.pause_leader(swarm, run))


PATTERN = Pattern(
    name=NAME,
    spec=RingSpec,
    check=check,
    topology=topology,
    streams=streams,
    consumers=consumers,
    roles={
        **parts.ENDS,
        "gateway": "squall.services.roles.gateway_in_order",
        "router": "squall.services.roles.router",
        "agent": "squall.services.roles.instance",
    },
    leader="router",
    seat=seat,
    roster=Roster(found=found, join=join, leave=leave, members=members, next_number=next_number, votes=False),
    watch=watch,
    workload=workload,
    subject=parts.subject,
    handling=handling,
    groups=groups,
    emptied=emptied,
    backlog=backlog,
    read_back=read_back,
    opening=show,
    operate=operate,
)
