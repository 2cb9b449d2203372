"""Every fault there is, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from squall.chaos.errors import FaultError
from squall.chaos.inject.faults.bandwidth import Bandwidth
from squall.chaos.inject.faults.blackhole import Blackhole
from squall.chaos.inject.faults.blackhole_nofin import BlackholeNoFin
from squall.chaos.inject.faults.clock import ClockJump, ClockOff
from squall.chaos.inject.faults.crash import Crash
from squall.chaos.inject.faults.disconnect import Disconnect
from squall.chaos.inject.faults.duplicate import Duplicate
from squall.chaos.inject.faults.errors import Errors
from squall.chaos.inject.faults.fault import Fault
from squall.chaos.inject.faults.flap import Flap
from squall.chaos.inject.faults.hand_over import HandOver
from squall.chaos.inject.faults.jitter import Jitter
from squall.chaos.inject.faults.late import Late
from squall.chaos.inject.faults.latency import Latency
from squall.chaos.inject.faults.leave import Leave
from squall.chaos.inject.faults.one_way_down import OneWayDown
from squall.chaos.inject.faults.one_way_up import OneWayUp
from squall.chaos.inject.faults.pause import Pause
from squall.chaos.inject.faults.refuse import Refuse
from squall.chaos.inject.faults.reorder import Reorder
from squall.chaos.inject.faults.reset import Reset
from squall.chaos.inject.faults.restart import Restart
from squall.chaos.inject.faults.sever import Sever
from squall.chaos.inject.faults.slice import Slice
from squall.chaos.inject.faults.slow import Slow
from squall.chaos.inject.faults.stall import Stall
from squall.chaos.plan.kinds import kind_of
from squall.services.run.swarm_toml import nearest
from squall.services.run.values import refusal

FAULTS: Mapping[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        Latency,
        Jitter,
        Bandwidth,
        Refuse,
        Blackhole,
        BlackholeNoFin,
        Disconnect,
        Stall,
        Reset,
        Sever,
        Slice,
        OneWayUp,
        OneWayDown,
        Flap,
        Crash,
        Pause,
        Restart,
        Duplicate,
        Late,
        Reorder,
        ClockOff,
        ClockJump,
        HandOver,
        Errors,
        Slow,
        Leave,
    )
}


def make(name: str, magnitude: Mapping[str, Any]) -> Fault:
    """A fault of that name and magnitude.

    Raises:
        FaultError: There is none of that name, or it has no such magnitude.
    """
    kind_of(name)
    fields = FAULTS[name].__struct_fields__
    its = f"its magnitudes are: {', '.join(fields)}" if fields else "leave magnitude out"
    unknown = next((each for each in magnitude if each not in fields), None)
    if unknown is not None:
        near = nearest(unknown, fields) if fields else ""
        raise FaultError(f"{name} has no magnitude {unknown!r}{near}", its)
    if why := refusal(magnitude, FAULTS[name]):
        raise FaultError(f"{name} cannot be so: {why}", its)
    try:
        return msgspec.convert(dict(magnitude), FAULTS[name])
    except msgspec.ValidationError as error:
        raise FaultError(f"{name} cannot be so: {error}", its) from error
