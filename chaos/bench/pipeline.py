"""What a pipeline comes to beside its slowest stage alone, and what each stage adds to latency.

    alone    IN ─► one stage of two instances ─► RES, for each stage of the default ring
    ring     IN ─► four stages of two instances ─► RES, in strict order and in relaxed
    waiting  the same, where each stage waits 20 ms a task and an instance has one slot

Throughput is of a backlog: all tasks are offered at once, and time runs from the first that came in to the
last that ended. A ring is held against what is slowest alone in the same order.
Latency is at half of what the strict ring came to in the same round, from when a task was due to its fill.
Rounds alternate in their order; a ratio is taken within a round. The stages share the cores of the machine:
without the wait the four of them have each a part of what one has alone.

    uv run python chaos/bench/pipeline.py [--tasks 400] [--rounds 3] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from squall.bus.errors import RequestError
from squall.services.patterns.ring import RingSpec
from squall.services.run.directory import claim
from squall.services.run.driven import driven
from squall.services.run.loaded import Run
from squall.services.run.result import judge
from squall.services.trading.pipeline import STAGES

HANDLERS = Path(__file__).with_name("pipeline_stages.py")
NAMES = ("ingest", "signal", "risk", "order")
INSTANCES = 2
KEYS = 100
AT_ONCE_PER_S = 5000.0
LOOK_S = 0.05
HALF = 0.5
LATENCY_S = 4.0
GIVE_UP_S = 90.0


@dataclass(frozen=True)
class Side:
    """One thing that is measured."""

    name: str
    stages: tuple[str, ...]
    order: str = "strict"
    slots: int = 8

    def spec(self, tasks: int, rate_per_s: float) -> RingSpec:
        return RingSpec(
            stages=self.stages,
            agents=INSTANCES * len(self.stages),
            order="strict" if self.order == "strict" else "relaxed",
            slots=self.slots,
            keys=KEYS,
            tasks=tasks,
            rate_per_s=rate_per_s,
            pause_leader=False,
        )


def _ours(name: str) -> str:
    return f"{HANDLERS}:{name}"


WAITING = tuple(_ours(f"{name}_waiting") for name in NAMES)

ALONE = tuple(Side(f"{name} alone", (_ours(f"{name}_alone"),)) for name in NAMES)
ALONE_RELAXED = (Side("order alone, relaxed", (_ours("order_alone"),), "relaxed"),)
ALONE_WAITING = (Side("waiting, alone", (_ours("order_alone_waiting"),), slots=1),)
ALONE_WAITING_RELAXED = (
    Side("waiting, alone, relaxed", (_ours("order_alone_waiting"),), "relaxed", slots=1),
)
COMPARED = (
    (ALONE, Side("ring, strict", STAGES)),
    (ALONE_RELAXED, Side("ring, relaxed", STAGES, "relaxed")),
    (ALONE_WAITING, Side("waiting, ring, strict", WAITING, slots=1)),
    (ALONE_WAITING_RELAXED, Side("waiting, ring, relaxed", WAITING, "relaxed", slots=1)),
)
"""Rings, each with the stages of which the slowest alone is what it is held against."""


async def _throughput(side: Side, tasks: int, folder: Path) -> float:
    """Tasks a second, of a backlog."""
    spec = side.spec(tasks, AT_ONCE_PER_S)
    with claim(spec, folder / "run") as claimed:
        async with (
            asyncio.timeout(GIVE_UP_S),
            driven(spec, claimed, progress=lambda _: None) as run,
        ):
            return await _rate(run, tasks)


async def _rate(run: Run, tasks: int) -> float:
    """From when the first came in to when the last had ended, so that filling and emptying count."""
    began_s: float | None = None
    while True:
        with contextlib.suppress(RequestError):  # a busy broker is asked again
            backlog = await run.swarm.pattern.backlog(run.swarm)
            now_s = time.monotonic()
            if began_s is None and backlog.submitted:
                began_s = now_s
            if began_s is not None and backlog.registers >= tasks:
                return tasks / (now_s - began_s)
        await asyncio.sleep(LOOK_S)


async def _latency(side: Side, rate_per_s: float, folder: Path) -> float:
    """The median from due to filled, in milliseconds."""
    spec = side.spec(max(20, int(rate_per_s * LATENCY_S)), rate_per_s)
    with claim(spec, folder / "run") as claimed:
        async with asyncio.timeout(GIVE_UP_S), driven(spec, claimed, progress=lambda _: None) as run:
            await run.swarm.producer
    p50 = judge(folder / "run").latency_ms.p50
    if p50 is None:
        raise RuntimeError(f"{side.name}: nothing was filled")
    return p50


def _in_turn(number: int, sides: Sequence[Side]) -> Iterator[Side]:
    yield from sides if number % 2 == 0 else reversed(sides)


Figures = Mapping[str, Sequence[float]]
"""By side, a figure for each round."""


async def measure(tasks: int, rounds: int) -> dict[str, Any]:
    """Alternate rounds of all; medians and spread."""
    rates: dict[str, list[float]] = {}
    latencies: dict[str, list[float]] = {}
    sides = [side for alone, ring in COMPARED for side in (*alone, ring)]
    for number in range(rounds):
        for side in _in_turn(number, sides):
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                rate = await _throughput(side, tasks, Path(folder))
            rates.setdefault(side.name, []).append(rate)
            _tell(f"round {number + 1}: {side.name} {rate:.0f} a second")
        for alone, ring in COMPARED:
            if ring.order != "strict":
                continue
            half_per_s = HALF * rates[ring.name][-1]
            for side in _in_turn(number, (alone[-1], ring)):
                with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                    p50_ms = await _latency(side, half_per_s, Path(folder))
                latencies.setdefault(side.name, []).append(p50_ms)
                _tell(f"round {number + 1}: {side.name} p50 {p50_ms:.1f} ms at {half_per_s:.0f} a second")
    return {**summary(rates, latencies), "tasks": tasks, "rounds": rounds}


def summary(rates: Figures, latencies: Figures) -> dict[str, Any]:
    """Medians with the least and the most; rings beside their slowest stage, round by round."""
    beside: dict[str, Any] = {}
    adds: dict[str, Any] = {}
    for alone, ring in COMPARED:
        slowest = [min(each) for each in zip(*(rates[side.name] for side in alone), strict=True)]
        beside[ring.name] = _spread(
            [mine / least for mine, least in zip(rates[ring.name], slowest, strict=True)]
        )
        if ring.name in latencies:
            one, more = latencies[alone[-1].name], len(ring.stages) - 1
            pairs = zip(latencies[ring.name], one, strict=True)
            adds[ring.name] = _spread([(whole - single) / more for whole, single in pairs])
    return {
        "per_s": {name: _spread(figures) for name, figures in rates.items()},
        "p50_ms": {name: _spread(figures) for name, figures in latencies.items()},
        "beside_slowest": beside,
        "a_stage_adds_ms": adds,
    }


def _spread(figures: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(figures), "min": min(figures), "max": max(figures)}


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    """Measure, and print a line a side or one document."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--tasks", type=int, default=400)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    found = asyncio.run(measure(given.tasks, given.rounds))
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for what in ("per_s", "p50_ms", "beside_slowest", "a_stage_adds_ms"):
        for name, one in found[what].items():
            sys.stdout.write(
                f"{what:16} {name:22} {one['median']:8.2f} ({one['min']:.2f} to {one['max']:.2f})\n"
            )


if __name__ == "__main__":
    main()
