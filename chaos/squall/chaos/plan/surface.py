"""What of a swarm can be struck: its nodes by role, who among them leads, and the points of their work. Pure.

    spec ─► pattern ─┬─ topology ──► nodes ──┐
                     ├─ leader ──────────────┼─► Surface ─► targets, cells
                     └─ roles' POINTS ───────┘

A target is a word for nodes, resolved at the moment a fault strikes: ``leader`` is whoever leads then.
"""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from squall.bus.topology.link import Node
from squall.chaos.errors import FaultError
from squall.chaos.plan.kinds import DISCONNECT, HAND_OVER, RESTART, Kind
from squall.services.effects import kinds as sinks
from squall.services.errors import SpecError
from squall.services.patterns import pattern_of
from squall.services.patterns.pattern import AGENT, PRODUCER, VENUE
from squall.services.run.spec import Spec

BROKER = "broker"
"""The target that is no node behind a proxy."""

ANY_INSTANCE = "any-instance"
"""Any agent, where groups of them do the same."""

MINORITY_AGENTS_MIN = 3

TAKE_OVER = ("claimed", "resumed")
"""Steps that a node which leads takes only when it follows another."""

_PAIR = re.compile(r"[|,~<>]|\bfrom\b|\band\b")


@dataclass(frozen=True, kw_only=True)
class Surface:
    """What can be struck of one swarm.

    Attributes:
        pattern: Its name.
        nodes: Those that are processes of their own behind a proxy: each on its way to the broker, and the
            venue, which has none, on the way of whoever asks it something.
        leading: The role of which one node leads; empty if nobody does.
        has_roster: Whether its agents are members of a roster.
        points: What has happened at each point of a node's work, by ``<role>.<step>``.
        seldom: Those of them that are passed only after something else was done to the swarm.
        groups: Agents that do the same together and may be struck so, by a word, for instance ``stage-2``.
    """

    pattern: str
    nodes: Sequence[Node]
    leading: str
    has_roster: bool = False
    points: Mapping[str, str]
    seldom: Collection[str] = ()
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of_role(self, role: str) -> list[str]:
        """The names of a role's nodes."""
        return [node.name for node in self.nodes if node.role == role]

    def role_of(self, name: str) -> str:
        """The role of a node; of what is none, for instance the broker, its own name."""
        return next((node.role for node in self.nodes if node.name == name), name)

    @property
    def leaders(self) -> list[str]:
        """Who can lead: the leader and its standbys."""
        return self.of_role(self.leading) if self.leading else []

    @property
    def agents(self) -> list[str]:
        return self.of_role(AGENT)

    @property
    def all_leaders(self) -> str:
        """The target that means everybody who can lead, for instance ``all-coordinators``."""
        return f"all-{self.leading}s" if self.leading else ""

    @property
    def roles(self) -> Sequence[str]:
        """The targets that are no names of nodes, whether this swarm has such nodes or not."""
        led = ("leader", "standby", self.all_leaders) if self.leading else ()
        return (*led, "any-agent", "all-agents", "minority", BROKER)

    @property
    def words(self) -> Sequence[str]:
        """All targets that are no names of nodes: the roles, and groups of agents."""
        return (*self.roles, *self.groups, ANY_INSTANCE) if self.groups else self.roles

    @property
    def targets(self) -> Sequence[str]:
        """What faults can be drawn for: the roles, and each node that is the only one of its role."""
        spoken_for = (AGENT, self.leading)
        alone = [n.name for n in self.nodes if n.role not in spoken_for and len(self.of_role(n.role)) == 1]
        return (*self.roles, *alone)

    def is_take_over(self, point: str) -> bool:
        """Whether a point is passed only by who follows a leader."""
        role, _, step = point.partition(".")
        return role == self.leading and step in TAKE_OVER

    def reaching(self, point: str) -> list[str]:
        """The targets that can reach a point, the one that a schedule draws first."""
        role = point.partition(".")[0]
        names = self.of_role(role)
        if role == AGENT:
            return ["any-agent", *names]
        if role == self.leading:
            return (
                ["standby", "leader", *names] if self.is_take_over(point) else ["leader", "standby", *names]
            )
        return names


def surface_of(spec: Spec) -> Surface:
    """What can be struck of a swarm of this spec."""
    pattern = pattern_of(spec)
    nodes = [node for node in pattern.topology(spec).nodes if node.role in pattern.roles]
    has_venue = VENUE in pattern.roles and spec.has_venue
    if has_venue:
        nodes.append(Node(VENUE, VENUE))
    return Surface(
        pattern=pattern.name,
        nodes=nodes,
        leading=pattern.leader,
        has_roster=pattern.roster is not None,
        points={
            point: text
            for point, text in pattern.points().items()
            if has_venue or not point.startswith(f"{VENUE}.")
        },
        seldom=pattern.seldom(),
        groups=pattern.groups(spec),
    )


def points_of(pattern: str | None, effects: str | None = None) -> Sequence[str]:
    """The points of a pattern's work; none of a pattern that is not known here.

    Args:
        effects: Where effects go; None, as in runs of before that was said, is to the venue.
    """
    try:
        points = pattern_of(pattern or "").points()
    except SpecError:
        return ()
    has_venue = effects in (None, sinks.VENUE.prefix)
    return tuple(point for point in points if has_venue or not point.startswith(f"{VENUE}."))


def check_target(kind: Kind, target: str, surface: Surface) -> None:
    """See that a fault can strike a target.

    Raises:
        FaultError: There is no such target in this swarm, or the fault has no hold on it.
    """
    if _PAIR.search(target):
        raise FaultError(
            f"{target!r} names a link between nodes, and with one broker they have none to cut",
            "cut one of them from the broker: name it alone",
        )
    names = [node.name for node in surface.nodes]
    if target in ("leader", "standby") and not surface.leading:
        raise FaultError(
            f"nobody leads in the pattern {surface.pattern}", f"there are {', '.join(surface.words)}"
        )
    if target not in surface.words and target not in names:
        near = difflib.get_close_matches(target, [*surface.words, *names], 1)
        roles = ", ".join(surface.words)
        remedy = f"did you mean {near[0]}?" if near else f"there are {roles}, and nodes by name"
        raise FaultError(f"there is no target {target!r} in this swarm", remedy)
    struck = (*surface.groups, ANY_INSTANCE, *(name for group in surface.groups.values() for name in group))
    has_attempts = bool(surface.groups) and target in struck
    if kind.breaks == "answers" and target != VENUE and not has_attempts:
        stages = f", or {', '.join(surface.groups)}" if surface.groups else ""
        raise FaultError(f"{target} answers no requests of the outside", f"name the venue{stages}")
    if kind.breaks == "attempts" and not has_attempts:
        there_are = f"name {', '.join(surface.groups)}" if surface.groups else "name latency for a slow way"
        raise FaultError(f"nothing that attempts of {target} depend on can be struck", there_are)
    if kind.breaks == "roster" and not surface.has_roster:
        raise FaultError(f"the pattern {surface.pattern} has no roster that anybody could leave")
    if kind.breaks == "roster" and target not in ("any-agent", "minority", *surface.agents):
        raise FaultError(
            f"{target} cannot leave the roster: it is no member, or nobody would be left",
            "name any-agent, minority or an agent",
        )
    if target == BROKER and kind.breaks != "process":
        raise FaultError(
            f"{kind.name} acts on the way of a node to the broker, and the broker has none",
            "name a node or a role; crash, pause and restart act on the broker",
        )
    if kind.name == DISCONNECT and target == VENUE:
        raise FaultError(
            "the venue is on no way to the broker that it could be taken off",
            "cut the way to it: blackhole@venue",
        )
    if kind.name == HAND_OVER and target != "leader":
        raise FaultError(f"{target} has nothing to hand over", "name the leader")
    if (target == "standby" or kind.name == HAND_OVER) and len(surface.leaders) < 2:
        raise FaultError(
            f"there is no standby: the swarm has one {surface.leading}", f"raise {surface.leading}s to 2"
        )
    if target == "minority" and len(surface.agents) < MINORITY_AGENTS_MIN:
        raise FaultError(
            f"{len(surface.agents)} agents have no minority",
            f"raise agents to at least {MINORITY_AGENTS_MIN}",
        )
    if target == PRODUCER and kind.breaks == "messages":
        raise FaultError(
            "the producer is the experiment's own witness of what it offered, and must not be misled",
            "strike its process, or its way to the broker",
        )
    if target == PRODUCER and kind.name == RESTART:
        raise FaultError(
            "a producer that is asked to end has offered all it will, and is not started again",
            "crash it, and it goes on where it was",
        )
    if target == VENUE and kind.breaks == "messages":
        raise FaultError(
            "the broker delivers nothing to the venue", "strike its process, its answers, or the way to it"
        )
    if target == VENUE and kind.family == "half":
        raise FaultError(
            "a way to the venue that is cut in one direction looks as if it were cut in both: who asks "
            "speaks first",
            "cut both, for instance with blackhole",
        )
    if target == "standby" and kind.family == "messages":
        raise FaultError("nothing is delivered to a standby", "name the leader")


def possible(kind: Kind, targets: Sequence[str], surface: Surface) -> list[str]:
    """Of some targets those that there are, and that the fault can strike."""
    found = []
    for target in targets:
        try:
            check_target(kind, target, surface)
        except FaultError:
            continue
        found.append(target)
    return found


def nodes_of(target: str, surface: Surface, leader: str | None, chance: random.Random) -> Sequence[str]:
    """The nodes that a target means now.

    Args:
        leader: Who leads now, or None.

    Raises:
        LookupError: Nobody leads, so there is no leader and no standby to name.
    """
    agents = surface.agents
    if target == surface.all_leaders:
        return surface.leaders
    match target:
        case "leader" | "standby" if leader is None:
            raise LookupError("nobody leads")
        case "leader":
            assert leader is not None
            return [leader]
        case "standby":
            return [chance.choice([name for name in surface.leaders if name != leader])]
        case "any-agent" | "any-instance":
            return [chance.choice(agents)]
        case "all-agents":
            return agents
        case "minority":
            return sorted(chance.sample(agents, (len(agents) - 1) // 2))
        case _:
            return surface.groups.get(target, [target])
