"""A gateway whose pause after an error of the venue is never over: each later batch waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from squall.services.effects.forwarding import Forwarder
from squall.services.effects.port import Effect
from squall.services.effects.venue import Outcome

PAUSE_S = 0.5


def install(node: str, role: str) -> None:
    repeated = Forwarder._repeated

    async def slowly(self: Forwarder, batch: Sequence[Effect]) -> Outcome | None:
        if self._counters["venue_errors"]:
            await asyncio.sleep(PAUSE_S)
        return await repeated(self, batch)

    Forwarder._repeated = slowly  # type: ignore[method-assign]
