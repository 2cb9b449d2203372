"""How many messages it takes to know who is there: 5, 50 and 200 peers, on the links that peers have.

    detectors of all peers ─► one connection ─► the stream of links ─► said again ─► the same connection

All peers are in this process and share a connection, which a swarm's do not; what they say to each other, and
how often, is what peers of a swarm say. Were each to tell all others, it would be their number squared.

    uv run python chaos/bench/heartbeats.py [--peers 5 50 200] [--seconds 20] [--period 0.5] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from squall.bus.broker import Broker, jetstream_probe
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection, connect
from squall.bus.guard import Guard
from squall.bus.identity import Authority
from squall.bus.jetstream import create_stream
from squall.bus.subjects import ANY, Subjects
from squall.bus.tasks import task_group
from squall.bus.topology.administration import launcher
from squall.bus.topology.link import Node
from squall.bus.topology.model import Topology
from squall.bus.topology.rights import Permissions
from squall.bus.vote_log import link_stream_config
from squall.bus.vote_messages import Ack, Ping, PingRequest
from squall.bus.vote_subjects import LINKS, VoteSubjects
from squall.services.rules.suspicion import Detector, Send, Step, Timers

VERBS: dict[str, type[Ping | PingRequest | Ack]] = {"ping": Ping, "probe": PingRequest, "ack": Ack}
SUBJECTS = VoteSubjects(Subjects("bench"))
EVERY_LINK = SUBJECTS.link(ANY, ANY, ANY)
WARM_S = 3.0
"""Before it is counted: peers do not all begin at once."""

ROOT = Permissions((EVERY_LINK, *launcher().publish), (SUBJECTS.told(ANY, ANY, ANY),))


class Peer:
    """A detector, and the task that keeps it going."""

    def __init__(self, name: str, names: list[str], period_s: float, counts: Counter[str]) -> None:
        now_s = time.monotonic()
        self._name = name
        self._counts = counts
        self._news = asyncio.Event()
        self._heard: list[tuple[str, Ping | PingRequest | Ack]] = []
        self._detector = Detector(
            name, timers=Timers(period_s=period_s), incarnation=1, chance=random.Random(name), now_s=now_s
        )
        self._detector.know(names, [other for other in names if other != name], now_s)

    def hear(self, sender: str, verb: str, data: bytes) -> None:
        self._heard.append((sender, decode(data, VERBS[verb])))
        self._news.set()

    async def keep(self, connection: Connection) -> None:
        while True:
            self._news.clear()
            steps: list[Step] = []
            heard, self._heard = self._heard, []
            for sender, message in heard:
                steps += self._detector.heard(sender, message, time.monotonic())
            steps += self._detector.tick(time.monotonic())
            for step in steps:
                if isinstance(step, Send):
                    await self._send(connection, step)
                else:
                    self._counts[step.standing] += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.001, self._detector.due_s() - time.monotonic())):
                    await self._news.wait()

    async def _send(self, connection: Connection, step: Send) -> None:
        verb = next(name for name, kind in VERBS.items() if isinstance(step.message, kind))
        data = encode(step.message)
        self._counts["messages"] += 1
        self._counts["bytes"] += len(data)
        subject = SUBJECTS.link(self._name, step.target, verb)
        await connection.publish(subject, data, confirm=False)


async def measured(broker: Broker, authority: Authority, peers: int, seconds: float, period_s: float) -> Any:
    """One measurement."""
    names = [f"agent-{number}" for number in range(1, peers + 1)]
    counts: Counter[str] = Counter()
    everybody = {name: Peer(name, names, period_s, counts) for name in names}

    def hear(message: Any) -> None:
        _, sender, target, verb = message.subject.rsplit(".", 3)
        everybody[target].hear(sender, verb, message.data)

    async with connect(broker.url, "root", authority.credentials("root", None)) as connection:
        with contextlib.suppress(Exception):
            await create_stream(connection, link_stream_config(SUBJECTS))
        stream = SUBJECTS.swarm.stream(LINKS)
        await connection.subscribe(SUBJECTS.told(ANY, ANY, ANY), hear, stream=stream, pending_max=65536)
        async with task_group() as tasks:
            for peer in everybody.values():
                tasks.daemon(peer.keep(connection))
            await asyncio.sleep(WARM_S)
            before, began_s, cpu_s = Counter(counts), time.monotonic(), time.process_time()
            await asyncio.sleep(seconds)
            took_s = time.monotonic() - began_s
            used_s = time.process_time() - cpu_s
        said = counts - before
    return {
        "peers": peers,
        "messages_a_second": round(said["messages"] / took_s, 1),
        "of_each": round(said["messages"] / took_s / peers, 2),
        "bytes_each": round(said["bytes"] / max(1, said["messages"])),
        "all_to_all": round(peers * (peers - 1) / period_s),
        "suspected": counts["suspect"],
        "cpu_share": round(used_s / took_s, 3),
    }


async def measure(directory: Path, peers: list[int], seconds: float, period_s: float) -> list[Any]:
    topology = Topology(
        "bench", "bench", nodes=(Node("root", "root"),), links=(), administration={"root": ROOT}
    )
    authority = Authority.create(topology)
    async with (
        Guard() as guard,
        Broker.running(
            directory,
            lambda: authority.server_config(directory / "jwt"),
            guard=guard,
            log=directory / "log",
            probe=jetstream_probe(lambda: authority.credentials("root", 60.0)),
        ) as broker,
    ):
        return [await measured(broker, authority, number, seconds, period_s) for number in peers]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=int, nargs="+", default=[5, 50, 200])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--period", type=float, default=0.5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="squall-bench-") as folder:
        found = asyncio.run(measure(Path(folder), asked.peers, asked.seconds, asked.period))
    machine = f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    if asked.json:
        sys.stdout.write(json.dumps({"found": found, "machine": machine}) + "\n")
        return
    sys.stdout.write(f"a ping each {asked.period:g} s; {machine}\n")
    sys.stdout.write("peers  messages/s  of each  bytes  all to all  suspected  CPU of this process\n")
    for each in found:
        sys.stdout.write(
            f"{each['peers']:5d}  {each['messages_a_second']:10.1f}  {each['of_each']:7.2f}"
            f"  {each['bytes_each']:5d}  {each['all_to_all']:10d}  {each['suspected']:9d}"
            f"  {each['cpu_share']:.0%}\n"
        )


if __name__ == "__main__":
    main()
