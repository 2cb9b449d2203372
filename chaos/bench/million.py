"""A million tasks through one swarm, one in a thousand of full size and dead: what grows, and what does not.

    producer (one body in 1,000 of the largest size) ─► swarm ─► handler: gives those up, orders for the rest
                                                          │
                                    every 10 s: memory of each process, bytes of each stream, disk of the run

Printed are the figures at a tenth of the tasks and at the end, per task between the two, and which dead
letter is the oldest that is kept. Exits with 1 if the swarm did not drain.

    uv run python chaos/bench/million.py [--tasks 1000000] [--rate 2000] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from squall.bus import log
from squall.bus.broker import Broker
from squall.bus.codec import SUBMISSION_BYTES_MAX
from squall.bus.errors import RequestError
from squall.services.handlers import PoisonError, Task
from squall.services.node.service import Service
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.roles import producer
from squall.services.run.directory import RunDirectory, claim
from squall.services.run.driven import driven
from squall.services.run.swarm import Swarm
from squall.services.trading.strategies import decide
from squall.services.trading.workload import Submission

LARGE_EVERY = 1000
LARGE_BYTES = SUBMISSION_BYTES_MAX - 512
LOOK_S = 10.0
MODULE = "squall_bench_million"
PLANES = ("IN", "JOB", "WK", "RES", "TRY", "DLQ")


async def give_up_the_large(task: Task) -> Any:
    """The handler: what a swarm is offered in full size cannot be worked on."""
    if len(task.body) >= LARGE_BYTES:
        raise PoisonError("x" * SUBMISSION_BYTES_MAX)
    return await decide(task)


def install(node: str, role: str) -> None:
    """Loaded by each node before its role: makes one submission in a thousand as large as one may be."""
    numbered = producer.numbered

    def some_large(service: Service) -> Iterator[tuple[str, Submission]]:
        for number, (name, submission) in enumerate(numbered(service), 1):
            large = number % LARGE_EVERY == 0
            yield name, replace(submission, body=b"x" * LARGE_BYTES) if large else submission

    producer.numbered = some_large


class Watch:
    """Looks at everything that could grow."""

    def __init__(self, directory: Path) -> None:
        self.looks: list[dict[str, Any]] = []
        self._directory = directory

    async def watch(self, swarm: Swarm) -> None:
        ended = 0
        while ended < swarm.spec.tasks:
            await asyncio.sleep(LOOK_S)
            try:
                look = await self._look(swarm)
            except RequestError as error:
                sys.stderr.write(f"{error}\n")
                continue
            ended = look["registers"]
            self.looks.append(look)
            sys.stderr.write(json.dumps(look) + "\n")

    async def _look(self, swarm: Swarm) -> dict[str, Any]:
        states = {
            plane: await log.state(swarm.observer, swarm.swarm.stream(plane), timeout_s=30)
            for plane in PLANES
        }
        memory = {name: _private_mib(int(unit.id)) for name, unit in swarm.units.items()}
        broker = swarm.own_broker
        assert isinstance(broker, Broker)  # a process of this machine
        return {
            "time_s": round(time.monotonic(), 1),
            "registers": states["RES"]["messages"],
            "memory_mib": {**memory, "broker": _private_mib(broker.pid)},
            "streams_mib": {plane: round(states[plane]["bytes"] / 1024**2, 1) for plane in PLANES},
            "oldest_dead_letter": states["DLQ"]["first_seq"],
            "dead_letters": states["DLQ"]["last_seq"],
            "disk_mib": {
                "broker": _disk_mib(self._directory / "broker"),
                "run": _disk_mib(self._directory) - _disk_mib(self._directory / "broker"),
            },
        }


def _last_line(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        last: dict[str, Any] = json.loads(file.read().splitlines()[-1])
    return last


def _private_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(sum(int(line.split()[1]) for line in status if line.startswith("RssAnon:")) / 1024, 1)


def _disk_mib(path: Path) -> float:
    """What a directory takes on disk; files that go while it is counted are left out."""
    said = subprocess.run(["du", "-sk", path], capture_output=True, text=True, check=False)
    return round(int(said.stdout.split()[0]) / 1024, 1)


async def _watched(spec: HierarchicalSpec, directory: RunDirectory, watch: Watch) -> None:
    async with driven(spec, directory, preload=MODULE, progress=lambda text: None) as driving:
        await watch.watch(driving.swarm)
        await driving.swarm.producer


def run(tasks: int, rate_per_s: float) -> dict[str, Any]:
    """Run it; what was seen early, at the end, and grew per task in between."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        spec = HierarchicalSpec(
            tasks=tasks, rate_per_s=rate_per_s, handler=f"{__file__}:give_up_the_large", pause_leader=False
        )
        shutil.copy(__file__, Path(folder) / f"{MODULE}.py")
        os.environ["PYTHONPATH"] = folder  # where the nodes find what they preload
        watch = Watch(directory)
        with claim(spec, directory) as claimed:
            asyncio.run(_watched(spec, claimed, watch))
            final = _last_line(directory / "history.jsonl")
    early = next((look for look in watch.looks if look["registers"] >= tasks / 10), watch.looks[0])
    late = watch.looks[-1]
    between = max(1, late["registers"] - early["registers"])
    return {
        "tasks": tasks,
        "registers": final["registers"],
        "drained": final["drained"],
        "duration_s": round(final["duration_s"], 1),
        "early": early,
        "late": late,
        "bytes_per_task": {
            "broker_memory": _each(early, late, between, "memory_mib", "broker"),
            "registers": _each(early, late, between, "streams_mib", "RES"),
            "run_directory": _each(early, late, between, "disk_mib", "run"),
        },
    }


def _each(early: dict[str, Any], late: dict[str, Any], between: int, kind: str, what: str) -> int:
    return round((late[kind][what] - early[kind][what]) * 1024**2 / between)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = run(options.tasks, options.rate)
    if options.json:
        print(json.dumps(found))  # noqa: T201
    else:
        for name in ("tasks", "registers", "drained", "duration_s", "bytes_per_task"):
            print(f"{name:16} {found[name]}")  # noqa: T201
        for when in ("early", "late"):
            print(f"{when:16} {found[when]}")  # noqa: T201
    return 0 if found["drained"] and found["registers"] == found["tasks"] else 1


if __name__ == "__main__":
    sys.exit(main())
