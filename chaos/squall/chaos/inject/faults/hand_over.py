"""Hand-over: the leader is asked to give its term up in good order, and another takes over; healed at once.

The order may come to a node that has claimed a term and does not yet serve it, which passes it over. So it is
given again until somebody else leads.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from squall.chaos.inject.faults.crash import serves
from squall.chaos.inject.faults.fault import Fault, Site
from squall.services.node.service import Order

TAKEN_S = 15.0
"""How much longer than a lease it may take until another leads. A batch and a free seat are all it takes if
nothing is in the way; who is not told that the seat is free waits for the lease to run out."""

AGAIN_S = 1.0
"""After how long the order is given again."""

LOOK_S = 0.01


class HandOver(Fault, frozen=True, kw_only=True):
    name: ClassVar[str] = "hand-over"

    async def inject(self, site: Site) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(site.swarm.spec.lease_s + TAKEN_S):
            while True:
                await site.swarm.launcher.tell(site.unit, Order(step_down=True))
                until_s = loop.time() + AGAIN_S
                while loop.time() < until_s:
                    if await self.in_force(site):
                        return
                    await asyncio.sleep(LOOK_S)

    async def in_force(self, site: Site) -> bool:
        leading = await site.swarm.leader()
        return leading is not None and leading[0] != site.node

    async def undone(self, site: Site) -> str:
        """What has happened stays so."""
        return ""

    async def heal(self, site: Site) -> None:
        """The node stands again of its own accord, one lease later."""

    async def healed(self, site: Site) -> bool:
        return await serves(site)
