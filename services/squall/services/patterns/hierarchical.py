"""Hierarchical: a coordinator with a warm standby, and workers that pull from one pool.

producer ─► IN ─► coordinator ─► JOB ─sourced─► WK ─► agents ─► RES ─► gateway ─► venue
"""

from __future__ import annotations

from typing import Any

from squall.bus import attempts, register, work_queue
from squall.bus.codec import HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, SUBMISSION_BYTES_MAX
from squall.bus.connection import Connection
from squall.bus.errors import RejectedError
from squall.bus.jetstream import CONSUMER_NOT_FOUND, call, create_consumer, create_stream, sourced
from squall.bus.subjects import GATEWAY, POOL, Subjects
from squall.bus.topology.hierarchical import hierarchical
from squall.bus.topology.model import Topology
from squall.services.run.spec import Spec

INGRESS_BYTES_MAX = 128 * 1024**2
QUEUE_BYTES_MAX = 512 * 1024**2
LOG_BYTES_MAX = 1024**3
DEAD_LETTER_BYTES_MAX = 128 * 1024**2
"""Bounds of the streams. The broker sets them aside when a stream is made, so they are no larger than needed.
Ingress and queue are trimmed; of dead letters the oldest go first."""

REGISTER_BYTES = (1024**3, 1024, 12 * 1024**3)
"""Bound of the registers: at least, for each task, at most. They stay for the life of the swarm. One takes
about 600 bytes where a task has one small effect."""

MARKS_MAX = 100_000
"""Tasks whose attempts are counted at a time; only those that were delivered twice or have failed."""

DUPLICATE_WINDOW_S = 120
"""Twice the time for which a producer repeats an unknown submission."""

DEAD_LETTER_AGE_S = 14 * 24 * 3600


def register_bytes_max(spec: Spec) -> int:
    """How many bytes the registers of a swarm may take."""
    least, each, most = REGISTER_BYTES
    return min(max(least, each * spec.tasks), most)


def topology(spec: Spec) -> Topology:
    """Who there is, and who may do what."""
    return hierarchical(spec.swarm, agents=spec.agents, coordinators=spec.coordinators)


def streams(spec: Spec) -> list[dict[str, Any]]:
    """The streams, in the order in which they must be made: a source before what it feeds."""
    swarm = Subjects(spec.swarm)
    common = {"storage": "file", "num_replicas": 1, "deny_delete": True}
    return [
        {
            "name": swarm.stream("IN"),
            "subjects": [swarm.ingress],
            "retention": "limits",
            "discard": "new",
            # The bound refuses producers; trimmed behind the coordinator's snapshot.
            "max_msgs": spec.ingress_max,
            "max_bytes": INGRESS_BYTES_MAX,
            "max_msg_size": SUBMISSION_BYTES_MAX + HEADER_BYTES_MAX,
            "duplicate_window": DUPLICATE_WINDOW_S * 10**9,
            **common,
        },
        {
            "name": swarm.stream("JOB"),
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
        work_queue.stream_config(
            swarm.stream("WK"),
            source=swarm.stream("JOB"),
            transform=swarm.work_transform,
            bytes_max=QUEUE_BYTES_MAX,
        ),
        register.stream_config(swarm.stream("RES"), swarm.registers, bytes_max=register_bytes_max(spec)),
        attempts.stream_config(swarm, marks_max=MARKS_MAX),
        {
            "name": swarm.stream("DLQ"),
            "retention": "limits",
            "discard": "old",
            "max_bytes": DEAD_LETTER_BYTES_MAX,
            "max_age": DEAD_LETTER_AGE_S * 10**9,
            **sourced(swarm.stream("JOB"), swarm.dead_letter_transform),
            **common,
        },
    ]


def pool(swarm: Subjects) -> work_queue.Queue:
    """The queue that all agents share."""
    return work_queue.Queue(
        stream=swarm.stream("WK"), consumer=POOL, tasks=(swarm.work,), register=swarm.register
    )


async def _create_pool(connection: Connection, spec: Spec) -> None:
    swarm = Subjects(spec.swarm)
    queue = pool(swarm)
    config = work_queue.consumer_config(queue, spec.pacing, agents=spec.agents, slots=spec.slots)
    await create_consumer(connection, queue.stream, queue.consumer, config, filter_subject=swarm.work)


async def release_pool(connection: Connection, spec: Spec) -> None:
    """Take back everything that anybody holds of the pool, also what was put off for long, by making it anew.

    What honest agents hold is delivered a second time, and its register decides.

    Raises:
        RequestError: The broker did not answer; done again, it does no harm.
    """
    try:
        await call(connection, "CONSUMER", "DELETE", Subjects(spec.swarm).stream("WK"), POOL)
    except RejectedError as error:
        if error.code != CONSUMER_NOT_FOUND:
            raise
    await _create_pool(connection, spec)


async def provision(connection: Connection, spec: Spec) -> None:
    """Make the streams and consumers. Done again, it changes nothing.

    Raises:
        RequestError: The broker refuses, or does not answer.
    """
    swarm = Subjects(spec.swarm)
    for config in streams(spec):
        await create_stream(connection, config)
    await _create_pool(connection, spec)
    await create_consumer(
        connection,
        swarm.stream("RES"),
        GATEWAY,
        {
            "durable_name": GATEWAY,
            "ack_policy": "explicit",
            "ack_wait": int(spec.ack_wait_s * 1e9),
            "max_ack_pending": 4096,
        },
        filter_subject=swarm.registers,
    )
