"""What links come to: what each node may publish and hear, what CORE exports, what a node imports. Pure.

    links ──► permissions of a role ──┬─► its template, or a node's own permissions
                                      ├─► exports: the same for all nodes of an isolated role
                                      └─► imports: what one node takes of that

All that a node may do follows from the links that name it or its role, and from what every node may: hear its
own inbox, and tell that it lives.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from squall.bus.subjects import (
    ANY,
    ME,
    SOURCE,
    TARGET,
    Subjects,
    api,
    every_ack,
    every_inbox,
    fetch,
    is_fetch,
    newest,
    next_message,
)
from squall.bus.topology.link import Link, Node

Kind = Literal["service", "stream"]


@dataclass(frozen=True, slots=True)
class Permissions:
    """The subjects a node may publish to and subscribe to; all others are refused."""

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()

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


def permissions(s: Subjects, node: Node, links: Iterable[Link], named: Container[str]) -> Permissions:
    """What nodes like this one may do, with `ME` for their name.

    Args:
        node: A node; another of its role, where no link names either, may do the same.
        links: All links of the topology.
        named: The ends of links that stand for one node and not for a role.
    """
    mine = [link for link in links if {node.name, node.role} & {*link.ends}]
    publish = [right for link in mine if _is(link.actor, node) for right in _rights(s, link, named)]
    hear = [_heard(link, named) for link in mine if _is(link.target, node) and link.is_heard]
    alive = [s.heartbeat(node.role, ME)] if mine else []
    return Permissions(
        publish=tuple(dict.fromkeys([*publish, *alive])),
        subscribe=tuple(dict.fromkeys([every_inbox(ME), *hear])),
    )


def _is(end: str, node: Node) -> bool:
    return end in (node.name, node.role)


def _heard(link: Link, named: Container[str]) -> str:
    """What its target listens to."""
    source = link.source if link.source in named else ANY
    return link.arrives.replace(TARGET, ME).replace(SOURCE, source)


def _rights(s: Subjects, link: Link, named: Container[str]) -> Iterator[str]:
    """What the node that acts on a link must be allowed to publish."""
    consumer = link.consumer.replace(TARGET, ME)
    match link.by:
        case "publish":
            target = link.target if link.target in named else ANY
            yield link.subject.replace(SOURCE, ME).replace(TARGET, target)
        case "pull":
            stream = s.stream(link.source)
            yield next_message(stream, consumer)
            yield every_ack(stream, consumer)
        case "read":
            # A consumer's filter is part of the subject that makes it, so the broker holds the reader to it.
            stream = s.stream(link.source)
            yield api("STREAM", "INFO", stream)
            yield api("CONSUMER", "CREATE", stream, ME, link.subject)
            yield next_message(stream, ME)
            yield api("CONSUMER", "DELETE", stream, ME)
        case "get":
            yield api("STREAM", "MSG", "GET", s.stream(link.source))
        case "newest":
            yield newest(s.stream(link.source), link.subject.replace(TARGET, ME))
        case "fetch":
            yield fetch(s.stream(link.source))
        case "trim":
            stream = s.stream(link.target)
            yield api("STREAM", "INFO", stream)
            yield api("STREAM", "PURGE", stream)
        case "source" | "hear":
            pass


def exports(isolated: Iterable[Permissions]) -> tuple[Export, ...]:
    """What account CORE offers to nodes with these permissions, which have `ME` for their names.

    The names of nodes are left open, so that a node can be admitted without new claims for account CORE: a
    broker that is given any forgets every pull that is open through its exports.
    """
    offered: dict[Export, None] = {}
    for rights in isolated:
        for subject in rights.publish:
            # A pull is answered by many messages, and so is a question for many records; all else by one.
            many = subject.startswith(next_message("", "")[:-1]) or is_fetch(subject)
            offered[Export(subject.replace(ME, ANY), many_answers=many)] = None
        for subject in rights.subscribe:
            if subject != every_inbox(ME):  # it is in the node's own account
                offered[Export(subject.replace(ME, ANY), "stream")] = None
    return tuple(offered)


def imports(rights: Permissions, name: str) -> tuple[Import, ...]:
    """All that a node of this name may do, except on its inbox, which is in its own account."""
    mine = rights.of(name)
    return (
        *(Import(subject) for subject in mine.publish),
        *(Import(subject, "stream") for subject in mine.subscribe if subject != every_inbox(name)),
    )
