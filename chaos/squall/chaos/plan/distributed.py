"""A run in which whoever leads says who is given what, by a strategy that is drawn from the seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.plan.series import Plan, there
from squall.services.rules.distribution import PULL, Strategy
from squall.services.run.spec import OWN, Spec
from squall.services.trading.strategies import SIGNALS

NAME = "distributed"

SPECIALISED: Strategy = "specialised"

DRAWN: tuple[Strategy, ...] = ("round-robin", SPECIALISED)
"""What a steady state of few seconds can show. So few tasks follow another of their key that it tells next to
nothing of strategies that go by keys; and under adaptive, workers of a busy machine are not alike."""

QUIET_S = 8.0

INTERVALS = (
    Interval(fault="crash", target="any-agent", at_s=1.0),
    Interval(fault="pause", target="any-agent", at_s=2.5, for_s=4.0),
    Interval(fault="crash", target="leader", at_s=4.5),
)
"""What one has that dies is waited for, what one has that stands still is given to others, and meanwhile
somebody else comes to lead, who has to find out who is there."""


def distributed(spec: Spec, seed: int) -> Plan:
    """The run; with the strategy of the spec where that has one."""
    schedule = Schedule(seed=seed, quiet_s=QUIET_S, intervals=there(spec, INTERVALS))
    return Plan(NAME, replace(spec, seed=seed, **_strategy(spec, seed)), schedule)


def _strategy(spec: Any, seed: int) -> Mapping[str, Any]:
    if spec.distribution != PULL:
        return {}
    # What a user's own tasks need is not known here.
    drawn_from = [each for each in DRAWN if each != SPECIALISED or spec.workload != OWN]
    strategy = random.Random(f"{seed}/{NAME}").choice(drawn_from)
    return {
        "distribution": strategy,
        "capabilities": _able(spec.agents) if strategy == SPECIALISED else {},
    }


def _able(agents: int) -> Mapping[str, Sequence[str]]:
    """Who can do what: each thing two of them, where there are two."""
    able: dict[str, tuple[str, ...]] = {}
    for place, each in enumerate(SIGNALS):
        for agent in {place % agents + 1, (place + 1) % agents + 1}:
            able[f"agent-{agent}"] = (*able.get(f"agent-{agent}", ()), each)
    return able
