"""Producers at three times what the swarm can do, for a minute: refusals, flat memory, nothing lost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.nats, pytest.mark.slow, pytest.mark.timeout(400)]

SECONDS = 60
SERVICE_S = 0.02
AGENTS, SLOTS = 2, 4
CAPACITY_PER_S = AGENTS * SLOTS / SERVICE_S
RATE_PER_S = 3 * CAPACITY_PER_S

SPEC = {
    "pattern": "hierarchical",
    "agents": AGENTS,
    "slots": SLOTS,
    "tasks": int(RATE_PER_S * SECONDS),
    "rate_per_s": RATE_PER_S,
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
"""By then every bound has been reached: the ingress is full, the window is open, the caches are warm."""

GROWTH_MIB_MAX = 24
"""What 40 s may add to one of our processes. Without a bound, 40 s of refused tasks of about 1 kB would add
30 MiB to the producer alone."""

BROKER_GROWTH_MIB_MAX = 64
"""The same for nats-server, and not computed. It is not flat: over 75 s of this load it went from 70 MiB at
15 s to 109 MiB, about 0.6 MiB a second, cause unknown. This bound only notices worse."""


def rss_mib(pid: int) -> float | None:
    """What a process holds in memory of its own, in MiB; None if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    anonymous = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(anonymous[0].split()[1]) / 1024 if anonymous else None


def test_overload_is_refused_and_costs_no_memory(squall_run: Any, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "slow_handler.py").write_text(HANDLER)
    run = squall_run(SPEC)
    run.wait_for(lambda: run.lines("submit"), "a submission")
    begun = time.monotonic()
    seen: dict[str, list[float]] = {}

    def sample(until_s: float) -> bool:
        for name, node in run.nodes().items():
            size = rss_mib(node["pid"])
            if size is not None:
                seen.setdefault(name, []).append(size)
        return time.monotonic() - begun > until_s

    run.wait_for(lambda: sample(SETTLED_S), "the bounds to be reached", SETTLED_S + 30)
    settled = {name: max(sizes[-20:]) for name, sizes in seen.items()}
    seen.clear()
    run.wait_for(lambda: sample(SECONDS - 2), "the end of the overload", SECONDS + 30)
    grown = {name: max(sizes[-20:]) - settled[name] for name, sizes in seen.items()}
    document = run.end(120)
    bounds = {name: BROKER_GROWTH_MIB_MAX if name == "broker" else GROWTH_MIB_MAX for name in grown}
    assert {name: round(mib) for name, mib in grown.items() if mib > bounds[name]} == {}
    assert document["offered"] == SPEC["tasks"]
    assert document["availability"] < 0.7, "nothing was refused"
    assert document["accepted"] == document["effects"]
    assert (document["lost"], document["duplicated"], document["dead_letters"]) == (0, 0, 0)
    print("growth in MiB", {name: round(mib, 1) for name, mib in grown.items()})  # noqa: T201
