"""One contract for every place where nodes run: what is started, seen, held, struck, ended, and left."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from tests.engine import need_engine

from squall.bus.guard import Guard
from squall.bus.tasks import wait_until
from squall.services.errors import LaunchError
from squall.services.launch import Launcher, Unit
from squall.services.launch.places import PLACES
from squall.services.node.control import ORPHANED
from squall.services.node.service import Halt, NodeStart, Order, VenueToken
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.directory import RunDirectory, claim

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

TOKEN = "token"

Opened = Callable[[], contextlib.AbstractAsyncContextManager[tuple[Launcher, RunDirectory]]]


@pytest.fixture(params=PLACES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    place = request.param
    if place == "containers":
        need_engine()

    @contextlib.asynccontextmanager
    async def launcher() -> AsyncIterator[tuple[Launcher, RunDirectory]]:
        with claim(HierarchicalSpec(), tmp_path / "run") as run:
            async with Guard() as guard, PLACES[place](guard, run) as launcher:
                yield launcher, run

    return launcher


def venue(run: RunDirectory) -> NodeStart:
    """A node that needs no broker."""
    return NodeStart(
        spec=HierarchicalSpec(),
        node="venue",
        role="venue",
        incarnation=1,
        path=str(run.venue),
        venue_token=VenueToken(TOKEN),
    )


async def healthy(unit: Unit, timeout_s: float = 10.0) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            answer = await client.get(f"{unit.ready.url}/healthz", timeout=timeout_s)
        except httpx.TransportError:
            return False
    return answer.status_code == 200


async def test_a_node_serves_until_it_is_told_to_stop(opened: Opened) -> None:
    async with opened() as (launcher, run):
        unit = await launcher.start(venue(run))
        ending = asyncio.create_task(unit.ended())
        assert unit.id
        assert await healthy(unit)
        assert (launcher.memory_kib(unit) or 0) > 1000
        assert await launcher.goes_on(unit)
        assert not await launcher.stands_still(unit)
        await launcher.stop(unit, grace_s=20.0)
        assert await ending == 0
        launcher.forget(unit)
    assert run.venue.is_file()
    assert not run.venue.is_symlink()


async def test_a_node_that_is_killed_ends_at_once_and_comes_back_where_it_was(opened: Opened) -> None:
    async with opened() as (launcher, run):
        before = await launcher.start(venue(run))
        ending = asyncio.create_task(before.ended())
        await launcher.kill(before)
        assert await ending == -signal.SIGKILL
        launcher.forget(before)
        again = await launcher.start(venue(run))
        assert again.id != before.id
        assert again.ready.url.rpartition(":")[0] == before.ready.url.rpartition(":")[0]
        assert await healthy(again)


async def test_a_node_is_frozen_as_it_is_and_goes_on(opened: Opened) -> None:
    async with opened() as (launcher, run):
        unit = await launcher.start(venue(run))
        assert await launcher.freeze(unit)
        assert await launcher.stands_still(unit)
        assert not await launcher.goes_on(unit)
        assert not await healthy(unit, timeout_s=1.0)
        assert await launcher.thaw(unit)
        assert await healthy(unit)
        assert await launcher.freeze(unit)
        await launcher.kill(unit)
        assert await unit.ended() == -signal.SIGKILL
        assert not await launcher.freeze(unit)


async def keep_asking(unit: Unit) -> None:
    """Send a venue one order after the other."""
    orders = [{"order_id": "t.0", "order": {"what": "is journaled before it is looked at"}}]
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        while True:
            await client.post(f"{unit.ready.url}/orders", json=orders, timeout=60)


async def test_a_node_stops_itself_where_it_was_told_to(opened: Opened) -> None:
    async with opened() as (launcher, run):
        unit = await launcher.start(venue(run))
        ending = asyncio.create_task(unit.ended())
        await launcher.tell(unit, Order(halt=Halt(point="venue.journaled")))
        halting = asyncio.create_task(launcher.halted(unit))
        asking = asyncio.create_task(keep_asking(unit))  # it may hear of the order after a first request
        async with asyncio.timeout(30):
            assert await halting == "venue.journaled"
        asking.cancel()
        assert await launcher.stands_still(unit)
        assert not await healthy(unit, timeout_s=1.0)
        assert await launcher.freeze(unit), "where it stands still already"
        assert await launcher.thaw(unit)
        assert await launcher.goes_on(unit)
        assert await healthy(unit)
        await launcher.kill(unit)
        assert await ending == -signal.SIGKILL


async def test_what_cannot_start_says_why_and_leaves_nothing(opened: Opened) -> None:
    async with opened() as (launcher, run):
        start = venue(run)
        with pytest.raises(LaunchError, match="venue"):
            await launcher.start(NodeStart(spec=start.spec, node="venue", role="venue", incarnation=1))
    assert not run.containers.exists()


COMMAND = """
import asyncio, sys
from pathlib import Path
from squall.bus.guard import Guard
from squall.services.launch.places import PLACES
from squall.services.run.directory import claim
sys.path.insert(0, sys.argv[3])
from tests.integration.test_launchers import venue
from squall.services.patterns.hierarchical import HierarchicalSpec

async def main():
    with claim(HierarchicalSpec(), Path(sys.argv[2])) as run:
        async with Guard() as guard, PLACES[sys.argv[1]](guard, run) as launcher:
            unit = await launcher.start(venue(run))
            print(unit.ready.url, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("place", PLACES)
async def test_nothing_outlives_a_command_that_is_killed(place: str, tmp_path: Path) -> None:
    if place == "containers":
        need_engine()
    root = str(Path(__file__).parents[2])
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, place, str(tmp_path / "run"), root, stdout=PIPE
    )
    assert command.stdout is not None
    async with asyncio.timeout(60):
        url = (await command.stdout.readline()).decode().strip()
    command.kill()
    await command.wait()

    async def answers() -> bool:
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"{url}/healthz", timeout=1.0)).status_code == 200
            except httpx.TransportError:
                return False

    await wait_until(answers, lambda there: not there, timeout_s=30, what="the end of the node")


async def test_a_node_ends_with_its_pipe(opened: Opened) -> None:
    async with opened() as (launcher, run):
        unit = await launcher.start(venue(run))
        unit.process.stdin.close()  # type: ignore[attr-defined]
        assert await unit.ended() == ORPHANED
