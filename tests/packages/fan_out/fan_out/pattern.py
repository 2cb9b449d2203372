"""Fan-out: each task goes to several agents at once, and the first answer is the task's.

                ┌─► agent-1 ─┐
producer ─► IN ─┼─► agent-2 ─┼─► RES ─► gateway ─► venue
                └─► agent-3 ─┘   the first wins, the others are refused
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from squall.bus import attempts, log, queue, register
from squall.bus.messages import RunTask
from squall.bus.subjects import ANY, GATEWAY, LANES, SOURCE, TARGET, Subjects, lane_for
from squall.bus.topology.administration import launcher, observer
from squall.bus.topology.link import Link, Node
from squall.bus.topology.model import Topology
from squall.services.errors import SpecError
from squall.services.patterns import parts, reading
from squall.services.patterns.pattern import AGENT, Backlog, Consumer, Pattern
from squall.services.run.spec import Spec
from squall.services.run.swarm import Swarm
from squall.services.trading.workload import independent

NAME = "fan-out"


class FanOutSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A fan-out and its workload.

    Attributes:
        copies: How many of the agents are given each task.
    """

    pattern: str = NAME
    agents: Annotated[int, Meta(ge=1, le=100)] = 3
    rate_per_s: Annotated[float, Meta(gt=0)] = 200.0
    copies: Annotated[int, Meta(ge=1)] = 3


def check(spec: FanOutSpec) -> None:
    """See that there are as many agents as copies."""
    if spec.copies > spec.agents:
        raise SpecError(
            f"{spec.copies} copies of a task need more than {spec.agents} agents",
            f"lower copies to {spec.agents}, or raise agents to {spec.copies}",
        )


def queue_of(spec: FanOutSpec, agent: str) -> queue.Queue:
    """The tasks that an agent is given: those of its lanes, each of which as many agents have as copies."""
    swarm = Subjects(spec.swarm)
    place = int(agent.rpartition("-")[2])
    lanes = (lane for lane in range(LANES) if (lane - place) % spec.agents < spec.copies)
    return queue.Queue(
        stream=swarm.stream("IN"),
        consumer=agent,
        tasks=tuple(swarm.submissions_in(str(lane)) for lane in lanes),
        register=swarm.register,
    )


def subject(swarm: Subjects, task: RunTask) -> str:
    """Where a task is submitted: in the lane of its key."""
    return swarm.submit_in(lane_for(task.key), task.key, task.task)


def topology(spec: FanOutSpec) -> Topology:
    """Who there is, and who may do what."""
    s = Subjects(spec.swarm)
    return Topology(
        pattern=NAME,
        swarm=spec.swarm,
        nodes=(
            Node("launcher", "launcher"),
            Node("gateway", "gateway"),
            *(Node(f"agent-{n}", AGENT, isolated=True) for n in range(1, spec.agents + 1)),
            Node("producer", "producer"),
            Node("observer", "observer"),
        ),
        links=(
            Link("producer", "IN", s.submissions_in(ANY), "submits tasks; stored is accepted"),
            Link("IN", AGENT, s.submissions_in(ANY), "pulls its copies", by="pull", consumer=TARGET),
            Link(AGENT, "RES", s.registers, "answers; the first wins"),
            Link(AGENT, "TRY", s.tries_of(SOURCE), "counts the attempts of what is delivered again"),
            Link("TRY", AGENT, s.tries_of(TARGET), "asks how often a task was tried", by="newest"),
            Link("RES", "gateway", s.registers, "carries out the effects", by="pull", consumer=GATEWAY),
        ),
        administration={"launcher": launcher(), "observer": observer(s, [("RES", s.registers)])},
    )


def streams(spec: FanOutSpec) -> list[dict[str, Any]]:
    """A task stays in the ingress until all that were given it have answered, so that none misses one."""
    swarm = Subjects(spec.swarm)
    return [
        {**parts.ingress(spec), "retention": "interest"},
        register.stream_config(swarm.stream("RES"), swarm.registers, bytes_max=1024**3),
        attempts.stream_config(swarm, marks_max=100_000),
    ]


def consumers(spec: FanOutSpec, nodes: Topology) -> list[Consumer]:
    """One for each agent, so that none waits for another, and the gateway's."""
    agents = nodes.of_role(AGENT)
    return [*(parts.puller(spec, queue_of(spec, agent.name)) for agent in agents), parts.gateway(spec)]


async def backlog(swarm: Swarm) -> Backlog:
    """How far it has come; it has drained when each task has its answer, and each answer its effects."""
    accepted = (await log.state(swarm.observer, swarm.swarm.stream("IN")))["last_seq"]
    answered = (await log.state(swarm.observer, swarm.swarm.stream("RES")))["messages"]
    return Backlog(accepted, answered, answered >= accepted and await parts.is_delivered(swarm))


PATTERN = Pattern(
    name=NAME,
    spec=FanOutSpec,
    check=check,
    topology=topology,
    streams=streams,
    consumers=consumers,
    roles={**parts.ENDS, AGENT: "fan_out.agent"},
    workload=lambda spec: independent(spec.seed, spec.tasks),
    subject=subject,
    backlog=backlog,
    read_back=reading.registers,
)
