"""What is known of a run while it runs: its parts say what they learn, and whoever shows it draws the whole.

    swarm, driven, nemesis, series ──Step──► learned(known, step) ──Known──► cli/progress.py

Every number was observed: the producer's counts by its heartbeats, the broker's counts, the log of faults.
What is not known is absent. Pure; times are those of `time.monotonic`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec.structs import replace

Stage = Literal[
    "starting",
    "load",
    "steady state",
    "faults",
    "recovering",
    "draining",
    "reading back",
    "stopping",
    "judging",
]
"""What a run is at; `squall.services.words` says what each is."""

# What is learned, a step at a time.


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A run begins; nothing that was known of the run before it holds.

    Attributes:
        number, runs: It is the so manieth of so many; ``runs`` is None where nobody knows how many come.
        series_left_s: How long the series goes on yet, by what its runs took so far, or was asked for.
    """

    run: str
    number: int | None = None
    runs: int | None = None
    series_left_s: float | None = None


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """The run comes to its next stage.

    Attributes:
        lasts_s: How long it takes, where that is known before.
        at_most_s: When it is given up, if it has not come to its end.
    """

    stage: Stage
    lasts_s: float | None = None
    at_most_s: float | None = None


class Left(msgspec.Struct, frozen=True):
    """How long the stage takes yet."""

    left_s: float


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """How far it has come.

    Attributes:
        offered: As the producer says once a second, or as many as were accepted, if those are more.
        accepted: By the broker; once the load has ended, by the producer's lines.
        ended: Tasks that have a register, by the broker.
    """

    offered: int
    accepted: int
    ended: int


class Leads(msgspec.Struct, frozen=True):
    """Who leads, as the broker has it; empty while nobody does."""

    node: str


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Something is waited for, until it is done with or the stage ends.

    Attributes:
        key: Of the one who waits.
    """

    what: str
    at_most_s: float | None = None
    key: str = ""


class Done(msgspec.Struct, frozen=True):
    """It is waited for no more."""

    key: str = ""


class Struck(msgspec.Struct, frozen=True, kw_only=True):
    """A fault was seen in force."""

    key: str
    kind: str
    target: str
    nodes: tuple[str, ...]


class Healed(msgspec.Struct, frozen=True):
    """A fault is in force no more."""

    key: str


class Notice(msgspec.Struct, frozen=True):
    """Something happened that is told once, in a sentence without an end."""

    text: str


Step = Begun | Phase | Left | Counted | Leads | Waiting | Done | Struck | Healed | Notice

Progress = Callable[[Step], None]
"""Told each step as it is learned; does not raise."""


# What is known.


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that is in force since then."""

    fault: Struck
    since_s: float


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """What is waited for, and until when at most."""

    what: str
    key: str
    until_s: float | None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a run now.

    Attributes:
        begun_s: When the run began.
        stage_s: When its stage began.
        ends_s, until_s: When its stage ends, and when it is given up, where that is known.
        leader: Who leads; empty while nobody does, and None where it is not known.
        series_until_s: When the series will have ended, by what is known of it.
    """

    begun_s: float
    run: str = ""
    number: int | None = None
    runs: int | None = None
    series_until_s: float | None = None
    stage: Stage | None = None
    stage_s: float = 0.0
    ends_s: float | None = None
    until_s: float | None = None
    offered: int | None = None
    accepted: int | None = None
    ended: int | None = None
    leader: str | None = None
    faults: tuple[InForce, ...] = ()
    awaited: tuple[Awaited, ...] = ()


def learned(known: Known, step: Step, now_s: float) -> Known:
    """What is known once this is, too."""
    match step:
        case Begun():
            return Known(
                begun_s=now_s,
                run=step.run,
                number=step.number,
                runs=step.runs,
                series_until_s=_after(now_s, step.series_left_s),
            )
        case Phase():
            return replace(
                known,
                stage=step.stage,
                stage_s=now_s if step.stage != known.stage else known.stage_s,
                ends_s=_after(now_s, step.lasts_s),
                until_s=_after(now_s, step.at_most_s),
                awaited=(),
            )
        case Left(left_s):
            return replace(known, ends_s=now_s + left_s)
        case Counted():
            return replace(known, offered=step.offered, accepted=step.accepted, ended=step.ended)
        case Leads(node):
            return replace(known, leader=node)
        case Waiting():
            others = _without(known.awaited, step.key)
            wanted = Awaited(what=step.what, key=step.key, until_s=_after(now_s, step.at_most_s))
            return replace(known, awaited=(*others, wanted))
        case Done(key):
            return replace(known, awaited=_without(known.awaited, key))
        case Struck():
            return replace(known, faults=(*known.faults, InForce(fault=step, since_s=now_s)))
        case Healed(key):
            return replace(known, faults=tuple(each for each in known.faults if each.fault.key != key))
        case Notice():
            return known


def _without(awaited: tuple[Awaited, ...], key: str) -> tuple[Awaited, ...]:
    return tuple(each for each in awaited if each.key != key)


def _after(now_s: float, seconds: float | None) -> float | None:
    return None if seconds is None else now_s + seconds
