"""Which fault when, on whom: drawn from a seed, written down, read back. Pure but for reading files.

    seed ──┬─ families ──► which kinds of faults this run has at all
           ├─ points ────► which cells of the coverage table it is to hit
           └─ <family> ──► targets, moments, magnitudes

Each draws from a stream of its own, named after seed and purpose, so that a family more or less shifts no
other. A subset of families a seed finds more than a bit of everything (swarm testing).
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from squall.chaos.errors import FaultError
from squall.chaos.inject.faults.catalogue import make
from squall.chaos.inject.faults.fault import Fault
from squall.chaos.judge.coverage import CELLS, CELLS_A_SEED, STRIKES
from squall.chaos.plan.targets import MINORITY_AGENTS_MIN, check_target, leaders
from squall.services.patterns import pattern_of
from squall.services.run.spec import Spec

FAMILIES: Mapping[str, Sequence[str]] = {
    "slow": ("latency", "jitter", "bandwidth", "slice"),
    "cut": ("refuse", "blackhole", "blackhole-nofin", "stall", "reset"),
    "half": ("one-way-up", "one-way-down"),
    "flapping": ("flap",),
    "process": ("crash", "pause", "restart"),
    "broker": ("crash", "pause", "restart"),
    "messages": ("duplicate", "late", "reorder"),
    "clocks": ("clock-off", "clock-jump"),
}
"""Kinds of faults that are on or off together."""

TARGETS = ("leader", "standby", "any-agent", "minority", "all-agents", "gateway")

FAMILY_ON = 0.5
"""How likely a seed has a family at all."""

AT_END = 0.4
"""How likely a seed's last fault strikes as the load ends."""

END_FAULTS = ("sever", "reset", "latency", "stall", "blackhole-nofin", "crash")
END_TARGETS = ("leader", "gateway", "any-agent")

OF_ONE = 4
"""Intervals of a fault that was asked for by name."""

TAKE_OVER = ("claimed", "resumed")
"""Steps of a coordinator that it takes only when it follows another."""

PAUSE_PAST_LEASE_S = 1.5
BROKER_FOR_S = (0.5, 2.0)
FOR_S = (0.5, 3.0)


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

    def made(self) -> Fault:
        """The fault itself.

        Raises:
            FaultError: There is no such fault.
        """
        return make(self.fault, self.magnitude)


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done to one run.

    Attributes:
        seed: What it was drawn from; targets such as ``any-agent`` are drawn from it while it is carried out.
        quiet_s: How long the load goes on at least, whatever the intervals.
    """

    seed: int
    quiet_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    intervals: tuple[Interval, ...] = msgspec.field(name="interval", default=())

    @property
    def length_s(self) -> float:
        """When the last interval is due to end."""
        return max((interval.at_s + interval.for_s for interval in self.intervals), default=0.0)


def check(schedule: Schedule, spec: Spec) -> Schedule:
    """Return the schedule if a swarm can be put to it.

    Raises:
        FaultError: A fault, a magnitude, a target or a point does not exist, or they do not fit.
    """
    for interval in schedule.intervals:
        fault = interval.made()
        check_target(fault, interval.target, spec)
        if interval.point:
            _check_point(interval, fault, spec)
        if interval.at_end and (interval.at_s or interval.point):
            raise FaultError(
                f"{interval.fault} of {interval.target} strikes at the load's end, and elsewhere",
                "leave out either at_end, or at_s and point",
            )
    return schedule


def _check_point(interval: Interval, fault: Fault, spec: Spec) -> None:
    points = pattern_of(spec).points()
    if interval.point not in points:
        raise FaultError(f"there is no point {interval.point!r}", f"there are {', '.join(points)}")
    if fault.breaks == "messages" or fault.name == "restart":
        raise FaultError(
            f"who stands still at {interval.point} cannot be told of {fault.name}",
            "strike there with crash, pause or a cut",
        )
    role = interval.point.split(".")[0]
    roles = {"agent": ("any-agent", "agent-"), "gateway": ("gateway",), "coordinator": ("leader", "standby")}
    if not interval.target.startswith((*roles[role], f"{role}-")):
        raise FaultError(
            f"{interval.target} never reaches {interval.point}", f"name {' or '.join(roles[role])} there"
        )


# From a seed.


def draw(seed: int, spec: Spec, *, length_s: float, faults: Sequence[tuple[str, str]] = ()) -> Schedule:
    """The schedule of a seed.

    Args:
        length_s: Over how long the beginnings of the faults are spread.
        faults: Only these, each with its target or an empty string for any; all there are, if empty. Then
            the leader is stopped for longer than its lease first, and the seed's cells of the coverage table
            are hit.
    """
    intervals: list[Interval] = []
    begin_s = 0.0
    if not faults:
        # First and alone: a fail-over that nothing hampers, to be timed.
        pause_s = spec.lease_s + PAUSE_PAST_LEASE_S
        intervals.append(Interval(fault="pause", target="leader", for_s=_round(pause_s)))
        begin_s = pause_s + spec.lease_s
        intervals += _cells(seed, spec, begin_s, length_s)
    chosen = _stream(seed, "families")
    for family, names in FAMILIES.items():
        if chosen.random() < FAMILY_ON and not faults:
            intervals += _of_family(seed, family, names, spec, begin_s, length_s)
    for name, target in faults:
        make(name, {})
        intervals += _of_one(seed, name, target, spec, length_s)
    intervals.sort(key=lambda interval: interval.at_s)
    if not faults:
        intervals += _at_end(seed)
    return check(Schedule(seed=seed, intervals=tuple(intervals)), spec)


def _at_end(seed: int) -> list[Interval]:
    """What strikes as the load ends, in some seeds: what is lost then is followed by nothing."""
    chance = _stream(seed, "end")
    if chance.random() >= AT_END:
        return []
    fault, target = chance.choice(END_FAULTS), chance.choice(END_TARGETS)
    lasts_s = 0.0 if fault == "crash" else _round(chance.uniform(*FOR_S))
    return [Interval(fault=fault, target=target, for_s=lasts_s, at_end=True)]


def _of_family(
    seed: int, family: str, names: Sequence[str], spec: Spec, begin_s: float, length_s: float
) -> list[Interval]:
    chance = _stream(seed, family)
    found = []
    for _ in range(chance.randint(1, 3)):
        name = chance.choice(names)
        low, high = BROKER_FOR_S if family == "broker" else FOR_S
        lasts = name not in ("crash", "restart")
        found.append(
            Interval(
                fault=name,
                target="broker" if family == "broker" else chance.choice(_possible(spec, name)),
                at_s=_round(begin_s + chance.uniform(0.0, length_s)),
                for_s=_round(chance.uniform(low, high)) if lasts else 0.0,
            )
        )
    return found


def _of_one(seed: int, name: str, target: str, spec: Spec, length_s: float) -> list[Interval]:
    chance = _stream(seed, f"{name}@{target}")
    lasts = name not in ("crash", "restart")
    return [
        Interval(
            fault=name,
            target=target or chance.choice(_possible(spec, name)),
            at_s=_round((place + chance.random()) * length_s / OF_ONE),
            for_s=_round(chance.uniform(*FOR_S)) if lasts else 0.0,
        )
        for place in range(OF_ONE)
    ]


def _possible(spec: Spec, fault: str) -> list[str]:
    """The targets that there are, and that the fault can strike: nothing is delivered to a standby."""
    absent = set()
    if len(leaders(spec)) < 2 or fault in FAMILIES["messages"]:
        absent.add("standby")
    if spec.agents < MINORITY_AGENTS_MIN:
        absent.add("minority")
    return [target for target in TARGETS if target not in absent]


def _cells(seed: int, spec: Spec, begin_s: float, length_s: float) -> list[Interval]:
    """The seed's share of the coverage table, at places drawn from it."""
    order = list(CELLS)
    random.Random("cells").shuffle(order)
    start = seed * CELLS_A_SEED
    mine = [order[(start + place) % len(order)] for place in range(CELLS_A_SEED)]
    chance = _stream(seed, "points")
    role_target = {"agent": "any-agent", "gateway": "gateway", "coordinator": "leader"}
    found = []
    for place, (point, strike) in enumerate(mine):
        role, step = point.split(".")
        if step in TAKE_OVER and len(leaders(spec)) < 2:
            continue  # nobody is there to take over
        target = "standby" if step in TAKE_OVER else role_target[role]
        found.append(
            Interval(
                fault=STRIKES[strike],
                target=target,
                at_s=_round(begin_s + (place + chance.random()) * length_s / CELLS_A_SEED),
                for_s=0.0 if strike == "kill" else _round(spec.lease_s + PAUSE_PAST_LEASE_S),
                point=point,
                nth=chance.randint(1, 5) if target != "standby" else 1,
            )
        )
    return found


def _stream(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed}/{name}")


def _round(seconds: float) -> float:
    return round(seconds, 3)


# As a file.


def load(path: Path, spec: Spec) -> Schedule:
    """Read a schedule file, strictly.

    Raises:
        FaultError: It cannot be read, or says something that no schedule says.
    """
    try:
        return parse(path.read_text(), spec, str(path))
    except OSError as error:
        raise FaultError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FaultError(f"{path} is not text: {error}") from error


def parse(text: str, spec: Spec, origin: str = "the schedule") -> Schedule:
    """Read a schedule, strictly.

    Raises:
        FaultError: It says something that no schedule says.
    """
    try:
        return check(msgspec.convert(tomllib.loads(text), Schedule), spec)
    except tomllib.TOMLDecodeError as error:
        raise FaultError(f"{origin} is not valid TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise FaultError(
            f"{origin} is no schedule: {error}",
            f"an interval has: {', '.join(Interval.__struct_encode_fields__)}",
        ) from error


def toml(schedule: Schedule) -> str:
    """The schedule as a file that `load` reads."""
    lines = [f"seed = {schedule.seed}"]
    if schedule.quiet_s:
        lines.append(f"quiet_s = {schedule.quiet_s}")
    for interval in schedule.intervals:
        lines += ["", "[[interval]]"]
        lines += [f"{name} = {_toml_value(value)}" for name, value in msgspec.to_builtins(interval).items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {number}" for name, number in value.items()) + "}"
    return msgspec.json.encode(value).decode()
