"""Parts that patterns are made of: the ingress, the consumers, the roles at both ends, and when all is done.

    producer ─► ingress ─► … the pattern's own … ─► registers ─► gateway ─► venue

Each is a default. What a pattern has otherwise it says itself, for instance ``{**parts.ingress(spec), …}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from squall.bus import log, queue
from squall.bus.codec import HEADER_BYTES_MAX, SUBMISSION_BYTES_MAX
from squall.bus.jetstream import call
from squall.bus.messages import RunTask
from squall.bus.subjects import GATEWAY, Subjects
from squall.services.patterns.pattern import Consumer
from squall.services.run.spec import Spec

if TYPE_CHECKING:
    from squall.services.run.swarm import Swarm

ENDS: Mapping[str, str] = {
    "producer": "squall.services.roles.producer",
    "gateway": "squall.services.roles.gateway",
    "venue": "squall.services.roles.venue",
}
"""The roles at both ends of every pattern, with the modules that serve them."""

DEAD_LETTER_BYTES_MAX = 128 * 1024**2
DEAD_LETTER_AGE_S = 14 * 24 * 3600
"""Bounds of the dead letters; the oldest go first."""

INGRESS_BYTES_MAX = 128 * 1024**2
"""Bound of the ingress. The broker sets it aside when the stream is made, so it is no larger than needed."""

DUPLICATE_WINDOW_S = 120
"""Twice the time for which a producer repeats an unknown submission."""

GATEWAY_PENDING_MAX = 32_768
"""Registers delivered and not acknowledged: twice what a gateway holds, so that one that was started anew
need not wait for those of the one before."""


def dead_letters(swarm: Subjects, come: Mapping[str, Any]) -> dict[str, Any]:
    """The stream of dead letters.

    Args:
        come: How they come there: by ``subjects``, or from another stream.
    """
    return {
        "name": swarm.stream("DLQ"),
        "description": "dead letters: tasks that were given up, with their input and the reason",
        "retention": "limits",
        "discard": "old",
        "max_bytes": DEAD_LETTER_BYTES_MAX,
        "max_age": DEAD_LETTER_AGE_S * 10**9,
        "storage": "file",
        "num_replicas": 1,
        "deny_delete": True,
        **come,
    }


def ingress(spec: Spec) -> dict[str, Any]:
    """The stream of what producers submit; stored is accepted. Whoever takes a task up has to make room."""
    swarm = Subjects(spec.swarm)
    return {
        "name": swarm.stream("IN"),
        "description": "the ingress: tasks that were accepted and have not been taken up",
        "subjects": [swarm.ingress],
        "retention": "limits",
        "discard": "new",  # the bound refuses producers
        "max_msgs": spec.ingress_max,
        "max_bytes": INGRESS_BYTES_MAX,
        "max_msg_size": SUBMISSION_BYTES_MAX + HEADER_BYTES_MAX,
        "duplicate_window": DUPLICATE_WINDOW_S * 10**9,
        "storage": "file",
        "num_replicas": 1,
        "deny_delete": True,
    }


def puller(spec: Spec, tasks: queue.Queue, *, agents: int = 1) -> Consumer:
    """The consumer of a queue.

    Args:
        agents: How many pull from it.
    """
    config = queue.consumer_config(tasks, spec.pacing, agents=agents, slots=spec.slots)
    return Consumer(stream=tasks.stream, name=tasks.consumer, config=config)


def gateway(spec: Spec) -> Consumer:
    """The gateway's place in the registers."""
    swarm = Subjects(spec.swarm)
    return Consumer(
        stream=swarm.stream("RES"),
        name=GATEWAY,
        config={
            "durable_name": GATEWAY,
            "filter_subject": swarm.registers,
            "ack_policy": "explicit",
            "ack_wait": int(spec.ack_wait_s * 1e9),
            "max_ack_pending": GATEWAY_PENDING_MAX,
        },
    )


def subject(swarm: Subjects, task: RunTask) -> str:
    """Where a task is submitted whose job and name stand in the subject.

    Raises:
        InvalidNameError: Its names cannot be used in subjects.
    """
    return swarm.submit_in(task.job, task.key, task.task)


class Ends(NamedTuple):
    """What stands at both ends of a swarm.

    Attributes:
        submitted: Records that the ingress has taken in.
        waiting: Those that are still there.
        ended: Registers.
        delivered: Whether the gateway has carried out all that stands in them.
    """

    submitted: int
    waiting: int
    ended: int
    delivered: bool


async def ends(swarm: Swarm) -> Ends:
    """What stands at both ends; the gateway is looked at last, as what ended before is its to carry out.

    So a pattern looks at what it has in between before it asks for this.

    Raises:
        RequestError: The broker did not answer.
    """
    ingress = await log.state(swarm.observer, swarm.swarm.stream("IN"))
    registers = await log.state(swarm.observer, swarm.swarm.stream("RES"))
    delivered = await is_delivered(swarm)
    return Ends(ingress["last_seq"], ingress["messages"], registers["messages"], delivered)


async def is_delivered(swarm: Swarm) -> bool:
    """Whether the gateway has carried out all that stands in the registers.

    Raises:
        RequestError: The broker did not answer.
    """
    at = await call(swarm.observer, "CONSUMER", "INFO", swarm.swarm.stream("RES"), GATEWAY)
    return bool(at["num_pending"] == 0 and at["num_ack_pending"] == 0)
