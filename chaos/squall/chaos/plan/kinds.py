"""The kinds of faults there are, as far as a plan needs to know them. Pure; `inject/faults/` does them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from squall.bus.border import NAME_LENGTH_MAX, printable
from squall.chaos.errors import FaultError

SEVER = "sever"
"""The kind that makes a way slow, and cuts it as it ends."""

RESTART = "restart"
"""The kind that asks a process to end, which is started again if its work is not done."""

LEAVE = "leave"
"""The kind that only a member of a roster can be told of."""

DISCONNECT = "disconnect"
"""The kind that takes a node off its network, where it has one of its own."""

NO_FIN = "blackhole-nofin"
"""The kind that does to a connection what `DISCONNECT` does, by a proxy."""

SLOW = "slow"
"""The kind that makes attempts slow."""

HAND_OVER = "hand-over"
"""The kind that only a leader can be told of."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        family: Kinds that are on or off together in the schedule of a seed; empty if none is drawn.
        breaks: What it acts on: a node's link, process or messages, what it answers to requests, what its
            attempts depend on, or whether it is a member. Of the broker only the process; only the venue
            answers requests, and only a stage depends on something that can be struck.
        lasts: Whether it is in force for a time; else it has happened once it is in force.
        place: Where nodes must run for it, and then it is not drawn; empty if that is all the same.
    """

    name: str
    family: str
    breaks: Literal["link", "process", "messages", "answers", "attempts", "roster"] = "link"
    lasts: bool = True
    place: str = ""

    @property
    def silences(self) -> bool:
        """Whether nothing that its target sends to the broker arrives while it is in force."""
        return self.name == "one-way-up" or (self.family == "cut" and self.name != SEVER)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("latency", "slow"),
        Kind("jitter", "slow"),
        Kind("bandwidth", "slow"),
        Kind("slice", "slow"),
        Kind("refuse", "cut"),
        Kind("blackhole", "cut"),
        Kind(NO_FIN, "cut"),
        Kind(DISCONNECT, "cut", place="containers"),
        Kind("stall", "cut"),
        Kind("reset", "cut"),
        Kind(SEVER, "cut"),
        Kind("one-way-up", "half"),
        Kind("one-way-down", "half"),
        Kind("flap", "flapping"),
        Kind("crash", "process", "process", lasts=False),
        Kind("pause", "process", "process"),
        Kind(RESTART, "process", "process", lasts=False),
        Kind("duplicate", "messages", "messages"),
        Kind("late", "messages", "messages"),
        Kind("reorder", "messages", "messages"),
        Kind("clock-off", "clocks", "messages"),
        Kind("clock-jump", "clocks", "messages"),
        Kind(HAND_OVER, "planned", "process", lasts=False),
        Kind("errors", "errors", "answers"),
        Kind(SLOW, "", "attempts"),
        Kind(LEAVE, "membership", "roster"),
    )
}

DOES: Mapping[str, str] = {
    "latency": "everything between the node and the broker arrives late, by a fixed time",
    "jitter": "everything between the node and the broker arrives late, by a time that varies",
    "bandwidth": "only so many bytes a second pass between the node and the broker",
    "slice": "messages arrive in small pieces, with a pause between two",
    "refuse": "connections are closed and new ones refused; both sides know at once",
    "blackhole": "nothing arrives, either way; a close is still passed on",
    "blackhole-nofin": "nothing arrives, either way, and neither side is told",
    DISCONNECT: "the node's container is off its network; nothing arrives, and neither side is told",
    "stall": "nothing moves and nothing is lost; what was held arrives when it ends",
    "reset": "whoever is sent something has its connection ended",
    "sever": "everything is late, and then the connection ends with what was still on its way",
    "one-way-up": "what the node sends is lost; what it is sent arrives",
    "one-way-down": "what the node is sent is lost; what it sends arrives",
    "flap": "connections are refused and accepted by turns, many times",
    "crash": "the process is killed and started anew; what it held is gone",
    "pause": "the process stands still with its connections open, and goes on where it was",
    "restart": "the process is asked to end in good order, and started anew",
    "duplicate": "some of what is delivered to the node is handled twice",
    "late": "some of what is delivered to the node is handled late",
    "reorder": "some of what is delivered to the node is handled after what follows it",
    "clock-off": "the node's clock is wrong by a fixed time",
    "clock-jump": "the node's clock jumps",
    "hand-over": "the leader is asked to give up in good order, and another takes over",
    "errors": "whatever is asked is answered with an error, sometimes after it was carried out; attempts "
    "of a stage fail, as what they depend on answers so",
    "slow": "some attempts of a stage take longer, as what they depend on is slow",
    "leave": "the member leaves the roster, so that its votes count no more, or its lanes go to others, "
    "and joins again",
}
"""What each kind does, in words."""

SOME = "there are crash, pause, latency, blackhole and others"
"""In place of all of them, which no line has room for."""

NEED_THREE_BROKERS = ("split", "bridge", "isolate-leader")


def kind_of(name: str) -> Kind:
    """The kind of that name.

    Raises:
        FaultError: There is none.
    """
    if name in NEED_THREE_BROKERS:
        raise FaultError(
            f"{name} cuts brokers from each other, and this swarm has one broker",
            "cut a node from it, for instance with blackhole-nofin",
        )
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, 1)
        remedy = f"did you mean {near[0]}?" if near else f"{SOME}; `squall explain` lists all"
        raise FaultError(f"there is no fault {printable(name, NAME_LENGTH_MAX)!r}", remedy)
    return KINDS[name]


def _of_family(family: str) -> Sequence[str]:
    return tuple(kind.name for kind in KINDS.values() if kind.family == family and not kind.place)


FAMILIES: Mapping[str, Sequence[str]] = {
    family: _of_family("process" if family == "broker" else family)
    for family in (
        "slow",
        "cut",
        "half",
        "flapping",
        "process",
        "broker",
        "messages",
        "clocks",
        "planned",
        "errors",
        "membership",
    )
}
"""Kinds of faults that are on or off together; those of the broker beside those of nodes."""
