"""Pause: the process stands still, its connections open, and goes on where it was: a zombie."""

from __future__ import annotations

import signal
from typing import ClassVar

from squall.chaos.inject.faults.crash import serves
from squall.chaos.inject.faults.fault import Fault, Site
from squall.chaos.plan.surface import BROKER


class Pause(Fault, frozen=True, kw_only=True):
    name: ClassVar[str] = "pause"

    async def inject(self, site: Site) -> None:
        if site.node == BROKER:
            site.swarm.own_broker.signal(signal.SIGSTOP)
        else:
            await site.swarm.launcher.freeze(site.unit)

    async def in_force(self, site: Site) -> bool:
        if site.node == BROKER:
            return await site.swarm.own_broker.seen(stopped=True)
        return await site.swarm.launcher.stands_still(site.unit)

    async def undone(self, site: Site) -> str:
        return "" if await self.in_force(site) else "the process did not stand still any more"

    async def heal(self, site: Site) -> None:
        if site.node == BROKER:
            site.swarm.own_broker.signal(signal.SIGCONT)
        elif site.node in site.swarm.units:
            await site.swarm.launcher.thaw(site.unit)

    async def healed(self, site: Site) -> bool:
        if not await serves(site):
            return False
        if site.node == BROKER:
            return await site.swarm.own_broker.seen(stopped=False)
        return await site.swarm.launcher.goes_on(site.unit)
