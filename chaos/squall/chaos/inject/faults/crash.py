"""Crash: the process is killed and started anew by whoever keeps it; what it held is gone."""

from __future__ import annotations

import asyncio
import signal
from typing import ClassVar

from squall.chaos.inject.faults.fault import HEALED_S, Fault, Site
from squall.chaos.plan.surface import BROKER

GONE_S = 5.0
"""How long what was killed may take to be gone."""


class Crash(Fault, frozen=True, kw_only=True):
    name: ClassVar[str] = "crash"

    async def inject(self, site: Site) -> None:
        async with asyncio.timeout(GONE_S):
            if site.node == BROKER:
                site.swarm.own_broker.signal(signal.SIGKILL)
                await site.swarm.own_broker.ended()
            else:
                unit = site.unit
                await site.swarm.launcher.kill(unit)
                await unit.ended()

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


async def serves(site: Site) -> bool:
    """Whether the node serves, or the broker answers, within `HEALED_S`."""
    deadline = asyncio.get_running_loop().time() + HEALED_S
    while asyncio.get_running_loop().time() < deadline:
        if site.node == BROKER:
            if await site.swarm.own_broker.answers():
                return True
        elif site.node in site.swarm.units:
            return True
        await asyncio.sleep(0.05)
    return False
