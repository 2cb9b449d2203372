"""Tasks that whoever leads gives to workers by name: each has a consumer of its own, and pulls from no other.

What is given to one that is gone, the leader gives to another, and then takes out of the queue.
"""

from __future__ import annotations

from squall.bus.subjects import ANY, TARGET, Subjects, api
from squall.bus.topology.link import Link
from squall.bus.topology.rights import Permissions


def to_each(s: Subjects, leader: str) -> tuple[Link, ...]:
    """The links from a work queue to its workers, and to the role that leads."""
    given = s.queued(ANY, ANY, ANY, ANY)
    return (
        Link("WK", "agent", given, "pulls what is given to it", by="pull", consumer=TARGET),
        Link("WK", leader, given, "looks whether a task still waits", by="get"),
        Link(leader, "WK", given, "takes out what it has given to another", by="trim"),
    )


def looks_at_each(s: Subjects) -> Permissions:
    """Sees how far the consumers of the workers have delivered, so what of theirs has not begun."""
    return Permissions(publish=(api("CONSUMER", "INFO", s.stream("WK"), ANY),))
