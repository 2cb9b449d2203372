"""What a topology is: its nodes and their links. What the broker is told of them is derived from these.

    nodes, links ──► permissions      what the broker lets each node publish and hear
                 └─► exports/imports  what leaves account CORE, and into which account

Nodes that run handlers are *isolated*: each has an account of its own and sees
of the bus what it imports, nothing else. The others share account CORE, which
holds JetStream. Permissions alone would not do: the broker checks the subject
of a publish and never its reply, so in a shared account whoever may pull can
have the broker itself publish to a subject they may not.

A swarm's topology is a value. It is drawn up by the function named after its
pattern, in the module of that name in `squall.bus.topology`. A node that joins or
leaves makes another of it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from squall.bus.border import check_name
from squall.bus.errors import InvalidNameError
from squall.bus.subjects import Subjects
from squall.bus.topology import rights
from squall.bus.topology.guest import Guest
from squall.bus.topology.link import Link, Node, is_plane
from squall.bus.topology.rights import Export, Import, Permissions


@dataclass(frozen=True)
class Topology:
    """A swarm as data.

    Attributes:
        pattern: Its pattern's name.
        swarm: Its own name, which all its subjects begin with.
        nodes: In the order to start them.
        links: Who is connected to whom.
        administration: What roles in account CORE may do beyond their links, by role.
        coming: Nodes that may join, with the links that name them, beside those of their role. What the
            others need for these, the broker is told from the start.
        guests: Agents that are not ours, which nodes that run handlers ask.
        layout: How it is drawn: in ``layers`` along the way of a task; as a ``wheel``, whoever leads in the
            middle of those that run handlers; or as a ``circle`` of those, where nobody leads.

    Raises:
        InvalidNameError: A name that must not reach a subject.
        ValueError: The parts contradict each other.
    """

    pattern: str
    swarm: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    administration: Mapping[str, Permissions] = field(default_factory=dict[str, Permissions])
    coming: Mapping[Node, tuple[Link, ...]] = field(default_factory=dict[Node, tuple[Link, ...]])
    guests: tuple[Guest, ...] = ()
    layout: Literal["layers", "wheel", "circle"] = "layers"

    def __post_init__(self) -> None:
        check_name(self.swarm, "swarm name")
        for node in self.nodes:
            check_name(node.name, "node name")
            check_name(node.role, "role")
        names = {node.name: node for node in self._all_nodes}
        if len({*names, *(guest.name for guest in self.guests)}) != len(names) + len(self.guests):
            raise ValueError(f"a guest of swarm {self.swarm} is called as another, or as a node")
        if len(names) != len(self._all_nodes):
            raise ValueError(f"two nodes of swarm {self.swarm} have the same name")
        isolated = {role: {n.isolated for n in self._all_nodes if n.role == role} for role in self._roles}
        if mixed := [role for role, kinds in isolated.items() if len(kinds) > 1]:
            raise ValueError(f"the nodes of role {mixed[0]} are isolated, or they are not")
        for role in self.administration:
            if True in isolated.get(role, ()):
                raise ValueError(f"an isolated node administers nothing: {role}")
        for link in self._all_links:
            for end in link.ends:
                if not is_plane(end) and end not in self._roles and end not in names:
                    raise ValueError(f"a link ends at {end}, which is no node, role or stream")
                if end in self._named and not names[end].isolated and names[end].role != end:
                    raise ValueError(f"{end} has the rights of its role, and no links of its own")
            if link.by == "read" and any(node.isolated for node in self.at(link.target)):
                # The broker's administration does not go through imports under its own subjects, and
                # consumers that anybody may name would be everybody's to drain.
                raise ValueError(f"{link.target} is isolated, and pulls instead of reading")

    @functools.cached_property
    def _all_nodes(self) -> tuple[Node, ...]:
        return (*self.nodes, *self.coming)

    @functools.cached_property
    def _all_links(self) -> tuple[Link, ...]:
        return (*self.links, *(link for links in self.coming.values() for link in links))

    @functools.cached_property
    def _roles(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(node.role for node in self._all_nodes))

    @functools.cached_property
    def _named(self) -> frozenset[str]:
        """The ends of links that stand for one node."""
        several = {node.role for node in self._all_nodes if node.role != node.name}
        names = {node.name for node in self._all_nodes}
        return frozenset(end for link in self._all_links for end in link.ends if end in names - several)

    # What the broker is told.

    @functools.cached_property
    def _rights(self) -> Mapping[str, Permissions]:
        """With `ME`: by role, and by node where a link names it."""
        subjects = Subjects(self.swarm)
        found: dict[str, Permissions] = {}
        for node in self._all_nodes:
            who = node.name if node.name in self._named else node.role
            if who not in found:
                linked = rights.permissions(subjects, node, self._all_links, self._named)
                more = self.administration.get(node.role, Permissions())
                found[who] = Permissions(linked.publish + more.publish, linked.subscribe + more.subscribe)
        return found

    def _rights_of(self, node: Node) -> Permissions:
        return self._rights[node.name if node.name in self._named else node.role]

    @functools.cached_property
    def permissions(self) -> Mapping[str, Permissions]:
        """What the broker lets each node do, by node."""
        return {node.name: self._rights_of(node).of(node.name) for node in self.nodes}

    @functools.cached_property
    def templates(self) -> Mapping[str, Permissions]:
        """The same by role, with `ME`, for the roles in account CORE."""
        return {node.role: self._rights_of(node) for node in self.nodes if not node.isolated}

    @functools.cached_property
    def exports(self) -> tuple[Export, ...]:
        """What account CORE offers."""
        return rights.exports(self._rights_of(node) for node in self._all_nodes if node.isolated)

    @functools.cached_property
    def imports(self) -> Mapping[str, tuple[Import, ...]]:
        """What each isolated node takes of that, by node."""
        return {
            node.name: rights.imports(self._rights_of(node), node.name)
            for node in self.nodes
            if node.isolated
        }

    # Its nodes.

    def with_node(self, node: Node) -> Topology:
        """The topology that it is once a node has joined: the links of its role are its own, too, and those
        that were kept for it.

        Raises:
            InvalidNameError: A name that must not reach a subject.
            ValueError: There is a node of this name, or nodes of its role are not as isolated.
        """
        links = (*self.links, *self.coming.get(node, ()))
        coming = {other: kept for other, kept in self.coming.items() if other != node}
        return replace(self, nodes=(*self.nodes, node), links=links, coming=coming)

    def without_node(self, name: str) -> Topology:
        """The topology that it is once a node has left, with the links that named it.

        Raises:
            InvalidNameError: There is no such node.
            ValueError: It is the last of its role, and links end there.
        """
        gone = self.node(name)

        def without(links: Iterable[Link]) -> tuple[Link, ...]:
            return tuple(link for link in links if gone.role in link.ends or name not in link.ends)

        return replace(
            self,
            nodes=tuple(node for node in self.nodes if node is not gone),
            links=without(self.links),
            coming={node: without(links) for node, links in self.coming.items()},
        )

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

    def guest(self, name: str) -> Guest | None:
        """The guest of this name, if there is one."""
        return next((guest for guest in self.guests if guest.name == name), None)

    def of_role(self, role: str) -> tuple[Node, ...]:
        """The nodes of a role."""
        return tuple(node for node in self.nodes if node.role == role)

    def at(self, end: str) -> tuple[Node, ...]:
        """The nodes that an end of a link stands for; none for a stream."""
        return tuple(node for node in self.nodes if end in (node.name, node.role))
