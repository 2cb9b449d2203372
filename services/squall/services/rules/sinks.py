"""What the answer of a sink means for the effect that it was asked to carry out. Pure.

2xx                      ─► Carried
208, 409                 ─► Carried, before
408, 425, 5xx, no answer ─► Unknown: asked again with the same key
429, 503 with a time     ─► Wait: nobody asks anything until then
other 3xx and 4xx        ─► Refused, for good
nobody there             ─► Away: nobody asks anything for a moment
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DONE_BEFORE = (208, 409)
"""Statuses by which a sink says that it has carried an effect out already."""

ASK_AGAIN = (408, 425)
"""Statuses of 4xx that say nothing against the effect."""

TOO_MANY = 429
UNAVAILABLE = 503

WAIT_S = 1.0
"""How long nothing is asked of a sink that wants to be left alone and does not say for how long."""

WAIT_S_MAX = 30.0
"""No sink is left alone for longer because it asks for it."""

SEND_TIMEOUT_S = 10.0
"""For one effect, from connecting to the last byte of the answer."""

TOO_LARGE = (10054, 10097)
"""Error codes of a stream that takes no message of this size: 10054 of the body, 10097 of the headers."""


@dataclass(frozen=True, slots=True)
class Carried:
    """It is done.

    Attributes:
        before: Whether it was so before it was asked this time.
    """

    before: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Definite: it is not done, and never will be."""

    reason: str


@dataclass(frozen=True, slots=True)
class Parted:
    """What was sent together was not carried out as it was; each is to be asked alone, with the same key."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Indefinite: it may be done, or may yet be. The same key makes a repeat harmless."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """It is not done, and nothing is to be asked for so long."""

    for_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Away:
    """Nobody is there; nothing was asked."""

    reason: str


Outcome = Carried | Refused | Parted | Unknown | Wait | Away


def of_status(status: int, asks_s: float | None, said: str) -> Outcome:
    """What an HTTP answer means.

    Args:
        asks_s: For how long it asks to be left alone; None if it does not.
        said: The answer in words.
    """
    if 200 <= status < 300 or status in DONE_BEFORE:
        return Carried(before=status in DONE_BEFORE)
    if status == TOO_MANY or (status == UNAVAILABLE and asks_s is not None):
        return Wait(min(WAIT_S if asks_s is None else asks_s, WAIT_S_MAX), said)
    if 300 <= status < 500 and status not in ASK_AGAIN:
        return Refused(said)
    return Unknown(said)


Stored = Literal["stored", "duplicate", "refused", "unknown"]


def of_publish(kind: Stored, code: int, reason: str) -> Outcome:
    """What the outcome of a publish to a stream means; see `squall.bus.jetstream`.

    A stream that refuses for another reason than the message's size may take it later, when there is room.
    """
    match kind:
        case "stored" | "duplicate":
            return Carried(before=kind == "duplicate")
        case "refused" if code in TOO_LARGE:
            return Refused(f"the stream refused it: {reason}")
        case "refused":
            return Wait(WAIT_S, f"the stream refused it: {reason}")
    return Unknown(reason)
