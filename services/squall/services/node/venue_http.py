"""The venue's door by HTTP; see `venue_door.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from squall.services.node.venue_door import ANSWER_BYTES_MAX, Door, ShutError, UnansweredError
from squall.services.rules.effects import ANSWER_TIMEOUT_S


class _Http:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def exchange(self, content: bytes) -> tuple[int, bytes]:
        try:
            async with self._client.stream("POST", "/orders", content=content) as response:
                text = bytearray()
                async for chunk in response.aiter_bytes():
                    text += chunk
                    if len(text) > ANSWER_BYTES_MAX:
                        raise UnansweredError(f"an answer of more than {ANSWER_BYTES_MAX:,} bytes")
                return response.status_code, bytes(text)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ShutError(str(error)) from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise UnansweredError(f"{type(error).__name__}: {error}") from error


@asynccontextmanager
async def door(
    url: str, token: str, *, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[Door]:
    """The door of the venue at ``url``, open inside the block.

    Args:
        token: What it knows us by; goes into a header that the client's own repr hides.
        transport: Another way to it than by network.
    """
    async with httpx.AsyncClient(
        base_url=url,
        headers={
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",  # nothing unpacks to more than was received
        },
        timeout=ANSWER_TIMEOUT_S,
        limits=httpx.Limits(max_connections=2),
        follow_redirects=False,
        trust_env=False,
        transport=transport,
    ) as client:
        yield _Http(client)
