"""How many simulated schedules it takes to catch each known-bad variant, with nothing aimed at it.

    python chaos/bench/simulated_variants.py star --limit 60 [--aimed] [--only NAME ...]

Swarms and faults are drawn from seeds 1, 2, … as `squall simulate` draws them, until a check fails. Prints a
row of Markdown a variant: the seed that caught it, whether by a check of its own, and seconds of one core.
With ``--aimed`` each has the usual swarm, and the faults under which it shows.
"""

from __future__ import annotations

import argparse
import sys
import time

import msgspec

from squall.chaos.cli.setup import spec_of
from squall.chaos.mutants.catalogues import catalogue_of
from squall.chaos.mutants.mutant import Mutant
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.simulation.draw import TASKS
from squall.chaos.simulation.outcome import Plan, outcome
from squall.services.run.spec import Spec

RATE_AIMED_PER_S = 25.0
LOAD_AIMED_S = 10.0
AFTER_S = 2.0
"""The load while faults strike that are aimed at a variant: at least so long, and longer than any."""

OUTSIDE = {
    "memory-leak": "the operating system's word on a process's memory",
    "keeps-old-credentials": "credentials that expire",
    "short-flush": "nats-py's read loop",
    "slow-after-error": "a steady state of real latencies",
    "handles-twice": "the nodes' logs, in which handlers witness",
    "key-from-attempt": "somebody else's HTTP service",
    "refused-for-ever": "somebody else's HTTP service",
}
"""Variants that need what no simulation has."""

HEAVIER = {
    **dict.fromkeys(("waits-for-what-expired", "stops-saying-so", "retries-at-once"), 200.0),
    **dict.fromkeys(("window-without-bound", "skips-in-flight", "refuses-at-once"), 200.0),
    **dict.fromkeys(("reduces-for-ever", "repeats-while-degraded"), 200.0),
    "newest-first": 1000.0,
}
"""Tasks a second where something must be full, or must wait in numbers, as it does on a real machine."""

HERE = {
    # On the real thing a producer is late by itself now and then; here it is only if something keeps it.
    "dates-as-it-sends": (Interval(fault="pause", target="producer", at_s=1.0, for_s=1.5),),
}
"""Faults under which a variant shows here, where they are others than on the real thing."""


def aimed(spec: Spec, variant: Mutant, plan: Plan) -> Plan:
    """The usual swarm, and the faults under which a variant shows."""
    intervals = HERE.get(variant.name, variant.intervals)
    rate_per_s = HEAVIER.get(variant.name) or variant.setting.get("rate_per_s") or RATE_AIMED_PER_S
    load_s = max([LOAD_AIMED_S, *(each.at_s + (each.for_s or 0.0) + AFTER_S for each in intervals)])
    spec = msgspec.structs.replace(
        spec, **{**variant.setting, "tasks": int(rate_per_s * load_s), "rate_per_s": rate_per_s}
    )
    schedule = Schedule(seed=spec.seed, intervals=intervals)
    return msgspec.structs.replace(plan, spec=spec, is_drawn=False, schedule=schedule)


def row(pattern: str, variant: Mutant, limit: int, *, is_aimed: bool = False) -> str:
    """One variant's row."""
    if variant.name in OUTSIDE:
        return f"| {variant.name} | needs {OUTSIDE[variant.name]} | | |"
    spec = msgspec.structs.replace(spec_of(pattern, tasks_of_load=TASKS), **variant.spec)
    plan = Plan(spec=spec, preload=variant.module)
    if is_aimed:
        plan = aimed(spec, variant, plan)
    begun_s = time.process_time()
    with variant.staged():
        for seed in range(1, limit + 1):
            found = outcome(plan, seed)
            if found.verdict != "pass":
                failed = [check.id for check in found.failed]
                own = [check for check in failed if check in variant.checks]
                by = ", ".join(own) or f"({', '.join(failed) or found.why})"
                return f"| {variant.name} | {seed} | {by} | {time.process_time() - begun_s:.1f} |"
    return f"| {variant.name} | not in {limit} | | {time.process_time() - begun_s:.1f} |"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pattern")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--aimed", action="store_true")
    parser.add_argument("--only", nargs="*", default=[])
    asked = parser.parse_args()
    _say("| variant | seed | by | s |\n|---|---|---|---|")
    for variant in catalogue_of(asked.pattern).mutants:
        if not asked.only or variant.name in asked.only:
            _say(row(asked.pattern, variant, asked.limit, is_aimed=asked.aimed))


if __name__ == "__main__":
    main()
