"""Reconnects given up after the library's default, scaled down: after a few refusals the client is closed."""

from __future__ import annotations

import asyncio

from squall.bus.connection import Connection
from squall.bus.errors import ConnectionLostError, NotConnectedError
from squall.bus.link import Link

ATTEMPTS = 3
"""For the library's 60, with 2 s between them."""

TRY_S = 0.5
PAUSE_S = 0.3


def install(node: str, role: str) -> None:
    reopen = Connection._reopen

    async def reopen_for_a_while(self: Connection) -> Link:
        if self._link is None:
            return await reopen(self)
        for _ in range(ATTEMPTS):
            await asyncio.sleep(PAUSE_S)
            try:
                async with asyncio.timeout(TRY_S):
                    return await self._open_link()
            except (NotConnectedError, ConnectionLostError, TimeoutError):
                continue
        await asyncio.Event().wait()  # closed for good, and nobody is told
        raise AssertionError("unreachable")

    Connection._reopen = reopen_for_a_while  # type: ignore[method-assign]
