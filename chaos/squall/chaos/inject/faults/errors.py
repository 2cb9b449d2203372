"""Errors: whatever is asked, the answer is an error.

Of the venue's every other request after it was carried out. Of a stage: what its attempts depend on answers
so, and every nth of them fails; that is logical, see `services/node/interference.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from squall.chaos.inject.faults.fault import Site, answers
from squall.chaos.inject.faults.logical import LogicalFault
from squall.services.node.interference import Interfere
from squall.services.node.service import Order
from squall.services.patterns.pattern import VENUE

HEARD_S = 2.0
LOOK_S = 0.02


class Errors(LogicalFault, frozen=True, kw_only=True):
    """Attributes:
    every: Which attempts of a stage fail: every nth. A venue answers all requests so.
    delay_ms: How long such an attempt takes. A venue answers at once.
    """

    name: ClassVar[str] = "errors"
    every: Annotated[int, Meta(ge=1, le=1000)] = 1
    delay_ms: Annotated[int, Meta(ge=0, le=60_000)] = 20

    def asked(self) -> Interfere:
        return Interfere(kind="errors", every=self.every, delay_s=self.delay_ms / 1e3)

    async def inject(self, site: Site) -> None:
        if site.node == VENUE:
            await site.swarm.launcher.tell(site.unit, Order(fail=True))
        else:
            await super().inject(site)

    async def in_force(self, site: Site) -> bool:
        """Whether it comes to answer so within a moment; it hears of it when it reads what it is told."""
        if site.node != VENUE:
            return await super().in_force(site)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + HEARD_S
        while (await site.probe()).outcome != "error":
            if loop.time() > deadline:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    async def undone(self, site: Site) -> str:
        if site.node != VENUE:
            return await super().undone(site)
        return (
            "" if (await site.probe()).outcome == "error" else f"{site.node} answered with no error any more"
        )

    async def afterwards(self, site: Site, begun: int) -> Literal["struck", "spared", "unknown"]:
        return "unknown" if site.node == VENUE else await super().afterwards(site, begun)

    async def heal(self, site: Site) -> None:
        if site.node != VENUE:
            await super().heal(site)
        else:
            with contextlib.suppress(LookupError):  # one that was started anew answers as it should
                await site.swarm.launcher.tell(site.unit, Order(fail=False))

    async def healed(self, site: Site) -> bool:
        return await (answers(site) if site.node == VENUE else super().healed(site))
