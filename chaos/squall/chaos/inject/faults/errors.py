"""Errors: whatever is asked, the answer is an error; of every other request after it was carried out."""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar

from squall.chaos.inject.faults.fault import Fault, Site, answers
from squall.services.node.service import Order

HEARD_S = 2.0
LOOK_S = 0.02


class Errors(Fault, frozen=True, kw_only=True):
    name: ClassVar[str] = "errors"

    async def inject(self, site: Site) -> None:
        await site.swarm.launcher.tell(site.unit, Order(fail=True))

    async def in_force(self, site: Site) -> bool:
        """Whether it comes to answer so within a moment; it hears of it when it reads what it is told."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + HEARD_S
        while (await site.probe()).outcome != "error":
            if loop.time() > deadline:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    async def undone(self, site: Site) -> str:
        return (
            "" if (await site.probe()).outcome == "error" else f"{site.node} answered with no error any more"
        )

    async def heal(self, site: Site) -> None:
        with contextlib.suppress(LookupError):  # one that was started anew answers as it should
            await site.swarm.launcher.tell(site.unit, Order(fail=False))

    async def healed(self, site: Site) -> bool:
        return await answers(site)
