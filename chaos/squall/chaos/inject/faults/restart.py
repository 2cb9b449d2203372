"""Restart: the process is asked to drain and end, and started anew."""

from __future__ import annotations

import asyncio
import signal
from typing import ClassVar

from squall.chaos.inject.faults.crash import GONE_S, serves
from squall.chaos.inject.faults.fault import Fault, Site
from squall.chaos.plan.surface import BROKER

GRACE_S = 10.0


class Restart(Fault, frozen=True, kw_only=True):
    name: ClassVar[str] = "restart"

    async def inject(self, site: Site) -> None:
        async with asyncio.timeout(GRACE_S + GONE_S):
            if site.node == BROKER:
                site.swarm.own_broker.signal(signal.SIGTERM)
                await site.swarm.own_broker.ended()
            else:
                await site.swarm.launcher.stop(site.unit, grace_s=GRACE_S)

    async def in_force(self, site: Site) -> bool:
        """Once injected it has happened: the end of the process was waited for."""
        return True

    async def undone(self, site: Site) -> str:
        """What has happened stays so."""
        return ""

    async def heal(self, site: Site) -> None:
        """What keeps the process starts it again."""

    async def healed(self, site: Site) -> bool:
        return await serves(site)
