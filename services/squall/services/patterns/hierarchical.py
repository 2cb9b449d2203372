"""Hierarchical: a coordinator with a warm standby, and workers that pull from one pool.

producer ─► IN ─► coordinator ─► JOB ─sourced─► WK ─► agents ─► RES ─► gateway ─► venue
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from squall.bus import attempts, queue, register
from squall.bus import log as bus_log
from squall.bus.codec import HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, decode
from squall.bus.jetstream import sourced
from squall.bus.messages import CoordinatorState, RunTask
from squall.bus.subjects import ANY, POOL, Seat, Subjects
from squall.bus.topology.hierarchical import hierarchical
from squall.bus.topology.model import Topology
from squall.services.errors import SpecError
from squall.services.patterns import distributing, opening, parts, reading
from squall.services.patterns.distributing import DistributedSpec
from squall.services.patterns.pattern import AGENT, Backlog, Consumer, Pattern, Place
from squall.services.trading.strategies import SIGNALS
from squall.services.trading.workload import Submission, independent

if TYPE_CHECKING:
    from squall.services.node.history import History
    from squall.services.run.directory import RunDirectory
    from squall.services.run.swarm import Swarm

NAME = "hierarchical"

WINDOW_MAX = 100_000
"""The largest window; a coordinator's snapshot of it fits a message."""

QUEUE_BYTES_MAX = 512 * 1024**2
LOG_BYTES_MAX = 1024**3
"""Bounds of the streams. The broker sets them aside when a stream is made, so they are no larger than needed.
The queue is trimmed."""

REGISTER_BYTES = (1024**3, 1024, 12 * 1024**3)
"""Bound of the registers: at least, for each task, at most. They stay for the life of the swarm. One takes
about 600 bytes where a task has one small effect."""

MARKS_MAX = 100_000
"""Tasks whose attempts are counted at a time; only those that were delivered twice or have failed."""


class HierarchicalSpec(
    DistributedSpec, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False
):
    """A hierarchical swarm and its workload.

    Attributes:
        coordinators: The leader and its standbys.
        window_max: Most tasks dispatched and not yet terminal.
        pause_leader: Stop the leader for longer than its lease in mid-run and resume it, so that the run
            shows a fail-over.
    """

    pattern: str = NAME
    coordinators: Annotated[int, Meta(ge=1, le=5)] = 2
    window_max: Annotated[int, Meta(ge=1, le=WINDOW_MAX)] = 4000
    pause_leader: bool = True

    @property
    def able(self) -> Collection[str]:
        return {each for can in self.capabilities.values() for each in can}


def check(spec: HierarchicalSpec) -> None:
    """See that the window feeds the agents, and that tasks can be given out.

    Raises:
        SpecError: It does not.
    """
    if spec.window_max < 2 * spec.slots * spec.agents:
        raise SpecError(
            f"window_max {spec.window_max} would starve {spec.agents} agents of {spec.slots} slots",
            f"raise it to at least {2 * spec.slots * spec.agents}",
        )
    distributing.check(spec, needed=SIGNALS, own=True)


def register_bytes_max(spec: HierarchicalSpec) -> int:
    """How many bytes the registers of a swarm may take."""
    least, each, most = REGISTER_BYTES
    return min(max(least, each * spec.tasks), most)


def topology(spec: HierarchicalSpec) -> Topology:
    """Who there is, and who may do what."""
    return hierarchical(
        spec.swarm, agents=spec.agents, coordinators=spec.coordinators, addressed=spec.is_addressed
    )


def streams(spec: HierarchicalSpec) -> list[dict[str, Any]]:
    """The streams, in the order in which they must be made: a source before what it feeds."""
    swarm = Subjects(spec.swarm)
    common = {"storage": "file", "num_replicas": 1, "deny_delete": True}
    return [
        parts.ingress(spec),  # trimmed behind the coordinator's snapshot
        {
            "name": swarm.stream("JOB"),
            "description": "the coordinator's log: who leads, which tasks it gave out, which jobs are done",
            "subjects": [swarm.jobs],
            "retention": "limits",
            # Refuses when full: under discard-old the term's record would be evicted in the end.
            "discard": "new",
            "max_msgs_per_subject": 1,
            "max_bytes": LOG_BYTES_MAX,
            "max_msg_size": MESSAGE_BYTES_MAX + HEADER_BYTES_MAX,
            "allow_atomic": True,
            **common,
        },
        queue.stream_config(
            swarm.stream("WK"),
            source=swarm.stream("JOB"),
            transform=swarm.work_transform,
            bytes_max=QUEUE_BYTES_MAX,
        ),
        register.stream_config(swarm.stream("RES"), swarm.registers, bytes_max=register_bytes_max(spec)),
        attempts.stream_config(swarm, marks_max=MARKS_MAX),
        parts.dead_letters(swarm, sourced(swarm.stream("JOB"), swarm.dead_letter_transform)),
    ]


def pool(swarm: Subjects) -> queue.Queue:
    """The queue that all agents share."""
    return queue.Queue(stream=swarm.stream("WK"), consumer=POOL, tasks=(swarm.work,), register=swarm.register)


def queue_of(spec: HierarchicalSpec, agent: str) -> queue.Queue:
    """Where an agent pulls from: what is given to it by name, or the pool.

    Attempts of a task are counted wherever it is given to.
    """
    swarm = Subjects(spec.swarm)
    shared = pool(swarm)
    if not spec.is_addressed:
        return shared
    given = (swarm.queued(ANY, ANY, ANY, agent),)
    return dataclasses.replace(shared, consumer=agent, tasks=given, marks=POOL)


def consumers(spec: HierarchicalSpec, nodes: Topology) -> list[Consumer]:
    """What agents pull from, and the gateway's place in the registers."""
    if spec.is_addressed:
        agents = [node.name for node in nodes.of_role(AGENT)]
        return [*(parts.puller(spec, queue_of(spec, agent)) for agent in agents), parts.gateway(spec)]
    shared = pool(Subjects(spec.swarm))
    return [parts.puller(spec, shared, agents=spec.agents), parts.gateway(spec)]


def seat(swarm: Subjects) -> Seat:
    """Where the coordinators' leadership is kept."""
    return swarm.coordinator_seat


def workload(spec: HierarchicalSpec) -> Iterator[Submission]:
    """The tasks a producer is to offer, in order; the same for the same seed."""
    return independent(spec.seed, spec.tasks)


def subject(swarm: Subjects, task: RunTask) -> str:
    """Where a task is submitted.

    Raises:
        InvalidNameError: It could not be dispatched.
    """
    swarm.dispatch(task.job, task.key, task.task)  # it will have to go there, too
    return swarm.submit(task.key)


async def backlog(swarm: Swarm) -> Backlog:
    """How far a swarm has come; it has drained when every job is done and the gateway has all registers.

    Raises:
        RequestError: The broker did not answer.
    """
    state = await _state(swarm)
    at = await parts.ends(swarm)
    drained = (
        state is not None
        and state.ingress >= at.submitted
        and all(job.done for job in state.jobs.values())
        and at.delivered
    )
    return Backlog(at.submitted, at.ended, drained)


async def _state(swarm: Swarm) -> CoordinatorState | None:
    """The newest snapshot of the coordinator."""
    at = seat(swarm.swarm)
    record = await bus_log.last(swarm.observer, at.stream, at.snapshot)
    return decode(record.data, CoordinatorState) if record is not None else None


def emptied(swarm: Subjects) -> Sequence[Place]:
    """What was submitted, dispatched and queued has gone once it has ended."""
    return (
        Place(swarm.stream("IN")),
        Place(swarm.stream("JOB"), swarm.dispatches),
        Place(swarm.stream("WK")),
    )


async def read_back(swarm: Swarm, history: History) -> int:
    """Write registers, jobs, what became of the queue, and dead letters into the history."""
    ended = await reading.ended(swarm, history)
    state = await reading.patiently(lambda: _state(swarm))
    for job, at in (state.jobs if state else {}).items():
        history("final", "ok", what="job", job=job, opened=True, **msgspec.structs.asdict(at))
    await reading.queue(swarm, history, dispatched=state.dispatched if state else 0)
    await reading.dead_letters(swarm, history, ended.dead)
    return ended.all


async def show(swarm: Swarm, run: RunDirectory) -> None:
    """Pause the leader, if the spec says so."""
    if swarm.spec_as(HierarchicalSpec).pause_leader:
        await opening.pause_leader(swarm, run)


PATTERN = Pattern(
    name=NAME,
    spec=HierarchicalSpec,
    check=check,
    topology=topology,
    streams=streams,
    consumers=consumers,
    roles={
        **parts.ENDS,
        "agent": "squall.services.roles.agent",
        "coordinator": "squall.services.roles.coordinator",
    },
    leader="coordinator",
    seat=seat,
    workload=workload,
    subject=subject,
    close=Subjects.close,
    emptied=emptied,
    backlog=backlog,
    read_back=read_back,
    opening=show,
)
