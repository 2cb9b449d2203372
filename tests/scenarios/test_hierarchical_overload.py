"""Producers at three times what the swarm can do: refusals, flat memory, nothing lost."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.nats, pytest.mark.slow, pytest.mark.timeout(400)]

SECONDS = 40
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

SETTLED_S = 20
"""By then every bound of our own processes has been reached: the ingress is full, the window is open."""

GROWTH_MIB_MAX = 12
"""What 20 s may add to one of our processes. Without a bound, 20 s of refused tasks of about 1 kB would add
15 MiB to the producer alone."""

BROKER_EXTRA_MIB_MAX = 32
"""What refusing two tasks in three for so long may cost nats-server, beside taking them all.

nats-server itself is not flat while there is work: it keeps a record of every finished task, buffers of up to
8 MiB for the blocks that a stream is written to and read from, and as much garbage as live data before it
collects. That is the same at any rate offered, so it is compared with a swarm that is just busy. Were the
refused tasks kept, they would add 32 MiB, and that again in garbage."""


def private_mib(pid: int) -> float | None:
    """What a process holds in memory of its own, in MiB; None if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    anonymous = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(anonymous[0].split()[1]) / 1024 if anonymous else None


def offer(squall_run: Any, tmp_path: Path, load: float) -> tuple[Any, dict[str, float], dict[str, float]]:
    """Offer a load for `SECONDS`, as a multiple of the capacity.

    Returns:
        The run, still going, and what each node held in MiB (a median over 10 s) once settled and at the end.
    """
    rate_per_s = load * CAPACITY_PER_S
    run = squall_run({**SPEC, "rate_per_s": rate_per_s, "tasks": int(rate_per_s * SECONDS)})
    run.wait_for(lambda: run.lines("submit"), "a submission")
    begun = time.monotonic()
    held: list[dict[str, float]] = []
    for end_s in (SETTLED_S, SECONDS - 2):
        seen: dict[str, list[float]] = {}

        def sample(
            since_s: float = begun + end_s - 10, until_s: float = begun + end_s, seen: Any = seen
        ) -> bool:
            for name, node in run.nodes().items():
                size = private_mib(node["pid"])
                if size is not None and time.monotonic() > since_s:
                    seen.setdefault(name, []).append(size)
            return time.monotonic() > until_s

        run.wait_for(sample, "the end of a phase", SECONDS + 30)
        held.append({name: statistics.median(sizes) for name, sizes in seen.items()})
    return run, held[0], held[1]


def test_overload_is_refused_and_costs_no_memory(squall_run: Any, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "slow_handler.py").write_text(HANDLER)
    run, _, busy = offer(squall_run, tmp_path, JUST_BUSY)
    taken = run.end(120)["availability"]

    run, settled, overloaded = offer(squall_run, tmp_path, OVERLOAD)
    document = run.end(120)
    grown = {name: size - settled[name] for name, size in overloaded.items() if name != "broker"}
    print("MiB: grown", {name: round(mib, 1) for name, mib in grown.items()})  # noqa: T201
    print("MiB: nats-server", round(busy["broker"]), "busy,", round(overloaded["broker"]), "overloaded")  # noqa: T201
    assert {name: round(mib) for name, mib in grown.items() if mib > GROWTH_MIB_MAX} == {}
    assert overloaded["broker"] < busy["broker"] + BROKER_EXTRA_MIB_MAX
    assert document["offered"] == int(OVERLOAD * CAPACITY_PER_S * SECONDS)
    assert document["availability"] < 0.7, "nothing was refused"
    assert document["availability"] < taken / 2, "the busy swarm refused as much: nothing to compare with"
    assert document["accepted"] == document["effects"]
    assert (document["lost"], document["duplicated"], document["dead_letters"]) == (0, 0, 0)
