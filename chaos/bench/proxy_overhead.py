"""What an idle proxy costs: round trips to one nats-server, directly and through Toxiproxy, in one run.

    direct    client ──────────────────────────► nats-server
    proxied   client ──► toxiproxy-server ─────► nats-server

A ping is answered by the server itself; a request by a responder that is connected
directly, so that a proxied one passes the proxy twice as well. The proxy has no
toxics. Rounds alternate, one round trip is under way at a time, and a ratio is
taken within a round.

    uv run python chaos/bench/proxy_overhead.py [--trips 2000] [--rounds 9] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats

from squall.bus.broker import Broker
from squall.bus.guard import Guard
from squall.chaos.inject.toxiproxy import Toxiproxy
from squall.chaos.inject.toxiproxy.proxies import Proxies

WARM = 200
BODY = b"x" * 100
TRIP_S = 5.0
SUBJECT = "bench.echo"
SIDES = ("direct", "proxied")
KINDS = ("ping", "request")


async def measure(trips: int, rounds: int) -> dict[str, Any]:
    """Alternate rounds of both; medians over the rounds, and the ratio round by round."""
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        directory = Path(temporary)
        async with (
            Guard() as guard,
            Broker.running(
                directory / "broker", lambda: "", guard=guard, log=directory / "broker.log", probe=_answering
            ) as broker,
            Toxiproxy.running(guard=guard, log=directory / "toxiproxy.log", progress=_tell) as toxiproxy,
            Proxies(toxiproxy.url, prefix="bench") as proxies,
        ):
            proxy = await proxies.create("client", urlsplit(broker.url).netloc)
            responder = await nats.connect(broker.url)
            await responder.subscribe(SUBJECT, cb=_echo)
            await responder.flush()
            await responder.flush()  # nats-py may write its first PING ahead of the subscription
            clients = {
                "direct": await nats.connect(broker.url),
                "proxied": await nats.connect(f"nats://{proxy.address}"),
            }
            seen = await _alternate(clients, trips, rounds)
            for client in (*clients.values(), responder):
                await client.close()
            versions = {"nats_server": broker.version, "toxiproxy": toxiproxy.version}
    return {**_summary(seen), "trips": trips, "rounds": rounds, **versions}


async def _answering(url: str) -> None:
    client = await nats.connect(url)
    await client.close()


async def _echo(message: Any) -> None:
    await message.respond(message.data)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


Seen = dict[str, dict[str, list[dict[str, float]]]]
"""By kind and side, the figures of each round."""


async def _alternate(clients: dict[str, Any], trips: int, rounds: int) -> Seen:
    seen: Seen = {kind: {side: [] for side in SIDES} for kind in KINDS}
    for client in clients.values():
        for kind in KINDS:
            await _trips(_trip(client, kind), WARM)
    for number in range(rounds):
        for kind in KINDS:
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                seen[kind][side].append(_figures(await _trips(_trip(clients[side], kind), trips)))
        newest = {kind: [seen[kind][side][-1]["p50_us"] for side in SIDES] for kind in KINDS}
        said = (f"{kind} {direct:.0f} and {proxied:.0f} µs" for kind, (direct, proxied) in newest.items())
        _tell(f"round {number + 1}, direct and proxied: {', '.join(said)}")
    return seen


def _trip(client: Any, kind: str) -> Callable[[], Awaitable[Any]]:
    """One round trip; a flush is a PING and its PONG."""
    if kind == "ping":
        return lambda: client.flush(TRIP_S)
    return lambda: client.request(SUBJECT, BODY, timeout=TRIP_S)


async def _trips(trip: Callable[[], Awaitable[Any]], count: int) -> list[float]:
    """Microseconds of each of so many, one after the other."""
    taken = []
    for _ in range(count):
        began_s = time.perf_counter()
        await trip()
        taken.append((time.perf_counter() - began_s) * 1e6)
    return taken


def _figures(taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        "p50_us": ordered[len(ordered) // 2],
        "p99_us": ordered[int(len(ordered) * 0.99)],
        "trips_per_s": len(taken) / (sum(taken) / 1e6),
    }


def _summary(seen: Seen) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for kind, sides in seen.items():
        ratios = [
            proxied["p50_us"] / direct["p50_us"]
            for direct, proxied in zip(sides["direct"], sides["proxied"], strict=True)
        ]
        document[kind] = {
            **{
                side: {figure: statistics.median(one[figure] for one in all_) for figure in all_[0]}
                for side, all_ in sides.items()
            },
            "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        }
    return document


def main() -> None:
    """Measure, and print a line a kind and side or one document."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--trips", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    document = asyncio.run(measure(given.trips, given.rounds))
    if given.json:
        sys.stdout.write(json.dumps(document) + "\n")
        return
    for kind in KINDS:
        for side in SIDES:
            one = document[kind][side]
            sys.stdout.write(
                f"{kind:8} {side:8} p50 {one['p50_us']:6,.0f} µs   p99 {one['p99_us']:6,.0f} µs   "
                f"{one['trips_per_s']:7,.0f} a second\n"
            )
        ratio = document[kind]["ratio"]
        sys.stdout.write(
            f"{kind:8} proxied / direct {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})\n"
        )


if __name__ == "__main__":
    main()
