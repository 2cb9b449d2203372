"""How often peers take a healthy one for dead when one peer's link is bad, with and without local health.

    detectors of all peers ─► what they say to each other, late on one peer's link ─► who is suspect

The rules of suspicion as peers run them, for a minute of a virtual clock, once for each seed. Nobody is ever
away, so each suspicion is a false one. With ``--real`` a swarm of five votes for a minute with jitter on the
link of one, through Toxiproxy, and is judged as every experiment is.

    uv run python chaos/bench/suspicion.py [--seeds 200] [--jitter-ms 300 ...] [--real] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import itertools
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from squall.chaos.cli.setup import spec_of
from squall.chaos.inject.experiment import experiment
from squall.chaos.inject.nemesis import Nemesis
from squall.chaos.judge.checks.vote_log import EpochRead, Standing, VoteRead
from squall.chaos.tell.documents import history_of, judge
from squall.services.rules.suspicion import Detector, Send, Step, Timers
from squall.services.run.directory import claim

PEERS = 5
LENGTH_S = 60.0
PERIOD_S = 0.5

LINK_S = (0.0005, 0.002)
"""What a message takes on a link that is well."""

BAD = "agent-1"
"""Whose link is bad, both ways."""


def suspicions(seed: int, jitter_s: float, *, is_aware: bool, peers: int = PEERS) -> Counter[str]:
    """How often a peer is suspect, or failed, to another in a minute: to the bad link's, or itself."""
    chance = random.Random(seed)
    names = [f"agent-{number}" for number in range(1, peers + 1)]
    timers = Timers(period_s=PERIOD_S, is_aware=is_aware)
    detectors = {
        name: Detector(name, timers=timers, incarnation=1, chance=random.Random(f"{seed}/{name}"), now_s=0.0)
        for name in names
    }
    for name, detector in detectors.items():
        detector.know(names, [other for other in names if other != name], 0.0)
    order = itertools.count()
    coming: list[tuple[float, int, str, str, Any]] = []
    arrived: dict[tuple[str, str], float] = {}  # a link is a connection, and keeps its order
    found: Counter[str] = Counter()

    def take(name: str, steps: list[Step], now_s: float) -> None:
        for step in steps:
            if not isinstance(step, Send):
                if step.standing in ("suspect", "failed"):
                    who = "by" if name == BAD else "of" if step.node == BAD else "others"
                    found[f"{step.standing} {who}"] += 1
                continue
            late_s = chance.uniform(*LINK_S)
            if BAD in (name, step.target):
                late_s += chance.uniform(0.0, jitter_s)
            way = (name, step.target)
            arrived[way] = max(arrived.get(way, 0.0), now_s + late_s)
            heapq.heappush(coming, (arrived[way], next(order), step.target, name, step.message))

    while True:
        due_s, first = min((detector.due_s(), name) for name, detector in detectors.items())
        now_s = min(due_s, coming[0][0]) if coming else due_s
        if now_s > LENGTH_S:
            return found
        if coming and coming[0][0] <= due_s:
            _, _, target, sender, message = heapq.heappop(coming)
            take(target, detectors[target].heard(sender, message, now_s), now_s)
        else:
            take(first, detectors[first].tick(now_s), now_s)


def modelled(jitter_s: float, seeds: int, *, is_aware: bool) -> dict[str, float]:
    """False suspicions a minute, on average over the seeds."""
    total: Counter[str] = Counter()
    for seed in range(1, seeds + 1):
        total.update(suspicions(seed, jitter_s, is_aware=is_aware))
    kinds = [f"{standing} {who}" for standing in ("suspect", "failed") for who in ("by", "of", "others")]
    return {kind: round(total[kind] / seeds, 2) for kind in kinds}


async def _jitter(nemesis: Nemesis, jitter_ms: int) -> None:
    async with nemesis.strike("jitter", BAD, lease_s=LENGTH_S + 30, magnitude={"jitter_ms": jitter_ms}) as s:
        assert s.verified
        await asyncio.sleep(LENGTH_S)


def real(folder: Path, jitter_ms: int) -> dict[str, Any]:
    """What a swarm did in that minute."""
    with claim(spec_of("mesh"), folder / "run") as directory:
        asyncio.run(
            experiment(
                spec_of("mesh"),
                directory,
                lambda nemesis: _jitter(nemesis, jitter_ms),
                progress=lambda step: None,
            )
        )
    result, history = judge(folder / "run"), history_of(folder / "run")
    (fault,) = history.faults
    since_s, until_s = fault.start_s, fault.end_s or fault.start_s
    turned = [each for each in history.of(Standing) if since_s < each.time_s < until_s]
    votes = Counter(vote.agent for vote in history.of(VoteRead) if since_s < vote.stored_s < until_s)
    return {
        "jitter_ms": jitter_ms,
        "suspected": sum(each.standing == "suspect" for each in turned),
        "failed": sum(each.standing == "failed" for each in turned),
        "epochs": len(history.of(EpochRead)),
        "votes": dict(sorted(votes.items())),
        "verdicts": {check.id: check.verdict for check in result.checks},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--jitter-ms", type=int, nargs="+", default=[0, 150, 300, 600, 1000])
    parser.add_argument("--real", action="store_true", help="a swarm as well, with 300 ms")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found: list[dict[str, Any]] = [
        {
            "jitter_ms": jitter_ms,
            "with": modelled(jitter_ms / 1e3, asked.seeds, is_aware=True),
            "without": modelled(jitter_ms / 1e3, asked.seeds, is_aware=False),
        }
        for jitter_ms in asked.jitter_ms
    ]
    swarm = None
    if asked.real:
        with tempfile.TemporaryDirectory(prefix="squall-bench-") as folder:
            swarm = real(Path(folder), 300)
    if asked.json:
        sys.stdout.write(json.dumps({"found": found, "swarm": swarm}) + "\n")
        return
    sys.stdout.write(f"{PEERS} peers for {LENGTH_S:g} s, {asked.seeds} seeds; false suspicions a minute\n")
    sys.stdout.write("                    suspect                    failed\n")
    sys.stdout.write("jitter  health      by bad   of bad   others   by bad   of bad   others\n")
    for each in found:
        for health in ("with", "without"):
            figures = "".join(f"{figure:9.2f}" for figure in each[health].values())
            sys.stdout.write(f"{each['jitter_ms']:4d} ms  {health:8s}{figures}\n")
    if swarm is not None:
        sys.stdout.write(f"{json.dumps(swarm)}\n")


if __name__ == "__main__":
    main()
