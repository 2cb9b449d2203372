"""Services that answer as they are told: wrongly if a task's key is ``bad``, and well otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

LATE_S = 3.0
"""After how long one answers that is late."""

Reply = Callable[[dict[str, Any], asyncio.StreamWriter], Awaitable[None]]


class Seen:
    """What a service was sent."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.asked: list[dict[str, Any]] = []


def answered(status: str, body: bytes, *head: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *head]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def good(asked: dict[str, Any]) -> bytes:
    return json.dumps({"id": asked["id"], "effects": [{"n": asked["number"]}]}).encode()


@contextlib.asynccontextmanager
async def serving(reply: Reply, seen: Seen | None = None, port: int = 0) -> AsyncIterator[str]:
    """A service that replies so to tasks whose key is ``bad``, and well to all others."""
    seen = seen or Seen()
    open_: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        open_.add(me)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(line for line in head.splitlines() if line.lower().startswith("content-length"))
                asked = json.loads(await reader.readexactly(int(length.split(":")[1])))
                seen.heads.append(head)
                seen.asked.append(asked)
                if asked["key"] == "bad":
                    await reply(asked, writer)
                else:
                    writer.write(answered("200 OK", good(asked)))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/decide"
    finally:
        server.close()
        for each in open_:
            each.cancel()


def says(status: str, body: bytes = b"", *head: str) -> Reply:
    async def reply(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(answered(status, body, *head))

    return reply


async def dies(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def partial(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.write(answered("200 OK", good(asked))[:-5])
    await writer.drain()
    writer.close()


async def partial_without_length(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + good(asked)[:-5])
    await writer.drain()
    writer.close()


async def endless(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 100_000)
        await writer.drain()


async def twice(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    for _ in range(2):
        writer.write(answered("200 OK", good(asked)))
        await writer.drain()
        await asyncio.sleep(0.05)  # the second comes by itself, when the first has been read


async def hangs(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def late(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(LATE_S)
    writer.write(answered("200 OK", good(asked)))


async def slow_start(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.5)
    writer.write(answered("200 OK", good(asked)))
