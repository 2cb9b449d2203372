"""Disconnect: a node's container is taken off its network by the engine, as if a cable had been pulled.

Nothing arrives either way and neither side is told. No proxy has to do with it: what is seen of it is the
engine's word, and the routes that the container's own kernel has left.
"""

from __future__ import annotations

from typing import ClassVar

from squall.chaos.errors import FaultError
from squall.chaos.inject.faults.crash import serves
from squall.chaos.inject.faults.fault import Fault, Site
from squall.services.launch import Cable


class Disconnect(Fault, frozen=True, kw_only=True):
    name: ClassVar[str] = "disconnect"

    async def inject(self, site: Site) -> None:
        await _cable(site).pull(site.unit)

    async def in_force(self, site: Site) -> bool:
        return await _cable(site).is_out(site.unit)

    async def undone(self, site: Site) -> str:
        return "" if await self.in_force(site) else f"{site.node} was on its network again"

    async def heal(self, site: Site) -> None:
        if site.node in site.swarm.units:  # one that was started anew is on its network
            await _cable(site).plug(site.unit)

    async def healed(self, site: Site) -> bool:
        return await serves(site) and not await _cable(site).is_out(site.unit)


def _cable(site: Site) -> Cable:
    launcher = site.swarm.launcher
    if launcher.cable is None:
        raise FaultError(
            f"disconnect takes a node off its network, and nodes on {launcher.target} have none of their own",
            "add --on containers, or cut the node's way with blackhole-nofin",
        )
    return launcher.cable
