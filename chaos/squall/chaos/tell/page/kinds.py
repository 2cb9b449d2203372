"""What each kind of fault does, in a sentence, and which are alike. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from squall.chaos.plan.kinds import KINDS

DOES: Mapping[str, str] = {
    "latency": "everything between the node and the broker arrives late, by a fixed time",
    "jitter": "everything between the node and the broker arrives late, by a time that varies",
    "bandwidth": "only so many bytes a second pass between the node and the broker",
    "slice": "messages arrive in small pieces, with a pause between two",
    "refuse": "connections are closed and new ones refused; both sides know at once",
    "blackhole": "nothing arrives, either way; a close is still passed on",
    "blackhole-nofin": "nothing arrives, either way, and neither side is told",
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
    "errors": "whatever is asked is answered with an error, sometimes after it was carried out",
}

_SORTS: Mapping[str, str] = {
    "process": "process",
    "planned": "process",
    "cut": "cut",
    "half": "cut",
    "flapping": "cut",
    "slow": "slow",
    "messages": "odd",
    "clocks": "odd",
    "errors": "answers",
}

SORTS: Mapping[str, str] = {
    "process": "a process is stopped",
    "cut": "a way is cut",
    "slow": "a way is slow",
    "odd": "messages or clocks are odd",
    "answers": "answers are errors",
    "other": "other",
}
"""The sorts of faults that are drawn alike, each in words."""


def sort_of(kind: str) -> str:
    """The sort that a kind is drawn as."""
    known = KINDS.get(kind)
    return _SORTS.get(known.family, "other") if known is not None else "other"


def does(kind: str) -> str:
    """What it does; nothing of a kind that is not known here."""
    return DOES.get(kind, "")
