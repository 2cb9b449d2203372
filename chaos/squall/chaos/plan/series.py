"""What a series is: many seeds, one run each, one with poison, and one struck as its load ends. Pure.

spec ─┬─ seed 1 ─► schedule ─► experiment
      ├─ seed 2 ─► …
      ├─ poison ─► …
      └─ tail ───► …
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from squall.chaos.plan import tail
from squall.chaos.plan.poison import HANDLER
from squall.chaos.plan.schedule import Interval, Schedule, draw
from squall.services.run.spec import Spec

FAULTS_S = 10.0
"""Over how long the beginnings of a run's faults are spread."""

EXPERIMENT = {
    "tasks": 1_000_000,
    "rate_per_s": 300.0,
    "ack_wait_s": 1.5,
    "lease_s": 1.0,
    "patience_s": 0.5,
    "ingress_max": 150,
    "pause_leader": False,
}
"""How a swarm is set up for an experiment, where a file does not say otherwise: fast timers, so that a minute
shows many recoveries; an ingress that a fail-over fills, so that refusals show; load until all is healed."""

POISONED = {"handler": HANDLER, "rate_per_s": 40.0, "slots": 16, "ingress_max": 1000}
POISON_S = 12.0
TAILED = {"handler": tail.HANDLER, "rate_per_s": 80.0, "slots": 16, "ingress_max": 1000}

TAIL_QUIET_S = 3.0
"""How long the load goes on before it ends."""

TAIL_INTERVALS = tuple(
    Interval(fault="sever", target=target, for_s=5.0, at_end=True)
    for target in ("leader", "gateway", "any-agent")
)


@dataclass(frozen=True)
class Plan:
    """One run of a series: its name, what is run, and what is done to it."""

    name: str
    spec: Spec
    schedule: Schedule


def plans(spec: Spec, seeds: Sequence[int], faults: Sequence[tuple[str, str]]) -> list[Plan]:
    """The runs of a series.

    Args:
        faults: Only these, each with a target or an empty string for any; all there are, if empty. A series
            of all has two runs more: in one some tasks are poison, the other is struck as its load ends.

    Raises:
        FaultError: There is no such fault or target.
    """
    made = []
    for seed in seeds:
        seeded = replace(spec, seed=seed)
        schedule = draw(seed, seeded, length_s=FAULTS_S, faults=faults)
        made.append(Plan(f"seed-{seed}", seeded, schedule))
    if not faults and seeds:
        poisoned = replace(spec, seed=seeds[0], **POISONED)
        made.append(Plan("poison", poisoned, Schedule(seed=seeds[0], quiet_s=POISON_S)))
        tailed = replace(spec, seed=seeds[0], **TAILED)
        schedule = Schedule(seed=seeds[0], quiet_s=TAIL_QUIET_S, intervals=TAIL_INTERVALS)
        made.append(Plan("tail", tailed, schedule))
    return made
