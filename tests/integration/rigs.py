"""A Toxiproxy with an echo behind it, and links through it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from squall.bus.guard import Guard
from squall.bus.tasks import wait_until
from squall.chaos.inject.toxiproxy import Toxiproxy
from squall.chaos.inject.toxiproxy.proxies import Change, Proxies, Proxy

PATIENCE_S = 10.0
HOUR_MS = 3_600_000


@dataclass
class Echo:
    """A peer that sends back what it gets.

    Attributes:
        address: As ``host:port``.
        heard: What each of its connections has got, in the order they were opened.
        ended_s: When each of those ended that did.
    """

    address: str = ""
    heard: list[bytearray] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = bytearray()
        self.heard.append(heard)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                heard += data
                writer.write(data)
                await writer.drain()
        self.ended_s.append(time.monotonic())
        writer.close()


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[Echo]:
    echo = Echo()
    async with await asyncio.start_server(echo.serve, "127.0.0.1", 0) as listener:
        echo.address = "{}:{}".format(*listener.sockets[0].getsockname())
        yield echo


class Link:
    """A client's connection to a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def echoed(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await self.get(len(data))

    async def get(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """What still comes before the other end closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()


@contextlib.asynccontextmanager
async def linked(proxy: Proxy) -> AsyncIterator[Link]:
    host, port = proxy.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Link(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@dataclass
class Rig:
    """A server, our proxies on it, an echo and a proxy that leads to it."""

    toxiproxy: Toxiproxy
    proxies: Proxies
    echo: Echo
    proxy: Proxy

    def ask(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """What anybody else may ask of the same server."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        data = None if body is None else json.dumps(body).encode()
        with opener.open(urllib.request.Request(self.toxiproxy.url + path, data), timeout=5.0) as answer:
            return json.loads(answer.read())


@contextlib.asynccontextmanager
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with (
        echoing() as echo,
        Guard() as guard,
        Toxiproxy.running(guard=guard, log=tmp_path / "toxiproxy.log") as toxiproxy,
        Proxies(toxiproxy.url, prefix="r1") as proxies,
    ):
        yield Rig(toxiproxy, proxies, echo, await proxies.create("echo", echo.address))


def assert_ordered(change: Change, since_s: float) -> None:
    assert since_s <= change.sent_s <= change.acknowledged_s <= change.verified_s <= time.time()


async def echo_ended(echo: Echo) -> float:
    async def ended() -> list[float]:
        return echo.ended_s

    return (await wait_until(ended, bool, timeout_s=PATIENCE_S, what="the end at the echo", every_s=0.01))[0]
