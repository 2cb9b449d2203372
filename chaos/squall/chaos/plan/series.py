"""What a series is: many seeds, one run each, and the further runs of its pattern. Pure.

spec ─┬─ seed 1 ─► schedule ─► experiment
      ├─ seed 2 ─► …
      └─ further runs, for instance ─┬─ poison ─► …
                                     ├─ tail ───► …
                                     ├─ varied ─► …
                                     └─ outage ─► …
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from squall.chaos.plan import varied
from squall.chaos.plan.draw import draw
from squall.chaos.plan.kinds import HAND_OVER, kind_of
from squall.chaos.plan.poison import HANDLER as POISON_HANDLER
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.plan.surface import possible, surface_of
from squall.services.run.spec import HANDLER, Spec

FAULTS_S = 6.0
"""Over how long the beginnings of a run's faults are spread."""

EXPERIMENT: Mapping[str, Any] = {
    "tasks": 1_000_000,
    "rate_per_s": 200.0,
    "ack_wait_s": 1.5,
    "lease_s": 1.0,
    "patience_s": 0.5,
    "ingress_max": 150,
}
"""How a swarm is set up for an experiment, where neither its pattern nor a file says otherwise: fast timers,
so that a minute shows many recoveries; an ingress that a fail-over fills, so that refusals show; load until
all is healed, at a rate that leaves two cores some time, as without it nothing slow is blamed on a swarm."""

POISONED = {"handler": POISON_HANDLER, "rate_per_s": 40.0, "slots": 16, "ingress_max": 1000}
POISON_S = 12.0

POISON_INTERVALS = (
    Interval(fault="crash", target="leader", at_s=2.0),
    Interval(fault="crash", target="producer", at_s=4.0),
    Interval(fault="crash", target="leader", at_s=5.5),
)
"""Whoever leads then writes of the end of tasks that another had given out."""

TAIL_HANDLER = "squall.chaos.inject.handlers:unhurried"
FORMER_TAIL_HANDLER = "squall.chaos.tail:decide"
"""What it was called before; the directories of such runs are still judged."""

TAILED = {"handler": TAIL_HANDLER, "rate_per_s": 80.0, "slots": 16, "ingress_max": 1000}

TAIL_QUIET_S = 3.0
"""How long the load goes on before it ends."""

VARIED: Mapping[str, Any] = {
    "handler": varied.HANDLER,
    "rate_per_s": 100.0,
    "slots": 16,
    "attempts": 6,
    "credentials_life_s": 9.0,
    "lease_s": 3.0,
    "ingress_max": 1000,
}
"""Where first attempts fail and faults strike, tasks need attempts. Credentials last for nine seconds. Nobody
follows a leader whose way is severed or refused, and what is submitted meanwhile has room: it has to see for
itself what it missed, and to say for itself that it leads on.
"""

VARIED_INTERVALS = (
    Interval(fault="sever", target="leader", at_s=0.5, for_s=1.5),
    Interval(fault="refuse", target="leader", at_s=2.5, for_s=1.3),
    Interval(fault="restart", target="all-agents", at_s=3.0),
    Interval(fault="refuse", target="all-agents", at_s=4.0, for_s=1.2),
    Interval(fault="sever", target="gateway", at_s=5.0, for_s=1.5),
    Interval(fault="crash", target="any-agent", at_s=7.0),
    Interval(fault="pause", target="any-agent", at_s=8.5, for_s=2.5),
    Interval(fault="sever", target="leader", at_s=11.5, for_s=1.5),
    Interval(fault="errors", target="venue", at_s=12.5, for_s=1.0),
)
"""Slow, and then cut, so that what is lost was on its way; agents end while they hold what takes long."""

VARIED_QUIET_S = 14.0

OUTAGE: Mapping[str, Any] = {"rate_per_s": 40.0, "ingress_max": 1000, "lease_s": 18.0}
"""Nobody follows a leader that is not heard for so long, so that it goes on with what it had begun."""

OUTAGE_INTERVALS = (
    Interval(fault=HAND_OVER, target="leader", at_s=0.3),
    Interval(fault="refuse", target="gateway", at_s=2.0, for_s=16.0),
    Interval(fault="refuse", target="minority", at_s=2.0, for_s=16.0),
    Interval(fault="one-way-up", target="leader", at_s=3.5, for_s=13.0),
    Interval(fault="pause", target="broker", at_s=22.0, for_s=8.0),
)
"""A leader hands over: who is told of it need not wait for its lease to run out. Then all lasts longer than
any pause between two tries to connect, and than any wait for an answer; and nobody follows to mend it."""

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
            of all has the further runs of its pattern, but for those with a handler of their own where there
            is another one to be put to the test.
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
        made += [plan for plan in further(spec, seeds[0]) if spec.handler in (HANDLER, plan.spec.handler)]
    return made


def further_runs(spec: Spec, seed: int) -> Sequence[Plan]:
    """Some tasks are poison; a run is struck as its load ends; handlers do all they may; an outage lasts."""
    return poison(spec, seed), tail(spec, seed), varied_run(spec, seed), outage(spec, seed)


def poison(spec: Spec, seed: int, *, quiet_s: float = POISON_S, **differs: Any) -> Plan:
    """A run in which some tasks are poison, and the leader and the producer die in between.

    Args:
        quiet_s: How long they are offered.
        differs: How the spec differs for it.
    """
    poisoned = replace(spec, seed=seed, **{**POISONED, **differs})
    schedule = Schedule(seed=seed, quiet_s=quiet_s, intervals=there(poisoned, POISON_INTERVALS))
    return Plan("poison", poisoned, schedule)


def varied_run(spec: Spec, seed: int, **differs: Any) -> Plan:
    """A run whose handlers do what people's do, under faults and with credentials of a short life.

    Args:
        differs: How the spec differs for it.
    """
    varying = replace(spec, seed=seed, **{**VARIED, **differs})
    schedule = Schedule(seed=seed, quiet_s=VARIED_QUIET_S, intervals=there(varying, VARIED_INTERVALS))
    return Plan("varied", varying, schedule)


def outage(spec: Spec, seed: int) -> Plan:
    """A run in which somebody is away for long, then the broker is, and then the leader leaves."""
    spec = replace(spec, seed=seed, **OUTAGE)
    return Plan("outage", spec, Schedule(seed=seed, intervals=there(spec, OUTAGE_INTERVALS)))


def there(spec: Spec, intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """Those that there is somebody for: one leader alone has no standby."""
    surface = surface_of(spec)
    return tuple(each for each in intervals if possible(kind_of(each.fault), [each.target], surface))


def tail(spec: Spec, seed: int, **differs: Any) -> Plan:
    """A run that is struck as its load ends.

    Args:
        differs: How the spec differs for it.
    """
    tailed = replace(spec, seed=seed, **{**TAILED, **differs})
    struck = Schedule(seed=seed, quiet_s=TAIL_QUIET_S, intervals=there(tailed, TAIL_INTERVALS))
    return Plan("tail", tailed, struck)
