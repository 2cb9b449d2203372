"""What grows with the number of agents of one swarm: messages at the broker, its processor time, and memory.

    simulated   agents ─► a run of so many seconds, and one of twice as many ─► the difference is a second's
    real        agents, as processes ─► nats-server's processor time over a while, between start and end

Messages are those that clients publish and are sent, as nats-server counts them. Those of the simulated swarm
are of its own code on a virtual clock, so they are exact, and say nothing of how fast a broker is; the real
ones are for that. Each swarm is offered as many tasks a second, so what is more is the agents'.

    uv run python chaos/bench/agents.py [--agents 10,100,1000,5000] [--real 10,60] [--rate 20] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from squall.bus.broker import Broker
from squall.chaos.plan.schedule import Schedule
from squall.chaos.simulation.run import simulate
from squall.chaos.tell.documents import judge
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.directory import claim
from squall.services.run.driven import driven
from squall.services.run.swarm_toml import convert

LOAD_S = (10, 20)
SLOTS = 2

REAL_S = 20.0
"""How long nats-server's processor time is watched."""


def spec_of(agents: int, rate: int, load_s: float) -> HierarchicalSpec:
    """A swarm of so many agents that are offered so many tasks a second for so long."""
    asked = HierarchicalSpec(agents=agents, tasks=int(rate * load_s), rate_per_s=rate, slots=SLOTS)
    window = max(asked.window_max, 2 * SLOTS * agents)
    made = convert({**asdict(asked), "window_max": window, "pause_leader": False}, "bench")
    assert isinstance(made, HierarchicalSpec)
    return made


def measured(agents: int, rate: int, load_s: int) -> dict[str, Any]:
    """What one run comes to. It has a process of its own, whose memory is its."""
    spec = spec_of(agents, rate, load_s)
    begun_s = time.process_time()
    with tempfile.TemporaryDirectory() as directory:
        with claim(spec, Path(directory) / "run") as run:
            world = simulate(spec, Schedule(seed=spec.seed, intervals=()), run)
        took_s = time.process_time() - begun_s
        checks = judge(Path(directory) / "run", keep=False).checks
    figures = world.broker.model.figures
    return {
        "received": figures.received,
        "sent": figures.sent,
        "virtual_s": world.loop.time(),
        "took_s": took_s,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "passed": sum(check.verdict == "pass" for check in checks),
        "failed": [check.id for check in checks if check.verdict == "fail"],
    }


def row(agents: int, rate: int) -> dict[str, Any]:
    """The figures of so many agents."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        short, long = (pool.apply(measured, (agents, rate, load_s)) for load_s in LOAD_S)
    lasted_s = long["virtual_s"] - short["virtual_s"]
    return {
        "agents": agents,
        "received_per_s": (long["received"] - short["received"]) / lasted_s,
        "sent_per_s": (long["sent"] - short["sent"]) / lasted_s,
        "memory_mib": long["memory_mib"],
        "virtual_hours_per_minute": long["virtual_s"] / 3600 / (long["took_s"] / 60),
        "passed": long["passed"],
        "failed": short["failed"] + long["failed"],
    }


async def broker_share(agents: int, rate: int) -> float:
    """How much of a core nats-server takes with so many agents, as processes of this machine."""
    spec = spec_of(agents, rate, 2 * REAL_S)
    with tempfile.TemporaryDirectory() as directory, claim(spec, Path(directory) / "run") as run:
        async with driven(spec, run, progress=lambda step: None) as driving:
            broker = driving.swarm.own_broker
            assert isinstance(broker, Broker)  # a process of this machine
            await asyncio.sleep(REAL_S / 4)
            before_s, begun_s = _processor_s(broker.pid), time.monotonic()
            await asyncio.sleep(REAL_S)
            return (_processor_s(broker.pid) - before_s) / (time.monotonic() - begun_s)


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", default="10,100,1000,5000")
    parser.add_argument("--real", default="10,60")
    parser.add_argument("--rate", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    for agents in _numbers(asked.agents):
        rows.append(row(agents, asked.rate))
        sys.stderr.write(json.dumps(rows[-1]) + "\n")
    shares = {agents: asyncio.run(broker_share(agents, asked.rate)) for agents in _numbers(asked.real)}
    if asked.json:
        print(json.dumps({"rate_per_s": asked.rate, "rows": rows, "broker_share": shares}))  # noqa: T201
    else:
        print(f"{asked.rate} tasks/s  taken/s  sent/s  MiB  virtual h/min  checks passed, failed")  # noqa: T201
        for found in rows:
            print(  # noqa: T201
                f"{found['agents']:6,} agents {found['received_per_s']:6,.0f} {found['sent_per_s']:7,.0f} "
                f"{found['memory_mib']:4,} {found['virtual_hours_per_minute']:14.3f}  "
                f"{found['passed']}, {', '.join(found['failed']) or 'none'}"
            )
        for agents, share in shares.items():
            print(f"{agents:6,} agents as processes: nats-server takes {share:.1%} of a core")  # noqa: T201
    return int(any(found["failed"] for found in rows))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


if __name__ == "__main__":
    sys.exit(main())
