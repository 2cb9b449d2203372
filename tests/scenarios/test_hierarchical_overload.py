"""Producers at three times what the swarm can do: refusals, flat memory, nothing lost."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.nats, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(400)]

SERVICE_S = 0.02
AGENTS, SLOTS = 2, 4
CAPACITY_PER_S = AGENTS * SLOTS / SERVICE_S
OVERLOAD = 3.0
JUST_BUSY = 0.95

SPEC = {
    "pattern": "hierarchical",
    "agents": AGENTS,
    "slots": SLOTS,
    "patience_s": 0.0,
    "ingress_max": 1000,
    "handler": "slow_handler:slow",
    "pause_leader": False,
}
HANDLER = f"""
import asyncio

async def slow(task):
    await asyncio.sleep({SERVICE_S})
    return {{"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}}
"""


@dataclass(frozen=True)
class Length:
    """How long it is offered, and what that may cost.

    Attributes:
        seconds: In all.
        settled_s: By then every bound of our own processes has been reached: the ingress is full, the window
            is open.
        growth_mib_max: What the rest of the time may add to one of our processes. Without a bound, a second
            of refused tasks of about 1 kB would add 0.75 MiB to the producer alone.
        broker_extra_mib_max: What refusing two tasks in three for so long may cost nats-server, beside taking
            them all.

    nats-server itself is not flat while there is work: it keeps a record of every finished task, buffers of
    up to 8 MiB for the blocks that a stream is written to and read from, and as much garbage as live data
    before it collects. That is the same at any rate offered, so it is compared with a swarm that is just
    busy. Were the refused tasks kept, they would add 0.8 MiB a second, and that again in garbage.
    """

    seconds: int
    settled_s: int
    growth_mib_max: float
    broker_extra_mib_max: float


SHORT = Length(seconds=20, settled_s=10, growth_mib_max=6, broker_extra_mib_max=24)
LONG = Length(seconds=60, settled_s=20, growth_mib_max=12, broker_extra_mib_max=32)

SAMPLED_S = 6
"""Over how long what a process holds is looked at; the median counts."""


def private_mib(pid: int) -> float | None:
    """What a process holds in memory of its own, in MiB; None if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    anonymous = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(anonymous[0].split()[1]) / 1024 if anonymous else None


def offer(
    squall_run: Any, folder: Path, load: float, length: Length
) -> tuple[Any, dict[str, float], dict[str, float]]:
    """Offer a load, as a multiple of the capacity.

    Returns:
        The run, still going, and what each node held in MiB once settled and at the end.
    """
    folder.mkdir()
    (folder / "slow_handler.py").write_text(HANDLER)
    rate_per_s = load * CAPACITY_PER_S
    run = squall_run({**SPEC, "rate_per_s": rate_per_s, "tasks": int(rate_per_s * length.seconds)})
    run.wait_for(lambda: run.lines("submit"), "a submission")
    begun = time.monotonic()
    held: list[dict[str, float]] = []
    for end_s in (length.settled_s, length.seconds - 2):
        seen: dict[str, list[float]] = {}

        def sample(
            since_s: float = begun + end_s - SAMPLED_S, until_s: float = begun + end_s, seen: Any = seen
        ) -> bool:
            for name, node in run.nodes().items():
                size = private_mib(node["pid"])
                if size is not None and time.monotonic() > since_s:
                    seen.setdefault(name, []).append(size)
            return time.monotonic() > until_s

        run.wait_for(sample, "the end of a phase", length.seconds + 30)
        held.append({name: statistics.median(sizes) for name, sizes in seen.items()})
    return run, held[0], held[1]


@pytest.mark.parametrize("length", [SHORT, pytest.param(LONG, marks=pytest.mark.everything)])
def test_overload_is_refused_and_costs_no_memory(squall_run: Any, tmp_path: Path, length: Length) -> None:
    run, _, busy = offer(squall_run, tmp_path / "0", JUST_BUSY, length)
    taken = run.end(120)["availability"]

    run, settled, overloaded = offer(squall_run, tmp_path / "1", OVERLOAD, length)
    document = run.end(120)
    grown = {name: size - settled[name] for name, size in overloaded.items() if name != "broker"}
    print("MiB: grown", {name: round(mib, 1) for name, mib in grown.items()})  # noqa: T201
    print("MiB: nats-server", round(busy["broker"]), "busy,", round(overloaded["broker"]), "overloaded")  # noqa: T201
    assert {name: round(mib) for name, mib in grown.items() if mib > length.growth_mib_max} == {}
    assert overloaded["broker"] < busy["broker"] + length.broker_extra_mib_max
    assert document["offered"] == int(OVERLOAD * CAPACITY_PER_S * length.seconds)
    assert document["availability"] < 0.7, "nothing was refused"
    assert document["availability"] < taken / 2, "the busy swarm refused as much: nothing to compare with"
    assert document["accepted"] == document["effects"]
    assert (document["lost"], document["duplicated"], document["dead_letters"]) == (0, 0, 0)
