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
from squall.chaos.plan.schedule import Schedule
from squall.chaos.simulation.draw import TASKS
from squall.chaos.simulation.outcome import Plan, outcome

TASKS_AIMED = 250
LOAD_AIMED_S = 10.0
"""The load while faults strike that are aimed at a variant, some of which come after seconds."""

OUTSIDE = {
    "memory-leak": "the operating system's word on a process's memory",
    "keeps-old-credentials": "credentials that expire",
    "short-flush": "nats-py's read loop",
}
"""Variants that need what no simulation has."""


def row(pattern: str, variant: Mutant, limit: int, *, is_aimed: bool = False) -> str:
    """One variant's row."""
    if variant.name in OUTSIDE:
        return f"| {variant.name} | needs {OUTSIDE[variant.name]} | | |"
    spec = msgspec.structs.replace(spec_of(pattern, tasks_of_load=TASKS), **variant.spec)
    plan = Plan(spec=spec, preload=variant.module)
    if is_aimed:
        load = {"tasks": TASKS_AIMED, "rate_per_s": TASKS_AIMED / LOAD_AIMED_S}
        spec = msgspec.structs.replace(spec, **{**load, **variant.setting})
        schedule = Schedule(seed=spec.seed, intervals=variant.intervals)
        plan = msgspec.structs.replace(plan, spec=spec, is_drawn=False, schedule=schedule)
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
