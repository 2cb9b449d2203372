"""``none``: what handlers intend is carried out nowhere; it stands in the results alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from squall.services.effects.port import Make, Opener, Register, Sending, Way


class Nowhere:
    """Takes every effect as told of, and does nothing."""

    async def deliver(self, registers: Sequence[tuple[Register, Sequence[tuple[str, bytes]]]]) -> bool:
        """See `Carrier`."""
        return True

    def recall(self) -> set[Register]:
        """See `Carrier`."""
        return set()

    async def run(self) -> None:
        """See `Carrier`."""
        await asyncio.Event().wait()


def load(sending: Sending, origin: Any) -> Opener:
    """A sink that is none."""

    @contextlib.asynccontextmanager
    async def opened(way: Way) -> AsyncIterator[Make]:
        yield lambda ties: Nowhere()

    return opened
