"""What a series is: many seeds, one run each, and the further runs of its pattern. Pure.

spec ─┬─ seed 1 ─► schedule ─► experiment
      ├─ seed 2 ─► …
      └─ further runs, for instance ─┬─ poison ─► …
                                     └─ tail ───► …
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from squall.chaos.plan.draw import draw
from squall.chaos.plan.poison import HANDLER as POISON_HANDLER
from squall.chaos.plan.schedule import Interval, Schedule
from squall.services.run.spec import Spec

FAULTS_S = 10.0
"""Over how long the beginnings of a run's faults are spread."""

EXPERIMENT: Mapping[str, Any] = {
    "tasks": 1_000_000,
    "rate_per_s": 300.0,
    "ack_wait_s": 1.5,
    "lease_s": 1.0,
    "patience_s": 0.5,
    "ingress_max": 150,
}
"""How a swarm is set up for an experiment, where neither its pattern nor a file says otherwise: fast timers,
so that a minute shows many recoveries; an ingress that a fail-over fills, so that refusals show; load until
all is healed."""

POISONED = {"handler": POISON_HANDLER, "rate_per_s": 40.0, "slots": 16, "ingress_max": 1000}
POISON_S = 12.0

TAIL_HANDLER = "squall.chaos.inject.handlers:unhurried"
FORMER_TAIL_HANDLER = "squall.chaos.tail:decide"
"""What it was called before; the directories of such runs are still judged."""

TAILED = {"handler": TAIL_HANDLER, "rate_per_s": 80.0, "slots": 16, "ingress_max": 1000}

TAIL_QUIET_S = 3.0
"""How long the load goes on before it ends."""

TAIL_INTERVALS = tuple(
    Interval(fault="sever", target=target, for_s=5.0, at_end=True)
    for target in ("leader", "gateway", "any-agent")
)


def is_unhurried(handler: str | None) -> bool:
    """Whether a handler is the one that takes its time."""
    return handler in (TAIL_HANDLER, FORMER_TAIL_HANDLER)


@dataclass(frozen=True)
class Plan:
    """One run of a series: its name, what is run, and what is done to it."""

    name: str
    spec: Spec
    schedule: Schedule


Further = Callable[[Spec, int], Sequence[Plan]]
"""The runs that a series of all faults has beside its seeds; given the spec and the first seed."""


def plans(
    spec: Spec,
    seeds: Sequence[int],
    faults: Sequence[tuple[str, str]],
    further: Further,
    *,
    to_an_effect: Sequence[str] = (),
    faults_s: float = FAULTS_S,
) -> list[Plan]:
    """The runs of a series.

    Args:
        faults: Only these, each with a target or an empty string for any; all there are, if empty. A series
            of all has the further runs of its pattern.
        to_an_effect: The points on a task's way to its effect, which are to be struck more often.
        faults_s: Over how long the beginnings of a seed's faults are spread.

    Raises:
        FaultError: There is no such fault or target.
    """
    made = []
    for seed in seeds:
        seeded = replace(spec, seed=seed)
        schedule = draw(seed, seeded, length_s=faults_s, faults=faults, to_an_effect=to_an_effect)
        made.append(Plan(f"seed-{seed}", seeded, schedule))
    if not faults and seeds:
        made += further(spec, seeds[0])
    return made


def poison_and_tail(spec: Spec, seed: int) -> Sequence[Plan]:
    """Two runs: in one some tasks are poison, the other is struck as its load ends."""
    return poison(spec, seed), tail(spec, seed)


def poison(spec: Spec, seed: int, *, quiet_s: float = POISON_S, **differs: Any) -> Plan:
    """A run in which some tasks are poison.

    Args:
        quiet_s: How long they are offered.
        differs: How the spec differs for it.
    """
    poisoned = replace(spec, seed=seed, **{**POISONED, **differs})
    return Plan("poison", poisoned, Schedule(seed=seed, quiet_s=quiet_s))


def tail(spec: Spec, seed: int) -> Plan:
    """A run that is struck as its load ends."""
    struck = Schedule(seed=seed, quiet_s=TAIL_QUIET_S, intervals=TAIL_INTERVALS)
    return Plan("tail", replace(spec, seed=seed, **TAILED), struck)
