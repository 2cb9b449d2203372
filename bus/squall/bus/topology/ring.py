"""Ring: stages in a row, each with instances that own lanes, and routers of which one says who has which.

    producer ──► IN ═► S1 ──► stage 1 ──► D1 ═► S2 ──► stage 2 ──► … ═► Sn ──► stage n ──► RES ──► gateway
                       ▲                        ▲                       ▲
                       └─ lanes, pauses ────────┴─────────── router ────┘

An instance pulls from a consumer of its own, which has the lanes that a router gave it, and may write the
registers of its stage. What goes from stage to stage the broker copies, so nobody puts anything into another
stage's queue. Where the ring is closed, the last stage writes as well what goes round again, and RES is the
broker's copy of what has ended. The instances of a stage are one trust domain, as lanes go from one to the
other; those of two stages are not. The role of an instance is ``agent``, as of every node that runs a
handler; its stage follows from its number.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence

from squall.bus.stages import AGAIN, DIVERTED, END, STAGES_MAX, Stages
from squall.bus.subjects import ANY, GATEWAY, SOURCE, TARGET, Seat, Subjects, api
from squall.bus.topology.administration import lane_mover, launcher, observer
from squall.bus.topology.link import Link, Node
from squall.bus.topology.model import Topology
from squall.bus.topology.rights import Permissions

PATTERN = "ring"


def stage_of(node: str, stages: int) -> int:
    """The stage of an instance, from 1: instances are dealt to stages in turn.

    Args:
        node: Its name, ``agent-1`` and up.
    """
    return (_number(node) - 1) % stages + 1


def of_stage(names: Collection[str], stage: int, stages: int) -> list[str]:
    """The instances of one stage, in the order of their numbers. Pure."""
    return sorted((name for name in names if stage_of(name, stages) == stage), key=_number)


def next_number(names: Collection[str], least: int, stages: int) -> int:
    """The number of who joins next: the least one that belongs to the stage with the fewest. Pure.

    Args:
        least: No number below has not been had.
    """
    fewest = min(range(1, stages + 1), key=lambda stage: len(of_stage(names, stage, stages)))
    return next(number for number in range(least, least + stages) if stage_of(f"-{number}", stages) == fewest)


def _number(name: str) -> int:
    return int(name.rsplit("-", 1)[1])


def breaker(s: Subjects, stage: int | str) -> str:
    """Where it is said how the breaker of a stage stands; the stage may be a wildcard."""
    return s.at("ring", "breaker", f"s{stage}" if isinstance(stage, int) else stage)


def route(s: Subjects, stage: int | str) -> str:
    """Where it is said which instance of a stage should have which lane; the stage may be a wildcard."""
    return s.at("ring", "route", f"s{stage}" if isinstance(stage, int) else stage)


def members(s: Subjects) -> str:
    """Where it is said who the instances are."""
    return s.at("ring", "members")


def seat(s: Subjects) -> Seat:
    """Where the leadership of the routers is kept."""
    return s.seat("ring")


@functools.lru_cache(maxsize=16)
def ring(
    swarm: str,
    *,
    stages: int,
    instances: int,
    routers: int = 2,
    joins: int = 0,
    laps: int = 0,
    sheds: bool = False,
    diverts: bool = False,
) -> Topology:
    """The topology of stages in a row.

    Args:
        swarm: Its name.
        stages: How many there are.
        instances: Of each stage; together they are ``agent-1`` and up.
        routers: How many candidates for leadership, ``router-1`` and up; one of them leads.
        joins: How many instances may join, of whichever stages.
        laps: See `Stages`.
        sheds: Whether routers may end what waits at a stage.
        diverts: Whether they set it aside before.

    Raises:
        InvalidNameError: The swarm's name cannot be used in subjects.
        ValueError: Fewer than one of anything, or more stages than there may be.
    """
    if min(stages, instances, routers) < 1:
        raise ValueError(f"a {PATTERN} needs at least one stage, one instance of each and one router")
    if stages > STAGES_MAX:
        raise ValueError(f"a {PATTERN} has at most {STAGES_MAX} stages")
    s = Subjects(swarm)
    chain = Stages(swarm=s, count=stages, laps=laps)
    planes = [chain.waiting(stage) for stage in range(1, stages + 1)]
    agents = [f"agent-{n}" for n in range(1, stages * instances + 1)]
    more = [f"agent-{n}" for n in range(len(agents) + 1, len(agents) + stages * joins + 1)]
    return Topology(
        pattern=PATTERN,
        swarm=swarm,
        nodes=(
            Node("launcher", "launcher"),
            *(Node(f"router-{n}", "router") for n in range(1, routers + 1)),
            Node("gateway", "gateway"),
            *(Node(name, "agent", isolated=True) for name in agents),
            Node("producer", "producer"),
            Node("observer", "observer"),
        ),
        links=(
            *_common(s, chain),
            *(_shedding(s, chain) if sheds else ()),
            *(
                [Link("router", DIVERTED, chain.diverted(), "sets aside what it is to end")]
                if diverts
                else ()
            ),
            *(link for name in agents for link in _instance(s, chain, name)),
        ),
        coming={Node(name, "agent", isolated=True): tuple(_instance(s, chain, name)) for name in more},
        administration={
            "launcher": launcher(),
            "observer": _observer(s, chain, planes, diverts=diverts),
            # It asks how far the broker has its acknowledgements, where orders follow each other.
            "gateway": Permissions(publish=(api("CONSUMER", "INFO", s.stream("RES"), GATEWAY),)),
            "router": lane_mover(s, *planes),
        },
    )


def _observer(s: Subjects, chain: Stages, planes: Sequence[str], *, diverts: bool) -> Permissions:
    """Sees who has which lanes, too, in a closed ring what went round, and what is set aside."""
    reads = [
        ("IN", s.ingress),
        ("RING", s.at("ring", ">")),
        ("RES", s.registers),
        ("DLQ", s.dead_letters),
        *([(chain.done(chain.count), chain.last(AGAIN))] if chain.laps else ()),
        *([(DIVERTED, chain.diverted())] if diverts else ()),
    ]
    watches = observer(s, reads)
    looks = tuple(api("CONSUMER", "LIST", s.stream(plane)) for plane in planes)
    return Permissions((*watches.publish, *looks), watches.subscribe)


def _common(s: Subjects, chain: Stages) -> Iterator[Link]:
    office, letters = seat(s), s.dead_letters
    yield Link("producer", "IN", s.submissions_in(ANY), "submits tasks; stored is accepted")
    first = chain.done(0) if chain.laps else "S1"
    yield Link("IN", first, s.submissions_in(ANY), "sourced by the broker, by lane", by="source")
    for stage in range(1, chain.count):
        note = "sourced by the broker: what one stage has done waits at the next"
        yield Link(chain.done(stage), chain.waiting(stage + 1), chain.register(stage), note, by="source")
    done = chain.done(chain.count)
    if chain.laps:
        yield Link(
            first, "S1", chain.register(0), "sourced by the broker: what has come to a lap", by="source"
        )
        yield Link(done, "RES", chain.last(END), "sourced by the broker: what has ended", by="source")
    for lap in range(1, chain.laps):
        note = f"sourced by the broker: what goes round after lap {lap}"
        yield Link(done, first, chain.last(AGAIN, lap=lap), note, by="source")
    yield Link("router", "RING", office.term, "claims the lead")
    yield Link("router", "RING", office.lease, "renews it")
    yield Link("router", "RING", office.snapshot, "stores what it knows")
    yield Link("router", "RING", route(s, ANY), "says who should have which lane, fenced by its term")
    yield Link("launcher", "RING", members(s), "says who joins and who leaves")
    yield Link("RING", "launcher", members(s), "looks up who the instances are", by="get")
    yield Link("router", "RING", breaker(s, ANY), "says how breakers stand, fenced by its term")
    yield Link(
        "RING", "router", s.at("ring", ">"), "looks up its term, members, routes and breakers", by="get"
    )
    yield Link("IN", "router", s.ingress, "reads what was submitted", by="read")
    yield Link("IN", "router", s.ingress, "looks up the inputs of dead letters", by="get")
    yield Link("RES", "router", s.registers, "reads what has ended", by="read")
    yield Link("RES", "router", s.registers, "looks whether a task has ended", by="get")
    yield Link("router", "IN", s.ingress, "trims what has ended", by="trim")
    yield Link("router", "DLQ", letters, "gives up tasks")
    yield Link("agent", "router", s.heartbeat("agent", SOURCE), "says that it lives")
    yield Link("gateway", "router", s.heartbeat(GATEWAY, SOURCE), "heartbeats, with how far it is behind")
    yield Link("RES", "gateway", s.registers, "carries out the effects", by="pull", consumer=GATEWAY)


def _shedding(s: Subjects, chain: Stages) -> Iterator[Link]:
    """What else a router may do where it ends the oldest of what waits too long: it can end any task."""
    for stage in range(1, chain.count + 1):
        waiting, tasks = chain.waiting(stage), chain.tasks(stage)
        yield Link(waiting, "router", tasks, "looks which is the oldest that waits", by="get")
        yield Link(
            "router", chain.done(stage), chain.register(stage), "ends what is shed; the first register wins"
        )
        yield Link("router", waiting, tasks, "takes out what it has ended", by="trim")


def _instance(s: Subjects, chain: Stages, name: str) -> Iterator[Link]:
    stage = stage_of(name, chain.count)
    waiting, tries = chain.waiting(stage), s.tries_of(chain.marks(stage))
    yield Link(waiting, name, chain.tasks(stage), "pulls what is of its lanes", by="pull", consumer=TARGET)
    yield Link(waiting, name, chain.tasks(stage), "asks what is first of a lane", by="fetch")
    yield Link("RING", name, breaker(s, stage), "asks how its stage's breaker stands", by="newest")
    yield Link(name, chain.done(stage), chain.register(stage), "writes what it has done; the first wins")
    if chain.laps and stage == chain.count:
        yield Link(
            name, chain.done(stage), chain.last(AGAIN), "has what is not done go round; the first wins"
        )
    yield Link(name, "TRY", tries, "counts the attempts of what is delivered again")
    yield Link("TRY", name, tries, "asks how often a task was tried", by="newest")
