"""Refuse: connections are closed and new ones refused, so both sides know at once."""

from __future__ import annotations

from typing import ClassVar

from squall.chaos.inject.faults.fault import Site, WayFault, answers


class Refuse(WayFault, frozen=True, kw_only=True):
    name: ClassVar[str] = "refuse"

    async def inject(self, site: Site) -> None:
        await site.way.disable()

    async def in_force(self, site: Site) -> bool:
        return (await site.probe()).outcome == "refused"

    async def heal(self, site: Site) -> None:
        await site.way.enable()

    async def healed(self, site: Site) -> bool:
        return await answers(site)
