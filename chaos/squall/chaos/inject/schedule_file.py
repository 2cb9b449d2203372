"""A schedule as a file: read strictly, and left in the directory of the run that it was carried out in."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from squall.chaos.errors import FaultError
from squall.chaos.inject.faults.catalogue import make
from squall.chaos.plan.schedule import Interval, Schedule, check, toml
from squall.chaos.plan.surface import surface_of
from squall.services.run.directory import RunDirectory
from squall.services.run.spec import Spec
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
        raise FaultError(f"{path} is not text: {error}") from error
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
        raise FaultError(f"{origin} is not valid TOML: {error}") from error
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
    for place, interval in enumerate(intervals if isinstance(intervals, list) else (), 1):
        if not isinstance(interval, dict):
            continue
        magnitude: Any = interval.get("magnitude")
        of_fault = magnitude.items() if isinstance(magnitude, dict) else ()
        whys = [refusal(interval, Interval), *(refuse(name, value, int) for name, value in of_fault)]
        whys += [f"there is no {name}" for name in ("fault", "target") if name not in interval]
        if why := next(filter(None, whys), None):
            return f"in interval {place}, {why}"
    return None


def checked(schedule: Schedule, spec: Spec) -> Schedule:
    """Return the schedule if a swarm can be put to it, with the magnitudes of its faults.

    Raises:
        FaultError: A fault, a magnitude, a target or a point does not exist, or they do not fit.
    """
    for interval in schedule.intervals:
        make(interval.fault, interval.magnitude)
    return check(schedule, surface_of(spec))


def write(run: RunDirectory, schedule: Schedule) -> None:
    """Leave a schedule in a run's directory."""
    run.keep(SCHEDULE, toml(schedule))
