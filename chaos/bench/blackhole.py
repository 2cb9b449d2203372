"""What a worker that vanishes costs: the same blackhole without a FIN, in one run, on both ways to work.

    squall        coordinator ─► JOB ═► WK ─► 2 agents, each behind its proxy ─► registers
    queue_group   publisher ─► core NATS, queue group ─► 2 workers, each behind its proxy ─► a file each

Both are offered the same rate for about the same time. The first worker's bytes are dropped for a while, both
ways, and neither side is told. Lost is what was offered in that time and never came to an end, long after.

    uv run python chaos/bench/blackhole.py [--rounds 2] [--rate 300] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats

from squall.bus.broker import Broker
from squall.bus.guard import Guard
from squall.chaos.inject.experiment import experiment
from squall.chaos.inject.faults.blackhole_nofin import BlackholeNoFin
from squall.chaos.inject.faults.fault import Site
from squall.chaos.inject.nemesis import Nemesis
from squall.chaos.inject.toxiproxy import Toxiproxy
from squall.chaos.inject.toxiproxy.proxies import Proxies
from squall.chaos.plan.series import EXPERIMENT
from squall.chaos.tell.documents import history_of, judge
from squall.services.cli.asked import resolve
from squall.services.run.directory import claim

FAULT_S = 4.0
BEFORE_S = 3.0
AFTER_S = 3.0
GRACE_S = 5.0
"""How long after the last offer a task of the queue group may still be executed."""

READY_S = 20.0
WORKERS = 2
SUBJECT = "bench.work"
NO_SWARM: Any = None


# One side: Squall.


async def squall(directory: Path, rate_per_s: float, seed: int) -> dict[str, int]:
    """One round through the dispatch path of the hierarchical pattern."""
    asked = {**EXPERIMENT, "agents": WORKERS, "rate_per_s": rate_per_s, "ingress_max": 4000, "seed": seed}
    spec = resolve("hierarchical", **asked)

    async def attack(nemesis: Nemesis) -> None:
        await asyncio.sleep(BEFORE_S)
        async with nemesis.strike("blackhole-nofin", "agent-1") as strike:
            if not strike.verified:
                raise SystemExit("the fault was not in force")
            await asyncio.sleep(FAULT_S)
        await asyncio.sleep(AFTER_S)

    with claim(spec, directory / "run") as run:
        await experiment(spec, run, attack, progress=lambda text: None)
    result, history = judge(run.path), history_of(run.path)
    fault = history.faults[0]
    ended = {register.task for register in history.registers}
    due = [
        task
        for task, offer in history.submissions.items()
        if offer.intended_s is not None and fault.start_s <= offer.intended_s <= (fault.end_s or 0)
    ]
    accepted = [task for task in due if history.submissions[task].outcome == "accepted"]
    return {
        "offered_in_fault": len(due),
        "lost_in_fault": sum(task not in ended for task in accepted),
        "duplicated": result.duplicated or 0,
    }


# The other side: a plain queue group.


async def queue_group(directory: Path, rate_per_s: float) -> dict[str, int]:
    """One round through core NATS and a queue group, as the tutorials have it."""
    async with (
        Guard() as guard,
        Broker.running(
            directory / "broker", lambda: "", guard=guard, log=directory / "broker.log", probe=_answering
        ) as broker,
        Toxiproxy.running(guard=guard, log=directory / "toxiproxy.log") as toxiproxy,
        Proxies(toxiproxy.url, prefix="bench") as proxies,
    ):
        files = [directory / f"worker-{number}" for number in range(1, WORKERS + 1)]
        sites = []
        for file in files:
            proxy = await proxies.create(file.name, urlsplit(broker.url).netloc)
            sites.append(Site(NO_SWARM, file.name, proxy))
            await guard.spawn(sys.executable, __file__, "--worker", f"nats://{proxy.address}", str(file))
        async with asyncio.timeout(READY_S):
            while not all(file.exists() for file in files):
                await asyncio.sleep(0.05)
        offered = await _offer(broker.url, rate_per_s, sites[0])
        executed = [int(line) for file in files for line in file.read_text().split()]
    due = [number for number, in_fault in enumerate(offered) if in_fault]
    return {
        "offered_in_fault": len(due),
        "lost_in_fault": len(set(due) - set(executed)),
        "duplicated": len(executed) - len(set(executed)),
    }


async def _offer(url: str, rate_per_s: float, struck: Site) -> list[bool]:
    """Publish at a rate, and drop the first worker's bytes for a while; of each, whether that was then."""
    publisher = await nats.connect(url)
    offered: list[bool] = []
    fault = BlackholeNoFin()
    in_force = over = False

    async def strike() -> None:
        nonlocal in_force, over
        await asyncio.sleep(BEFORE_S)
        await fault.inject(struck)
        in_force = True
        if not await fault.in_force(struck):
            raise SystemExit("the fault was not in force")
        await asyncio.sleep(FAULT_S)
        in_force = False
        await fault.heal(struck)
        await asyncio.sleep(AFTER_S)
        over = True

    striking = asyncio.create_task(strike())
    begun = time.monotonic()
    while not over:
        await publisher.publish(SUBJECT, b"%d" % len(offered))
        offered.append(in_force)
        await asyncio.sleep(max(0.0, begun + len(offered) / rate_per_s - time.monotonic()))
        if striking.done():
            striking.result()
    await publisher.flush()
    await asyncio.sleep(GRACE_S)
    await publisher.close()
    return offered


async def work(url: str, path: str) -> None:
    """A worker: writes down the number of each task it is given."""
    client = await nats.connect(
        url,
        ping_interval=1,
        max_outstanding_pings=2,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
        error_cb=_ignore,
    )
    with Path(path).open("a", buffering=1) as file:  # noqa: ASYNC230

        async def execute(message: Any) -> None:
            file.write(message.data.decode() + "\n")

        await client.subscribe(SUBJECT, queue="workers", cb=execute)
        await client.flush()
        await client.flush()  # nats-py may write its first PING ahead of the subscription
        await asyncio.Event().wait()


async def _ignore(error: Exception) -> None:
    """It is cut off, and connects again."""


async def _answering(url: str) -> None:
    client = await nats.connect(url)
    await client.close()


# Both.


async def measure(rounds: int, rate_per_s: float) -> dict[str, Any]:
    """Alternate rounds of both; sums over the rounds."""
    sums: dict[str, dict[str, int]] = {"squall": {}, "queue_group": {}}
    for number in range(rounds):
        for side in sums:
            with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
                directory = Path(temporary)
                if side == "squall":
                    seen = await squall(directory, rate_per_s, number + 1)
                else:
                    seen = await queue_group(directory, rate_per_s)
            for name, value in seen.items():
                sums[side][name] = sums[side].get(name, 0) + value
    shares = {
        side: {**seen, "lost_share": round(seen["lost_in_fault"] / max(1, seen["offered_in_fault"]), 3)}
        for side, seen in sums.items()
    }
    return {**shares, "rounds": rounds, "fault_s": FAULT_S, "rate_per_s": rate_per_s, "workers": WORKERS}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(work(*given.worker))
        return
    found = asyncio.run(measure(given.rounds, given.rate))
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for side in ("squall", "queue_group"):
        seen = found[side]
        sys.stdout.write(
            f"{side:12} offered in the fault {seen['offered_in_fault']:5}   lost {seen['lost_in_fault']:4}"
            f"   {seen['lost_share']:.1%}   duplicated {seen['duplicated']}\n"
        )


if __name__ == "__main__":
    main()
