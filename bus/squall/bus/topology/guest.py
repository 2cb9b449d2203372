"""Guests: agents that are not ours, each in an account of its own that offers what it serves. Pure.

    node that runs handlers ──import──► the guest's account ──► the guest
                            ◄─────────── its answer, on a subject that the broker makes for it

It is the reverse of a node, whose account takes what CORE offers: a guest's takes nothing, so nothing of the
swarm is there to be seen; and its permissions name what it serves, so that the broker refuses all else.
"""

from __future__ import annotations

from dataclasses import dataclass

from squall.bus.border import check_name
from squall.bus.topology.rights import Permissions

ANSWERS = "_R_.>"
"""Where an answer goes that leaves an account: a subject of the broker's making, for each question one."""

ANY_INBOX = "_INBOX.>"
"""Inboxes of a guest's own account, which is all that it can ask."""


@dataclass(frozen=True, slots=True)
class Guest:
    """An agent that is not ours.

    Attributes:
        name: Unique among guests and nodes.
        serves: The subjects that nodes which run handlers may ask it on.
        hears: What it listens to beside these, in its own account.
        says: What it tells beside its answers, in its own account.
        silence_s: How long it may be between a question and its answer, or two parts of that; then the broker
            forgets where the answer goes.

    Raises:
        InvalidNameError: A name that must not reach a subject.
    """

    name: str
    serves: tuple[str, ...]
    hears: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    silence_s: float = 120.0

    def __post_init__(self) -> None:
        check_name(self.name, "name of a guest")

    @property
    def permissions(self) -> Permissions:
        """What it may do in its account."""
        return Permissions((ANSWERS, *self.says), (*self.serves, *self.hears, ANY_INBOX))
