"""When a puller asks: as soon as there is room for a chunk, and anew where its link has changed."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.integration.working import FAST, GIVE_UP_S, dispatch

from squall.bus import pull
from squall.bus.pull import Delivery, Puller
from squall.bus.subjects import POOL
from squall.bus.tasks import task_group

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


async def test_it_asks_again_for_what_has_become_free_while_the_rest_is_still_asked_for(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: asyncio.Queue[int] = asyncio.Queue()
    taken: asyncio.Queue[Delivery] = asyncio.Queue()
    async with bus(**FAST) as b, b.connect("agent-1") as connection, task_group() as tasks:
        publish = connection.publish

        async def told(subject: str, data: bytes, **how: Any) -> None:
            batches.put_nowait(msgspec.json.decode(data)["batch"])
            await publish(subject, data, **how)

        monkeypatch.setattr(connection, "publish", told)
        puller = Puller(connection, b.swarm.stream("WK"), POOL, taken.put_nowait, lambda: 4)
        tasks.daemon(puller.run())
        async with asyncio.timeout(GIVE_UP_S):
            asked = [await batches.get()]
            await dispatch(b, "t")
            await taken.get()
            asked.append(await batches.get())
    assert asked == [4, 1]


async def test_it_listens_anew_as_soon_as_its_link_has_changed(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "HEARTBEAT_S", GIVE_UP_S)  # after so long it looks by itself
    inboxes: asyncio.Queue[str] = asyncio.Queue()
    async with bus(**FAST) as b, b.connect("agent-1") as connection, task_group() as tasks:
        subscribe = connection.subscribe

        async def told(subject: str, *what: Any, **how: Any) -> Any:
            inboxes.put_nowait(subject)
            return await subscribe(subject, *what, **how)

        monkeypatch.setattr(connection, "subscribe", told)
        puller = Puller(connection, b.swarm.stream("WK"), POOL, lambda delivery: None, lambda: 0)
        tasks.daemon(puller.run())
        async with asyncio.timeout(GIVE_UP_S / 2):
            first = await inboxes.get()
            await connection.request(b.swarm.register("7", "t"), b"a marker", timeout_s=GIVE_UP_S / 2)
            connection.renew(b.authority.credentials("agent-1", None))
            assert await inboxes.get() != first
