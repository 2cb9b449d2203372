"""What answers as the venue may be anybody: it gets no more time, memory or token than it should."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from squall.services.effects import venue as venue_client
from squall.services.effects.venue import Answered
from squall.services.node import venue_door
from squall.services.node.venue_door import ANSWER_BYTES_MAX
from squall.services.rules.sinks import Away, Unknown

pytestmark = pytest.mark.anyio

TOKEN = "token-of-a-test"
GIVE_UP_S = 20.0
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Listener:
    """Something that listens.

    Attributes:
        heads: Of the requests that it received.
    """

    url: str = ""
    heads: list[bytes] = field(default_factory=list)


@contextlib.asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[Listener]:
    listener = Listener()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        serving.add(this)
        try:
            with contextlib.suppress(ConnectionError):
                listener.heads.append(await reader.readuntil(b"\r\n\r\n"))
                await answer(writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield listener
    finally:
        server.close()
        if serving:
            await asyncio.wait(serving, timeout=GIVE_UP_S)


async def well(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]")
    await writer.drain()


async def ask(url: str) -> venue_client.Outcome:
    """What comes of a batch that holds nothing."""
    async with asyncio.timeout(GIVE_UP_S), venue_door.by_http(url, TOKEN) as door:
        return await venue_client.VenueClient(door).post(())


async def test_an_answer_without_end_is_given_up_at_a_bound() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"[" * 65536)
            await writer.drain()

    async with listening(endless) as venue:
        outcome = await ask(venue.url)
    assert isinstance(outcome, Unknown)
    assert f"an answer of more than {ANSWER_BYTES_MAX:,} bytes" in outcome.reason


async def test_an_answer_that_comes_in_drops_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each drop is in time, so a time-out between two of them never ends it."""
    monkeypatch.setattr(venue_client, "ANSWER_TIMEOUT_S", 0.5)

    async def dripping(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"[")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with listening(dripping) as venue:
        outcome = await ask(venue.url)
    assert isinstance(outcome, Unknown)
    assert "no answer within 0.5 s" in outcome.reason


async def test_whoever_it_redirects_to_gets_nothing() -> None:
    async with listening(well) as other:

        async def redirecting(writer: asyncio.StreamWriter) -> None:
            location = f"Location: {other.url}/orders\r\n".encode()
            writer.write(
                b"HTTP/1.1 307 Moved\r\nConnection: close\r\nContent-Length: 0\r\n" + location + b"\r\n"
            )
            await writer.drain()

        async with listening(redirecting) as venue:
            outcome = await ask(venue.url)
        assert isinstance(outcome, Unknown)
        assert len(venue.heads) == 1
        assert other.heads == []


async def test_a_proxy_that_the_environment_names_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with listening(well) as proxy, listening(well) as venue:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert isinstance(await ask(venue.url), Answered)
        assert len(venue.heads) == 1
        assert f"Authorization: Bearer {TOKEN}".encode() in venue.heads[0]
        assert proxy.heads == []


async def test_where_nobody_listens_it_is_absent() -> None:
    async with listening(well) as gone:
        pass
    assert isinstance(await ask(gone.url), Away)
