"""A series in one place: what can be asked of it there, and what is done by other means there. Pure.

containers: a cut without a word, drawn ─► the same cut, made by the engine
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from squall.chaos.errors import FaultError
from squall.chaos.plan.kinds import DISCONNECT, KINDS, NO_FIN, kind_of
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.plan.series import Plan
from squall.services.patterns.pattern import VENUE


def check_here(on: str, faults: Sequence[tuple[str, str]], schedules: Iterable[Schedule]) -> None:
    """See that nothing was asked for by name that cannot be done to nodes there.

    Args:
        on: Where nodes run.
        faults: Each with its target, or an empty string for any.
        schedules: Those that were written down, not drawn.

    Raises:
        FaultError: Something was.
    """
    named = [*(name for name, _ in faults), *(each.fault for one in schedules for each in one.intervals)]
    for name in named:
        place = kind_of(name).place
        if place and place != on:
            raise FaultError(
                f"{name} can only be done to nodes that run on {place}", f"add --on {place}, or leave it out"
            )


def done_here(plan: Plan, on: str) -> Plan:
    """A run whose drawn faults are those of the place."""
    if KINDS[DISCONNECT].place != on:
        return plan
    intervals = tuple(map(_by_the_engine, plan.schedule.intervals))
    return replace(plan, schedule=msgspec.structs.replace(plan.schedule, intervals=intervals))


def _by_the_engine(interval: Interval) -> Interval:
    if interval.fault != NO_FIN or interval.target == VENUE:
        return interval
    return msgspec.structs.replace(interval, fault=DISCONNECT, magnitude={})
