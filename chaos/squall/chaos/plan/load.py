"""How long a swarm must be under load, so that there is something to break until all is healed. Pure.

    load ─► steady ─► faults, one after the other at each target ─► all recovered ─► calm
            twice     waited for, in force, held, seen to be healed

What a seed does by chance, where it waits for a node for instance, is reckoned as it usually is. A load that
is too long costs nothing: it ends once all is healed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from squall.chaos.plan.bounds import ENDING, HAND_OVER_S, START_S, take_over_bound_s
from squall.chaos.plan.kinds import HAND_OVER
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.plan.surface import ANY_INSTANCE, BROKER, Surface, surface_of
from squall.services.errors import SpecError
from squall.services.run.spec import Spec

CALM_S = 1.5
"""How long the load goes on once all is healed and recovered from."""

STEADY_LOOKS = 2
"""How often it may be looked whether a swarm keeps up: the first time it has only just begun."""

SEEN_S = 1.0
"""What it takes to see that a fault is in force, and again that it is healed."""


def load_s(spec: Spec, schedule: Schedule, *, steady_s: float) -> float:
    """How long the load has to last, in seconds, if what a schedule says is to strike a swarm at work.

    Args:
        steady_s: How long the swarm must keep up before anything is done to it.
    """
    return STEADY_LOOKS * steady_s + _faults_s(spec, schedule) + CALM_S


def _faults_s(spec: Spec, schedule: Schedule) -> float:
    """Until all is healed and recovered from, after the swarm was seen to be steady."""
    surface = surface_of(spec)
    over_s = dict.fromkeys([BROKER, surface.leading, *(node.name for node in surface.nodes)], 0.0)
    for interval in sorted(schedule.intervals, key=lambda each: (each.at_end, each.at_s)):
        struck = _struck(interval.target, surface, over_s)
        # A fault of the broker is everybody's, and waits until nobody else is struck.
        waits_for = over_s if BROKER in struck else [*struck, BROKER]
        begun_s = max(interval.at_s, *(over_s[each] for each in waits_for))
        takes_s = _takes_s(interval, spec, leads=surface.leading in struck)
        over_s.update(dict.fromkeys(struck, begun_s + takes_s))
    recovering_s = START_S if schedule.intervals else 0.0
    return max(schedule.quiet_s, *(each + recovering_s for each in over_s.values()))


def _takes_s(interval: Interval, spec: Spec, *, leads: bool) -> float:
    """From when its target is free of others until it is so again."""
    if interval.at_end:
        return SEEN_S  # the load ends then, and it is healed after that
    follows_s = _followed_s(interval, spec) if leads else 0.0
    return SEEN_S + interval.for_s + SEEN_S + follows_s


def _followed_s(interval: Interval, spec: Spec) -> float:
    """From when a leader is healed until somebody leads again, who can be struck next."""
    if interval.fault == HAND_OVER:
        return HAND_OVER_S
    if interval.fault in ENDING:
        return take_over_bound_s(spec.lease_s)
    # One that is away for less than its lease leads on.
    return (
        max(0.0, take_over_bound_s(spec.lease_s) - interval.for_s) if interval.for_s > spec.lease_s else 0.0
    )


def _struck(target: str, surface: Surface, over_s: Mapping[str, float]) -> Sequence[str]:
    """Who is struck, by one fault at a time: whoever leads is one; of the agents, who is free first."""
    if target in ("leader", "standby", surface.all_leaders) or surface.role_of(target) == surface.leading:
        return [surface.leading]
    agents = sorted(surface.agents, key=over_s.__getitem__)
    if target in surface.groups:
        return surface.groups[target]
    counts = {"any-agent": 1, ANY_INSTANCE: 1, "minority": (len(agents) - 1) // 2, "all-agents": len(agents)}
    return agents[: counts[target]] if target in counts else [target]


def check_load(runs: Iterable[tuple[str, Spec, Schedule]], *, steady_s: float) -> None:
    """See that each swarm is under load until all that is done to it is healed.

    Args:
        runs: Of each its name, what is run, and what is done to it.

    Raises:
        SpecError: Of one its tasks are over before; the one that needs most is told.
    """
    short = []
    for name, spec, schedule in runs:
        lasts_s = load_s(spec, schedule, steady_s=steady_s)
        needed = math.ceil(lasts_s * spec.rate_per_s)
        if spec.tasks < needed:
            short.append((needed, lasts_s, name, spec))
    if not short:
        return
    needed, lasts_s, name, spec = max(short, key=lambda each: each[0])
    raise SpecError(
        f"tasks = {spec.tasks:,} is too few: {name} needs {needed:,}, as the load has to last until all is "
        f"healed, {lasts_s:.0f} s at {spec.rate_per_s:g} a second",
        "ask for so many, or for fewer a second; or leave tasks out, and the load lasts as long as it has to",
    )
