"""Each strategy of distribution on the same skewed workload: who did how much, and how long it took.

Four workers of four slots as real processes, and the same tasks for each strategy, in the same order. Tasks
of one key in ten take eight times as long, one worker takes three times as long for everything, and one task
in sixty stalls for four seconds (`skewed_handler.py`). What a hedged row adds is `hedge_after = 2`.

    share    of the tasks, by worker; agent-4 is the slow one
    Jain     of these shares: 1 where all did as many, a quarter where one did all
    stays    tasks that ran where the one before them of their key had
    p50 …    from when a task was due to its fill
    stolen   tasks that waited at one worker and were given to another
    hedges   tasks that were tried a second time beside the first, and how often the second was sooner

Every run is judged as ever; one that lost or doubled anything ends this.

In a star whoever has the class of a task pulls it, where nothing is said, so there is no hedged row of that.

    uv run python chaos/bench/distribution.py [--pattern star] [--tasks N] [--rate 80] [--only NAME] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from squall.chaos.judge.checks.hierarchical import jain
from squall.services.patterns.star import CLASSES
from squall.services.run.directory import claim
from squall.services.run.driven import driven
from squall.services.run.result import Result, judge
from squall.services.run.spec import Spec
from squall.services.run.swarm_toml import convert

HANDLER = Path(__file__).with_name("skewed_handler.py")
AGENTS, SLOTS = 4, 4
GIVE_UP_S = 240.0
HEDGED = {"hedge_after": 2.0}
ABLE = {
    "agent-1": ["momentum", "arbitrage"],
    "agent-2": ["mean-reversion", "momentum"],
    "agent-3": ["pairs", "mean-reversion"],
    "agent-4": ["arbitrage", "pairs"],
}

CLASSED = {
    agent: [kind for kind in CLASSES if kind.rsplit("-", 1)[0] in strategies]
    for agent, strategies in ABLE.items()
}


def rows(able: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The rows, given what agents can do."""
    return {
        "pull": {},
        "round-robin": {"distribution": "round-robin"},
        "specialised": {"distribution": "specialised", "capabilities": able},
        "affinity": {"distribution": "affinity"},
        "adaptive": {"distribution": "adaptive"},
        "stealing": {"distribution": "stealing"},
        "adaptive-hedged": {"distribution": "adaptive", **HEDGED},
    }


ROWS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "hierarchical": {**rows(ABLE), "pull-hedged": HEDGED},
    "star": rows(CLASSED),
}


def spec_of(pattern: str, row: Mapping[str, Any], tasks: int, rate_per_s: float) -> Spec:
    """The swarm of a row."""
    return convert(
        {
            "pattern": pattern,
            "agents": AGENTS,
            "slots": SLOTS,
            "tasks": tasks,
            "rate_per_s": rate_per_s,
            "handler": f"{HANDLER}:skewed",
            "handler_idempotent": True,
            "pause_leader": False,
            **row,
        },
        "the bench",
    )


async def _run(spec: Spec, folder: Path) -> Result:
    with claim(spec, folder) as claimed:
        async with asyncio.timeout(GIVE_UP_S), driven(spec, claimed, progress=lambda _: None) as run:
            await run.swarm.producer
    return judge(folder)


def seen(history: Path) -> dict[str, Any]:
    """What the history of a run tells of who did what."""
    shares: Counter[str] = Counter()
    why: Counter[str] = Counter()
    won = 0
    keys: dict[str, str] = {}
    begun: list[tuple[float, str, str]] = []
    for line in map(json.loads, history.read_text().splitlines()):
        match line["op"]:
            case "final" if line["what"] == "register":
                shares[line["agent"]] += 1
                keys[line["task"]] = line["key"]
            case "run" if line["attempt"] == 1:
                begun.append((line["time_s"], line["task"], line["node"]))
            case "given":
                why[line["why"]] += 1
            case "hedged":
                won += line["won"]
    agents = [f"agent-{n}" for n in range(1, AGENTS + 1)]
    where: dict[str, list[str]] = defaultdict(list)
    for _, task, node in sorted(begun):
        where[keys[task]].append(node)
    pairs = [one == other for nodes in where.values() for one, other in itertools.pairwise(nodes)]
    return {
        "share": {agent: shares[agent] / max(1, sum(shares.values())) for agent in agents},
        "jain": jain([shares[agent] for agent in agents]),
        "stays": statistics.fmean(pairs) if pairs else None,
        "stolen": why["stolen"],
        "absent": why["absent"],
        "hedges": why["hedge"],
        "hedges_won": won,
    }


def measure(pattern: str, row: Mapping[str, Any], tasks: int, rate_per_s: float) -> dict[str, Any]:
    """One run of one strategy.

    Raises:
        RuntimeError: It lost or doubled something, or a check failed.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "run"
        result = asyncio.run(_run(spec_of(pattern, row, tasks, rate_per_s), path))
        failed = [f"{check.id}: {check.detail}" for check in result.checks if check.verdict == "fail"]
        if failed or result.lost or result.duplicated:
            raise RuntimeError(f"{row}: lost {result.lost}, doubled {result.duplicated}; {failed}")
        latency = result.latency_ms
        return {
            **seen(path / "history.jsonl"),
            "p50_ms": latency.p50,
            "p95_ms": latency.p95,
            "p99_ms": latency.p99,
            "throughput_per_s": result.throughput_per_s,
            "tasks": result.effects,
        }


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The rows, for people."""
    lines = [
        f"{'':17} {'share of agent-1 to -4':24} {'Jain':>5} {'stays':>6} "
        f"{'p50 ms':>7} {'p95 ms':>7} {'p99 ms':>7} {'stolen':>6} {'hedges':>6} {'won':>4}"
    ]
    for name, one in found.items():
        shares = " ".join(f"{share:5.0%}" for share in one["share"].values())
        stays = "-" if one["stays"] is None else f"{one['stays']:.0%}"
        lines.append(
            f"{name:17} {shares:24} {one['jain']:5.2f} {stays:>6} "
            f"{one['p50_ms']:7.0f} {one['p95_ms']:7.0f} {one['p99_ms']:7.0f} {one['stolen']:6} "
            f"{one['hedges']:6} "
            f"{one['hedges_won']:4}"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure each strategy, and print a line each or one document."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--pattern", choices=list(ROWS), default="hierarchical")
    options.add_argument("--tasks", type=int, default=1000)
    options.add_argument("--rate", type=float, default=80.0)
    options.add_argument("--only", action="append")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    found: dict[str, dict[str, Any]] = {}
    named = ROWS[given.pattern]
    if unknown := [name for name in given.only or () if name not in named]:
        options.error(f"{unknown[0]} is no row of {given.pattern}: there are {', '.join(named)}")
    for name in given.only or named:
        sys.stderr.write(f"{name} …\n")
        sys.stderr.flush()
        found[name] = measure(given.pattern, named[name], given.tasks, given.rate)
    if given.json:
        sys.stdout.write(json.dumps({"rows": found, "tasks": given.tasks, "rate_per_s": given.rate}) + "\n")
        return
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
