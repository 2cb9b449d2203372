"""Reservations: one fault a node at a time, in the order in which they were asked for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable


class Reservations:
    """Nodes that are taken, and who waits for them.

    All of the nodes are taken at once or none, so nobody waits for one while holding another, and nobody is
    overtaken.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._waiting: list[frozenset[str]] = []
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def take(self, nodes: Iterable[str], *, timeout_s: float) -> AsyncIterator[None]:
        """Have these nodes for oneself inside the block.

        Raises:
            TimeoutError: They were not free in time.
        """
        wanted = frozenset(nodes)
        async with self._changed:
            self._waiting.append(wanted)
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait_for(lambda: self._is_next(wanted))
                self._taken |= wanted
            finally:
                self._waiting.remove(wanted)
                self._changed.notify_all()
        try:
            yield
        finally:
            self._taken -= wanted
            async with self._changed:
                self._changed.notify_all()

    def _is_next(self, wanted: frozenset[str]) -> bool:
        earlier = self._waiting[: self._waiting.index(wanted)]
        return not wanted & self._taken and not any(wanted & other for other in earlier)
