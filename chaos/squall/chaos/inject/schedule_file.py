"""A schedule as a file: read strictly, and left in the directory of the run that it was carried out in."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from squall.chaos.errors import FaultError
from squall.chaos.inject.faults.catalogue import make
from squall.chaos.plan.kinds import kind_of
from squall.chaos.plan.schedule import Interval, Schedule, check, toml
from squall.chaos.plan.surface import surface_of
from squall.services.run.directory import RunDirectory
from squall.services.run.spec import Spec
from squall.services.run.swarm_toml import nearest
from squall.services.run.toml_errors import why_no_toml
from squall.services.run.values import refusal, refuse

SCHEDULE = "schedule.toml"

REMEDY = f"an interval has: {', '.join(Interval.__struct_encode_fields__)}"


def load(path: Path, spec: Spec) -> Schedule:
    """Read a schedule file, strictly.

    Raises:
        FaultError: It cannot be read, says something that no schedule says, or has no fault.
    """
    try:
        schedule = parse(path.read_text(encoding="utf-8-sig"), spec, str(path))
    except OSError as error:
        raise FaultError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FaultError(f"{path} is not text in UTF-8", "save it as UTF-8") from error
    if not schedule.intervals:
        raise FaultError(f"{path} strikes nothing: it has no [[interval]]", REMEDY)
    return schedule


def parse(text: str, spec: Spec, origin: str = "the schedule") -> Schedule:
    """Read a schedule, strictly.

    Raises:
        FaultError: It says something that no schedule says.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FaultError(f"{origin} is not valid TOML: {why_no_toml(error)}") from error
    if unknown := _unknown(values):
        raise FaultError(f"{origin} is no schedule: {unknown}")
    try:
        schedule = msgspec.convert(values, Schedule)
    except msgspec.ValidationError as error:
        raise FaultError(
            f"{origin} is no schedule: {_why(values) or error}",
            REMEDY,
        ) from error
    return checked(schedule, spec)


def _why(values: dict[str, Any]) -> str | None:
    """In the words of the file, what of it cannot be; None if that is not a single value."""
    if (why := refusal(values, Schedule)) is not None:
        return why
    if "seed" not in values:
        return "it has no seed, from which targets such as any-agent are drawn"
    intervals: Any = values.get("interval")
    if not isinstance(intervals, list) or not all(isinstance(interval, dict) for interval in intervals):
        return "each interval begins with a line [[interval]], with two brackets"
    for place, interval in enumerate(intervals, 1):
        magnitude: Any = interval.get("magnitude", {})
        whys = [refusal(interval, Interval)]
        if isinstance(magnitude, dict):
            whys += [refuse(name, value, int) for name, value in magnitude.items()]
        else:
            whys.append("magnitude is no table, for instance { latency_ms = 300 }")
        whys += [f"there is no {name}" for name in ("fault", "target") if name not in interval]
        if why := next(filter(None, whys), None):
            return f"in interval {place}, {why}"
    return None


def _unknown(values: dict[str, Any]) -> str | None:
    """That a name is none that a schedule has, and which one was meant; None if all are."""
    intervals: Any = values.get("interval")
    whats: list[tuple[str, Any, type[msgspec.Struct]]] = [("a schedule", values, Schedule)]
    whats += [("an interval", each, Interval) for each in (intervals if isinstance(intervals, list) else ())]
    for what, names, kind in whats:
        known = kind.__struct_encode_fields__
        for name in names if isinstance(names, dict) else ():
            if name not in known:
                return f"{name!r} is nothing that {what} has{nearest(name, known)}"
    return None


def checked(schedule: Schedule, spec: Spec) -> Schedule:
    """Return the schedule if a swarm can be put to it, with the magnitudes of its faults.

    Raises:
        FaultError: A fault, a magnitude, a target or a point does not exist, or they do not fit; or a fault
            that lasts is to last for no time.
    """
    for interval in schedule.intervals:
        make(interval.fault, interval.magnitude)
    check(schedule, surface_of(spec))
    for interval in schedule.intervals:
        if kind_of(interval.fault).lasts and not interval.for_s:
            raise FaultError(
                f"{interval.fault} of {interval.target} lasts for no time, since its interval has no for_s",
                "say how many seconds, for instance for_s = 2.0",
            )
    return schedule


def write(run: RunDirectory, schedule: Schedule) -> None:
    """Leave a schedule in a run's directory."""
    run.keep(SCHEDULE, text_of(schedule))


def text_of(schedule: Schedule) -> str:
    """The file that says all of a schedule, also the magnitudes that it left to their defaults."""
    whole = (
        replace(each, magnitude=msgspec.to_builtins(make(each.fault, each.magnitude)))
        for each in schedule.intervals
    )
    return toml(replace(schedule, intervals=tuple(whole)))
