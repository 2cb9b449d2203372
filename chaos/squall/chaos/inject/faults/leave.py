"""Leave: a member leaves the roster in good order, so that its votes count no more, or its lanes go away.

It is healed by joining again. Its process goes on, and observes. So what changes is who votes, under
proposals that are open; or who has which lanes, under load.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from squall.bus.errors import BusError
from squall.chaos.errors import ChaosError
from squall.chaos.inject.faults.fault import HEALED_S, Fault, Site
from squall.services.errors import LaunchError

LEFT_S = 20.0
"""How long it may take: whoever writes the roster may be on its way back."""

AGAIN_S = 0.2
REJOIN_S = 120.0


class Leave(Fault, frozen=True, kw_only=True):
    name: ClassVar[str] = "leave"

    async def inject(self, site: Site) -> None:
        async with asyncio.timeout(LEFT_S):
            await _until_done(site, member=False)

    async def in_force(self, site: Site) -> bool:
        return not await _is_member(site)

    async def undone(self, site: Site) -> str:
        return f"{site.node} is a member again" if await _is_member(site) else ""

    async def heal(self, site: Site) -> None:
        try:
            async with asyncio.timeout(REJOIN_S):
                await _until_done(site, member=True)
        except TimeoutError as error:
            raise ChaosError(f"{site.node} did not come to be a member again") from error

    async def healed(self, site: Site) -> bool:
        try:
            async with asyncio.timeout(HEALED_S):
                while not await _is_member(site):
                    await asyncio.sleep(AGAIN_S)
        except TimeoutError:
            return False
        return True


async def _is_member(site: Site) -> bool:
    """Whether the newest roster has it, as soon as the broker says."""
    while True:
        try:
            return site.node in await site.swarm.members()
        except BusError:
            await asyncio.sleep(AGAIN_S)


async def _until_done(site: Site, *, member: bool) -> None:
    while True:
        try:
            await site.swarm.enrol(site.node, member=member)
            return
        except (BusError, LaunchError):
            await asyncio.sleep(AGAIN_S)
