"""What a topology is: nodes, their links, and the permissions that enforce them.

    nodes ──► links            what a reader should know
          └─► permissions      what the broker lets each node publish and hear
          └─► exports/imports  what leaves account CORE, and into which account

Nodes that run handlers are *isolated*: each has an account of its own and sees
of the bus what it imports, nothing else. The others share account CORE, which
holds JetStream. Permissions alone would not do: the broker checks the subject
of a publish and never its reply, so in a shared account whoever may pull can
have the broker itself publish to a subject they may not.

A swarm's topology is a value. It is drawn up by the function named after its
pattern, in the module of that name in `squall.bus.topology`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from squall.bus import subjects
from squall.bus.border import check_name
from squall.bus.errors import InvalidNameError
from squall.bus.subjects import ME

Kind = Literal["service", "stream"]


@dataclass(frozen=True, slots=True)
class Node:
    """One process of the swarm.

    Attributes:
        name: Unique in the swarm.
        role: What it does; nodes of one role differ in nothing but their names.
        isolated: Whether it has an account of its own.
    """

    name: str
    role: str
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """An edge, for people to read.

    Attributes:
        source, target: A node, a role (which is all its nodes), or a stream's plane, for instance ``JOB``.
        subject: What travels along it.
        note: What it is for.
    """

    source: str
    target: str
    subject: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Permissions:
    """The subjects a node may publish to and subscribe to; all others are refused."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]

    def of(self, name: str) -> Permissions:
        """These permissions with `ME` filled in, as the broker does it."""
        return Permissions(
            tuple(subject.replace(ME, name) for subject in self.publish),
            tuple(subject.replace(ME, name) for subject in self.subscribe),
        )


@dataclass(frozen=True, slots=True)
class Export:
    """Something account CORE offers.

    Attributes:
        kind: A service is published to from outside, a stream is listened to.
        many_answers: A request to this service may be answered more than once.
    """

    subject: str
    kind: Kind = "service"
    many_answers: bool = False


@dataclass(frozen=True, slots=True)
class Import:
    """Something an isolated node takes from account CORE, under the same subject."""

    subject: str
    kind: Kind = "service"


@dataclass(frozen=True, slots=True)
class Topology:
    """A swarm as data.

    Attributes:
        pattern: Its pattern's name.
        swarm: Its own name, which all its subjects begin with.
        nodes: In the order to start them.
        links: Who is connected to whom.
        permissions: By node.
        templates: By role, with `ME`, for the roles in account CORE.
        exports: What account CORE offers.
        imports: By isolated node.

    Raises:
        InvalidNameError: A name that must not reach a subject.
        ValueError: The parts contradict each other.
    """

    pattern: str
    swarm: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    permissions: Mapping[str, Permissions]
    templates: Mapping[str, Permissions]
    exports: tuple[Export, ...]
    imports: Mapping[str, tuple[Import, ...]]

    def __post_init__(self) -> None:
        check_name(self.swarm, "swarm name")
        for node in self.nodes:
            check_name(node.name, "node name")
            check_name(node.role, "role")
        names = [node.name for node in self.nodes]
        if len(set(names)) != len(names):
            raise ValueError(f"two nodes of swarm {self.swarm} have the same name")
        if set(self.permissions) != set(names):
            raise ValueError("permissions and nodes do not match")
        if set(self.imports) != {node.name for node in self.nodes if node.isolated}:
            raise ValueError("imports and isolated nodes do not match")
        for node in self.nodes:
            if not node.isolated and self.permissions[node.name] != self.templates[node.role].of(node.name):
                raise ValueError(f"the permissions of {node.name} are not those of its role")
        for name, imports in self.imports.items():
            for wanted in imports:
                if not any(
                    offered.kind == wanted.kind and subjects.matches(offered.subject, wanted.subject)
                    for offered in self.exports
                ):
                    raise ValueError(f"{name} imports {wanted.subject}, which is not exported")

    def node(self, name: str) -> Node:
        """The node of this name.

        Raises:
            InvalidNameError: There is none.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        check_name(name, "node name")
        raise InvalidNameError(f"swarm {self.swarm} has no node {name!r}")

    def of_role(self, role: str) -> tuple[Node, ...]:
        """The nodes of a role."""
        return tuple(node for node in self.nodes if node.role == role)
