"""What a durable task costs: this dispatch path beside hand-written nats-py, in one run.

    squall   coordinator ─fenced batch─► JOB ─sourced─► WK ─pull─► 4 agents, an account each
                                                           ─► register (first writer wins) ─► confirmed ack
    nats_py  publish ─► work-queue stream ─fetch(64)─► 4 workers ─► result published ─► confirmed ack

Both store each task in a file before it counts, on a nats-server of their own, and
the rounds alternate. The peer has no accounts, no fence, no registers and no dead
letters. Throughput is all tasks at once; latency is one task at a time.

    uv run python chaos/bench/dispatch.py [--tasks 10000] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import ConsumerConfig, RetentionPolicy, StorageType, StreamConfig

from squall.bus import log as bus_log
from squall.bus.broker import Broker, jetstream_probe
from squall.bus.codec import encode
from squall.bus.connection import Connection, connect
from squall.bus.guard import Guard
from squall.bus.identity import Authority
from squall.bus.jetstream import Entry
from squall.bus.messages import RunTask
from squall.bus.subjects import Subjects
from squall.bus.tasks import task_group
from squall.bus.term import Leadership, campaign
from squall.services.launch.processes import ProcessLauncher
from squall.services.node.service import NodeStart
from squall.services.patterns import hierarchical
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.spec import Spec

WORKERS = 4
SLOTS = 64
BATCH = 250
OPEN_MAX = 2000
ALONE = 200
BODY = b"x" * 100
GIVE_UP_S = 120.0


async def tiny(task: object) -> None:
    """A task that takes no time."""


# Squall.


async def squall(tasks: int, directory: Path) -> dict[str, float]:
    """One round on this dispatch path."""
    os.chdir(Path(__file__).parent)  # agents find the handler here
    spec = HierarchicalSpec(agents=WORKERS, slots=SLOTS, handler="dispatch:tiny", ack_wait_s=30.0)
    authority = Authority.create(hierarchical.topology(spec))
    logs = directory / "logs"
    logs.mkdir()
    async with (
        Guard() as guard,
        Broker.running(
            directory / "broker",
            lambda: authority.server_config(directory / "broker" / "jwt"),
            guard=guard,
            log=logs / "broker.log",
            probe=jetstream_probe(lambda: authority.credentials("launcher", 60)),
        ) as broker,
    ):
        async with connect(broker.url, "launcher", authority.credentials("launcher", 60)) as launcher:
            await hierarchical.PATTERN.provision(launcher, spec)
        processes = ProcessLauncher(guard, logs)
        units = await asyncio.gather(
            *(
                processes.start(
                    NodeStart(
                        spec=spec,
                        node=f"agent-{number}",
                        role="agent",
                        incarnation=1,
                        url=broker.url,
                        credentials=authority.credentials(f"agent-{number}", None),
                    )
                )
                for number in range(1, WORKERS + 1)
            )
        )
        credentials = authority.credentials("coordinator-1", None)
        async with connect(broker.url, "coordinator-1", credentials) as connection:
            measured = await _lead(connection, spec, tasks)
        await asyncio.gather(*(processes.stop(unit, grace_s=5) for unit in units))
    return measured


async def _lead(connection: Connection, spec: Spec, tasks: int) -> dict[str, float]:
    swarm = Subjects(spec.swarm)
    stop = asyncio.Event()
    measured: dict[str, float] = {}

    async def lead(leadership: Leadership) -> None:
        driver = _Driver(connection, swarm, leadership)
        async with task_group() as group:
            group.daemon(driver.follow())
            await driver.all_at_once(50, "warm")
            measured.update(_figures(await driver.all_at_once(tasks, "all"), await driver.alone()))
        stop.set()

    seat = swarm.coordinator_seat
    async with asyncio.timeout(GIVE_UP_S):
        await campaign(
            connection, seat, "coordinator-1", lease_s=2.0, lead=lead, observer=lambda *_: None, stop=stop
        )
    return measured


class _Driver:
    """Dispatches as the coordinator does, and waits for the registers."""

    def __init__(self, connection: Connection, swarm: Subjects, leadership: Leadership) -> None:
        self._connection = connection
        self._swarm = swarm
        self._leadership = leadership
        self._ended = 0
        self._sent = 0
        self._change = asyncio.Event()

    async def follow(self) -> None:
        reading = bus_log.read(self._connection, self._swarm.stream("RES"), self._swarm.registers)
        async with contextlib.aclosing(reading) as records:
            async for _ in records:
                self._ended += 1
                self._change.set()

    def _entry(self, name: str) -> Entry:
        key = f"k{self._sent % 997}"
        self._sent += 1
        task = RunTask(task=name, key=key, job="bench", body=BODY)
        return Entry(self._swarm.dispatch("bench", key, name), encode(task), 0)

    async def _until(self, ended: int) -> None:
        while self._ended < ended:
            self._change.clear()
            await self._change.wait()

    async def all_at_once(self, tasks: int, prefix: str) -> float:
        """Tasks a second from the first dispatch to the last register."""
        began_s = time.perf_counter()
        sent = 0
        while sent < tasks:
            size = min(BATCH, tasks - sent)
            await self._until(self._sent + size - OPEN_MAX)
            entries = [self._entry(f"{prefix}-{sent + place}") for place in range(size)]
            await self._leadership.write(entries, timeout_s=10)
            sent += size
        await self._until(self._sent)
        return tasks / (time.perf_counter() - began_s)

    async def alone(self) -> list[float]:
        """Milliseconds from dispatch to register, one task at a time."""
        taken = []
        for number in range(ALONE):
            began_s = time.perf_counter()
            await self._leadership.write([self._entry(f"alone-{number}")], timeout_s=10)
            await self._until(self._sent)
            taken.append((time.perf_counter() - began_s) * 1e3)
        return taken


# Hand-written nats-py.


async def _worker(url: str, ready: Any) -> None:
    client = await nats.connect(url)
    subscription = await client.jetstream().pull_subscribe_bind("workers", "TASKS")

    async def work(message: Any) -> None:
        await client.publish(message.headers["reply"], message.data)
        await message.ack_sync()

    ready.put(os.getpid())
    while True:
        with contextlib.suppress(NatsTimeoutError):
            messages = await subscription.fetch(64, timeout=1)
            await asyncio.gather(*(work(message) for message in messages))


def _worker_main(url: str, ready: Any) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_worker(url, ready))


@contextlib.asynccontextmanager
async def _workers(url: str) -> AsyncIterator[None]:
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    processes = [context.Process(target=_worker_main, args=(url, ready), daemon=True) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    try:
        for _ in processes:
            await asyncio.to_thread(ready.get, True, 30)
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


async def nats_py(tasks: int, directory: Path) -> dict[str, float]:
    """One round of what one would write by hand."""

    async def answering(url: str) -> None:
        client = await nats.connect(url)
        await client.jetstream().account_info()
        await client.close()

    async with (
        Guard() as guard,
        Broker.running(
            directory / "broker", lambda: "", guard=guard, log=directory / "log", probe=answering
        ) as broker,
    ):
        client = await nats.connect(broker.url)
        stream = client.jetstream()
        await stream.add_stream(
            StreamConfig(
                name="TASKS",
                subjects=["task.*"],
                retention=RetentionPolicy.WORK_QUEUE,
                storage=StorageType.FILE,
            )
        )
        await stream.add_consumer(
            "TASKS", ConsumerConfig(durable_name="workers", ack_wait=30, max_ack_pending=4096)
        )
        async with _workers(broker.url):
            measured = await _drive_by_hand(client, tasks)
        await client.close()
    return measured


async def _drive_by_hand(client: Any, tasks: int) -> dict[str, float]:
    stream = client.jetstream()
    inbox = client.new_inbox()
    ended = 0
    change = asyncio.Event()

    async def on_result(message: Any) -> None:
        nonlocal ended
        ended += 1
        change.set()

    await client.subscribe(inbox, cb=on_result)
    limit = asyncio.Semaphore(256)
    sent = 0

    async def send() -> None:
        nonlocal sent
        sent += 1
        async with limit:
            await stream.publish(f"task.k{sent % 997}", BODY, headers={"reply": inbox})

    async def until_all() -> None:
        while ended < sent:
            change.clear()
            await change.wait()

    async with asyncio.timeout(GIVE_UP_S):
        await asyncio.gather(*(send() for _ in range(50)))
        await until_all()
        began_s = time.perf_counter()
        await asyncio.gather(*(send() for _ in range(tasks)))
        await until_all()
        rate = tasks / (time.perf_counter() - began_s)
        taken = []
        for _ in range(ALONE):
            began_s = time.perf_counter()
            await send()
            await until_all()
            taken.append((time.perf_counter() - began_s) * 1e3)
    return _figures(rate, taken)


# Both.


def _figures(rate: float, taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        "tasks_per_s": rate,
        "p50_ms": ordered[len(ordered) // 2],
        "p99_ms": ordered[int(len(ordered) * 0.99)],
    }


def measure(tasks: int, rounds: int) -> dict[str, Any]:
    """Alternate rounds of both; medians, and the ratio round by round."""
    seen: dict[str, list[dict[str, float]]] = {"squall": [], "nats_py": []}
    for number in range(rounds):
        order = (squall, nats_py) if number % 2 == 0 else (nats_py, squall)
        for side in order:
            with tempfile.TemporaryDirectory(prefix=f"bench-{secrets.token_hex(3)}-") as directory:
                figures = asyncio.run(side(tasks, Path(directory)))
            seen[side.__name__].append(figures)
            sys.stderr.write(
                f"round {number + 1} {side.__name__}: {figures['tasks_per_s']:,.0f} tasks/s, "
                f"p50 {figures['p50_ms']:.2f} ms\n"
            )
    medians = {
        name: {figure: statistics.median(one[figure] for one in all_) for figure in all_[0]}
        for name, all_ in seen.items()
    }
    ratios = [
        mine["tasks_per_s"] / peer["tasks_per_s"]
        for mine, peer in zip(seen["squall"], seen["nats_py"], strict=True)
    ]
    return {
        **medians,
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "tasks": tasks,
        "rounds": rounds,
        "workers": WORKERS,
    }


def main() -> None:
    """Measure, and print a line a side or one document."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--tasks", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    document = measure(given.tasks, given.rounds)
    if given.json:
        sys.stdout.write(json.dumps(document) + "\n")
        return
    for name in ("squall", "nats_py"):
        one = document[name]
        sys.stdout.write(
            f"{name:8} {one['tasks_per_s']:8,.0f} tasks/s   p50 {one['p50_ms']:.2f} ms   "
            f"p99 {one['p99_ms']:.2f} ms\n"
        )
    ratio = document["ratio"]
    sys.stdout.write(f"squall / nats_py {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})\n")


if __name__ == "__main__":
    main()
