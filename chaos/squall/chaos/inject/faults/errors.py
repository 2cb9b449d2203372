"""Errors: whatever is asked, the answer is an error; of every other request after it was carried out."""

from __future__ import annotations

import contextlib
from typing import ClassVar

from squall.chaos.inject.faults.fault import Fault, Site, answers
from squall.services.node.service import Order


class Errors(Fault, frozen=True, kw_only=True):
    name: ClassVar[str] = "errors"

    async def inject(self, site: Site) -> None:
        await site.swarm.launcher.tell(site.unit, Order(fail=True))

    async def in_force(self, site: Site) -> bool:
        return (await site.probe()).outcome == "error"

    async def undone(self, site: Site) -> str:
        return "" if await self.in_force(site) else f"{site.node} answered with no error any more"

    async def heal(self, site: Site) -> None:
        with contextlib.suppress(LookupError):  # one that was started anew answers as it should
            await site.swarm.launcher.tell(site.unit, Order(fail=False))

    async def healed(self, site: Site) -> bool:
        return await answers(site)
