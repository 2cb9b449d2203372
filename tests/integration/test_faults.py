"""Each fault of a link is felt by a stranger while it is in force, and no more once it is healed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from squall.bus.guard import Guard
from squall.bus.tasks import task_group
from squall.chaos.inject.faults.catalogue import FAULTS, make
from squall.chaos.inject.faults.fault import Site
from squall.chaos.inject.probe import ProbeResult, probe, probe_venue
from squall.chaos.inject.toxiproxy import Toxiproxy
from squall.chaos.inject.toxiproxy.proxies import Proxies, Proxy
from squall.chaos.plan.kinds import KINDS
from squall.services.patterns.pattern import VENUE
from squall.services.roles import venue

pytestmark = [pytest.mark.anyio, pytest.mark.nats, pytest.mark.toxiproxy]

LINK_FAULTS = sorted(name for name in FAULTS if KINDS[name].breaks == "link" and not KINDS[name].place)
NO_SWARM: Any = None
"""A fault of a link acts on the node's proxy and asks nothing of the swarm."""


def site(node: str, proxy: Proxy) -> Site:
    """Where a fault strikes, with probes that go through the proxy."""

    async def ask(node: str, timeout_s: float) -> ProbeResult:
        asking = probe_venue if node == VENUE else probe
        return await asking(proxy.address, timeout_s=timeout_s)

    return Site(NO_SWARM, node, proxy, ask)


@asynccontextmanager
async def way(bus: Any, tmp_path: Path) -> AsyncIterator[Site]:
    """A node's way through a proxy to a real broker."""
    async with (
        bus(agents=1) as b,
        Guard() as guard,
        Toxiproxy.running(guard=guard, log=tmp_path / "toxiproxy.log") as toxiproxy,
        Proxies(toxiproxy.url, prefix="test") as proxies,
    ):
        proxy = await proxies.create("agent-1", b.broker.url.removeprefix("nats://"))
        yield site("agent-1", proxy)


@pytest.mark.parametrize("name", LINK_FAULTS)
async def test_it_is_felt_in_force_and_not_before_nor_after(bus: Any, tmp_path: Path, name: str) -> None:
    fault = make(name, {})
    async with way(bus, tmp_path) as site:
        assert (await site.probe()).outcome == "answered"
        assert not await fault.in_force(site)
        await fault.inject(site)
        assert await fault.in_force(site)
        assert not name.startswith("black") or not (await site.probe()).bytes
        await fault.heal(site)
        assert await fault.healed(site)
        assert not await fault.in_force(site)
        await fault.heal(site)
        state = await site.way.state()
        assert (state.enabled, state.toxics) == (True, ())


@asynccontextmanager
async def way_to_a_venue(tmp_path: Path) -> AsyncIterator[tuple[Site, asyncio.Event]]:
    """A way through a proxy to a real venue, and what has it answer with errors."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    failing = asyncio.Event()
    books = tmp_path / "venue.sqlite"
    async with task_group() as tasks:
        tasks.daemon(venue.serve(books, token="t", ready=url.set_result, failing=failing))
        address = (await url).removeprefix("http://")
        async with (
            Guard() as guard,
            Toxiproxy.running(guard=guard, log=tmp_path / "toxiproxy.log") as toxiproxy,
            Proxies(toxiproxy.url, prefix="test") as proxies,
        ):
            yield site(VENUE, await proxies.create(VENUE, address)), failing


AT_A_VENUE = [
    pytest.param(name, marks=[] if name in ("bandwidth", "reset", "slice") else pytest.mark.everything)
    for name in LINK_FAULTS
    if KINDS[name].family != "half"
]


@pytest.mark.parametrize("name", AT_A_VENUE)
async def test_it_is_felt_on_the_way_to_a_venue(tmp_path: Path, name: str) -> None:
    fault = make(name, {})
    async with way_to_a_venue(tmp_path) as (site, _):
        assert (await site.probe()).outcome == "answered"
        assert not await fault.in_force(site)
        await fault.inject(site)
        assert await fault.in_force(site)
        await fault.heal(site)
        assert await fault.healed(site)
        assert not await fault.in_force(site)


async def test_that_a_venue_answers_with_errors_is_felt(tmp_path: Path) -> None:
    errors = make("errors", {})
    async with way_to_a_venue(tmp_path) as (site, failing):
        assert not await errors.in_force(site)
        failing.set()
        assert await errors.in_force(site)
        assert await errors.undone(site) == ""
        failing.clear()
        assert await errors.undone(site) == "venue answered with no error any more"
        assert await errors.healed(site)


async def test_every_fault_of_a_link_was_tried() -> None:
    assert len(LINK_FAULTS) == 13
