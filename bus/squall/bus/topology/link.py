"""Nodes and the links between them: all that is written down of a topology; the rest follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Way = Literal["publish", "source", "pull", "read", "get", "newest", "hear", "fetch", "trim"]
"""How a link is used. Its rights are those of the node that acts, which is the end in italics here:

    publish   *node* → node     says something, and the other hears it
              *node* → stream   stores something
    source     stream → stream  the broker copies; nobody has a right for it
    pull       stream → *node*  takes and acknowledges what a consumer that the launcher made delivers
    read       stream → *node*  reads what falls under the subject, in order, with a consumer of its own
    get        stream → *node*  asks for single records, whatever their subjects
    newest     stream → *node*  asks for the newest record of one subject
    hear       stream → *node*  listens to what the broker says of each record as it stores it
    fetch      stream → *node*  asks for records by their places, many at a time
    trim      *node* → stream   looks how full it is, and removes what is not needed any more
"""


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
    """An edge.

    Attributes:
        source, target: A role (which is all its nodes), an isolated node, or a stream's plane, for instance
            ``JOB``.
        subject: What travels along it. `SOURCE` and `TARGET` in it stand for the names of its ends: a node
            speaks in its own name only, and hears what is meant for it only.
        note: What it is for.
        heard: What arrives of it, where that is not the subject: the broker says it again as something else.
        by: How.
        consumer: Which consumer is pulled from; with `TARGET`, each node has its own, called as it is.
    """

    source: str
    target: str
    subject: str
    note: str = ""
    by: Way = "publish"
    consumer: str = ""
    heard: str = ""

    @property
    def ends(self) -> tuple[str, str]:
        return self.source, self.target

    @property
    def is_spoken(self) -> bool:
        """Whether it goes from node to node, without a stream between."""
        return self.by == "publish" and not is_plane(self.target)

    @property
    def is_heard(self) -> bool:
        """Whether its target listens to its subject."""
        return self.is_spoken or self.by == "hear"

    @property
    def arrives(self) -> str:
        """What its target listens to."""
        return self.heard or self.subject

    @property
    def carries(self) -> bool:
        """Whether messages flow along it, and not only questions about what is stored."""
        return self.by not in ("get", "newest", "fetch", "trim")

    @property
    def actor(self) -> str:
        """The end that needs rights to use it."""
        return self.source if self.by in ("publish", "source", "trim") else self.target


def is_plane(end: str) -> bool:
    """Whether an end is a stream's plane; nodes and roles are lower case."""
    return end.isupper()
