"""Which fault when, on whom, as data: what a schedule may say, and how it is written down. Pure.

`draw.py` draws one from a seed; `inject/schedule_file.py` reads one from a file.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from squall.chaos.errors import FaultError
from squall.chaos.plan.kinds import HAND_OVER, Kind, kind_of
from squall.chaos.plan.surface import Surface, check_target
from squall.services.run.spec import SEED_MAX
from squall.services.run.toml_writer import as_toml

ASKED_OF_A_NODE = ("restart", HAND_OVER)
"""Faults that a node does when it is asked to, which it cannot be while it stands still."""


class Interval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One fault: on whom, from when, for how long.

    Attributes:
        at_s: Seconds after the steady state was seen; with a ``point``, when the trap is set there.
        for_s: How long it lasts; nothing for a crash or a restart.
        at_end: Strike when all other intervals are over, then let the load end, and heal once the last task
            has ended, or ``for_s`` is over.
        point: Strike when the target has reached this point of its work, and stands there.
        nth: At which passing of the point.
        magnitude: Of the fault, for instance ``latency_ms``.
    """

    fault: str
    target: str
    at_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    for_s: Annotated[float, Meta(ge=0, le=600)] = 0.0
    point: str = ""
    nth: Annotated[int, Meta(ge=1)] = 1
    magnitude: dict[str, int] = {}
    at_end: bool = False


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done to one run.

    Attributes:
        seed: What it was drawn from; targets such as ``any-agent`` are drawn from it while it is carried out.
        quiet_s: How long the load goes on at least, whatever the intervals.
    """

    seed: Annotated[int, Meta(ge=-SEED_MAX, le=SEED_MAX)]
    quiet_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    intervals: tuple[Interval, ...] = msgspec.field(name="interval", default=())


def check(schedule: Schedule, surface: Surface) -> Schedule:
    """Return the schedule if a swarm can be put to it.

    Raises:
        FaultError: A fault, a target or a point does not exist, or they do not fit.
    """
    for interval in schedule.intervals:
        kind = kind_of(interval.fault)
        check_target(kind, interval.target, surface)
        if interval.point:
            _check_point(interval, kind, surface)
        if interval.at_end and (interval.at_s or interval.point):
            raise FaultError(
                f"{interval.fault} of {interval.target} strikes at the load's end, and elsewhere",
                "leave out either at_end, or at_s and point",
            )
    return schedule


def _check_point(interval: Interval, kind: Kind, surface: Surface) -> None:
    if interval.point not in surface.points:
        raise FaultError(f"there is no point {interval.point!r}", f"there are {', '.join(surface.points)}")
    if kind.breaks in ("messages", "answers", "attempts") or kind.name in ASKED_OF_A_NODE:
        raise FaultError(
            f"who stands still at {interval.point} cannot be told of {kind.name}",
            "strike there with crash, pause or a cut",
        )
    reaching = surface.reaching(interval.point)
    if interval.target not in reaching:
        raise FaultError(
            f"{interval.target} never reaches {interval.point}", f"name {' or '.join(reaching)} there"
        )


def toml(schedule: Schedule) -> str:
    """The schedule as a file that `load` reads."""
    quiet = {"quiet_s": schedule.quiet_s} if schedule.quiet_s else {}
    return as_toml({"seed": schedule.seed, **quiet, "interval": msgspec.to_builtins(schedule.intervals)})
