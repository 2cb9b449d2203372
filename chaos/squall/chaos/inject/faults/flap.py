"""Flap: the way is refused and open again by turns, many times."""

from __future__ import annotations

import asyncio
from typing import Annotated, ClassVar

from msgspec import Meta

from squall.chaos.inject.faults.fault import Site, WayFault, answers


class Flap(WayFault, frozen=True, kw_only=True):
    """Attributes:
    down_ms, up_ms: How long each turn takes.
    """

    name: ClassVar[str] = "flap"
    down_ms: Annotated[int, Meta(ge=50, le=5000)] = 300
    up_ms: Annotated[int, Meta(ge=50, le=5000)] = 600

    async def inject(self, site: Site) -> None:
        await site.way.disable()

    async def in_force(self, site: Site) -> bool:
        return (await site.probe()).outcome == "refused"

    async def last(self, site: Site) -> None:
        """Take the turns, from down to up and so on; never returns."""
        while True:
            await asyncio.sleep(self.down_ms / 1e3)
            await site.way.enable()
            await asyncio.sleep(self.up_ms / 1e3)
            await site.way.disable()

    async def heal(self, site: Site) -> None:
        await site.way.enable()

    async def healed(self, site: Site) -> bool:
        return await answers(site)
