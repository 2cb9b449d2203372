"""How soon the next hub decides when the leading one is killed: many kills in one run, beside the bound.

    load ─► star, every node behind its proxy ─► SIGKILL of whoever leads ─► standby ─► its first decision
                                                  └──── again, once the killed hub is back ────┘

From the moment of the kill to the moment at which the broker stored the first decision of the next term.

    uv run python chaos/bench/hub_failover.py [--kills 20] [--lease 1.0] [--seed 1] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from squall.chaos.inject.experiment import experiment
from squall.chaos.inject.nemesis import Nemesis
from squall.chaos.judge.case import case_of
from squall.chaos.judge.checks.hub_change import decided_after_s
from squall.chaos.judge.checks.star import PROMISES
from squall.chaos.judge.figures import percentile
from squall.chaos.plan.bounds import take_over_bound_s
from squall.chaos.tell.documents import history_of, judge
from squall.services.cli.asked import resolve
from squall.services.run.directory import claim

BETWEEN_S = 1.5
"""From the heal of one kill, when the killed hub serves again, to the next."""


async def killed(directory: Path, kills: int, lease_s: float, seed: int) -> dict[str, Any]:
    """One run in which the leading hub is killed that often."""
    spec = resolve(PROMISES.pattern, **{**PROMISES.experiment, "lease_s": lease_s, "seed": seed})

    async def attack(nemesis: Nemesis) -> None:
        for _ in range(kills):
            async with nemesis.strike("crash", "leader"):
                pass
            await asyncio.sleep(lease_s + BETWEEN_S)

    with claim(spec, directory / "run") as run:
        await experiment(spec, run, attack, progress=lambda text: None)
    result = judge(run.path)
    case = case_of(history_of(run.path), PROMISES.batches)
    took_s = sorted(
        seconds
        for change in case.succession.takeovers
        if change.fault is not None and (seconds := decided_after_s(case, change)) is not None
    )
    return {
        "kills": len(case.history.faults),
        "verified": sum(fault.verified for fault in case.history.faults),
        "timed": len(took_s),
        "median_s": round(statistics.median(took_s), 3),
        "p99_s": round(percentile(took_s, 99), 3),
        "bound_s": take_over_bound_s(lease_s),
        "lost": result.lost,
        "duplicated": result.duplicated,
        "failed": [f"{check.id}: {check.detail}" for check in result.checks if check.verdict == "fail"],
        "lease_s": lease_s,
        "seed": seed,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--lease", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="squall-bench-") as folder:
        found = asyncio.run(killed(Path(folder), asked.kills, asked.lease, asked.seed))
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    lines = (
        f"{found['kills']} kills of the leading hub, {found['timed']} timed; lease {found['lease_s']} s",
        f"kill to first decision  median {found['median_s']} s  p99 {found['p99_s']} s  "
        f"(bound {found['bound_s']} s)",
        f"lost {found['lost']}  duplicated {found['duplicated']}  seed {found['seed']}  {found['machine']}",
        *found["failed"],
    )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
