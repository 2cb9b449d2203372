"""What a probe says was torn is what no sender sends in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from squall.chaos.inject.probe import ProbeResult, probe, probe_venue

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nserver: venue\r\ncontent-length: 2\r\n\r\n"
INFO = b'INFO {"server_id":"a"} \r\n'


async def heard(
    ask: Callable[[str], Awaitable[ProbeResult]], greeting: bytes, pieces: Sequence[bytes]
) -> bool:
    """What a probe makes of a sender that greets, and answers whatever it hears in these pieces."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(greeting)
            while await reader.read(4096):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.05)  # so that each piece arrives by itself
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        result = await ask(f"{host}:{port}")
    assert result.outcome == "answered"
    return result.torn


@pytest.mark.parametrize(
    ("pieces", "torn"),
    [
        ([HEAD + b"ok"], False),
        ([HEAD, b"ok"], False),
        ([HEAD[:40], HEAD[40:], b"ok"], True),
        ([HEAD + b"o", b"k"], True),
    ],
)
async def test_an_answer_of_a_venue(pieces: Sequence[bytes], torn: bool) -> None:
    assert await heard(probe_venue, b"", pieces) == torn


async def test_the_greeting_of_a_broker_comes_whole() -> None:
    assert not await heard(probe, INFO, [b"-ERR 'Authorization Violation'\r\n"])
