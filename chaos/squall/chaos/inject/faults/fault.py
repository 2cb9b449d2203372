"""What a fault is: something that is put in force, seen to be, healed, and seen to be healed.

Each fault is one file here, and one entry of `FAULTS` in `catalogue.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import msgspec

from squall.chaos.inject.probe import ProbeResult
from squall.chaos.inject.toxiproxy.toxics import Toxic
from squall.chaos.inject.way import Ask, Way, probe_nothing
from squall.chaos.plan.kinds import KINDS, Kind
from squall.services.launch import Unit
from squall.services.run.swarm import Swarm

PROBE_S = 1.0
"""How long a probe waits; a way that answers does so in milliseconds."""

PROBES_MAX = 3
"""How many probes may feel nothing of a fault that is in force: on a busy machine one may not connect."""

STRUCK_S = 45.0

HEALED_S = 30.0
"""How long what was healed may take to serve again."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a fault strikes.

    Attributes:
        node: The node's name, or `BROKER`.
        proxy: What stands between it and the broker, or before the venue; None for the broker itself.
        ask: Sends a probe the node's way, or the way to the venue, which waits for so long.
        struck_s: How long it may take until a delivery is struck: while nobody leads, there are none.
    """

    swarm: Swarm
    node: str
    proxy: Way | None = None
    ask: Ask = probe_nothing
    struck_s: float = STRUCK_S

    @property
    def unit(self) -> Unit:
        """The node as it serves now.

        Raises:
            LookupError: It does not, at the moment.
        """
        unit = self.swarm.units.get(self.node)
        if unit is None:
            raise LookupError(f"{self.node} does not serve")
        return unit

    @property
    def way(self) -> Way:
        assert self.proxy is not None
        return self.proxy

    async def probe(self) -> ProbeResult:
        """What somebody feels who goes the node's way to the broker, or the way to the venue."""
        return await self.ask(self.node, PROBE_S)


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of fault with its magnitude. The fields of a kind are its magnitude."""

    name: ClassVar[str]

    @property
    def kind(self) -> Kind:
        """What a plan knows of it."""
        return KINDS[self.name]

    async def inject(self, site: Site) -> None:
        """Put it in force.

        Raises:
            ChaosError: It may not be.
            LookupError: There is nobody there to strike.
            TimeoutError: It did not come about in time.
        """
        raise NotImplementedError

    async def in_force(self, site: Site) -> bool:
        """Whether it is seen to be in force."""
        raise NotImplementedError

    async def last(self, site: Site) -> None:
        """What it goes on doing while it is in force; cancelled then. Most do nothing."""

    async def undone(self, site: Site) -> str:
        """Why it was not in force any more just before it is healed, in words; empty if it was.

        Raises:
            ChaosError, LookupError, TimeoutError: It cannot be told.
        """
        raise NotImplementedError

    async def afterwards(self, site: Site, begun: int) -> Literal["struck", "spared", "unknown"]:
        """What is known, once it has ended, of a site where it was not seen in force at first.

        Args:
            begun: How many bytes the history had before it was put in force.

        Returns:
            ``struck`` if it struck there later; ``spared`` if it found nothing that it could strike.
        """
        return "unknown"

    async def heal(self, site: Site) -> None:
        """End it. Done again, it changes nothing.

        Raises:
            ChaosError: It may still be in force.
        """
        raise NotImplementedError

    async def healed(self, site: Site) -> bool:
        """Whether it is seen to have ended."""
        raise NotImplementedError


class WayFault(Fault, frozen=True, kw_only=True):
    """A fault of the node's proxy: in force for as long as nobody but us changes that."""

    async def undone(self, site: Site) -> str:
        return "; ".join(await site.way.differences())


class LinkFault(WayFault, frozen=True, kw_only=True):
    """A fault made of toxics on the node's way to the broker, or on the way to the venue."""

    def toxics(self) -> Sequence[Toxic]:
        raise NotImplementedError

    def is_felt(self, result: ProbeResult) -> bool:
        """Whether this is what a probe feels while it is in force."""
        raise NotImplementedError

    async def inject(self, site: Site) -> None:
        for toxic in self.toxics():
            await site.way.add(toxic)

    async def in_force(self, site: Site) -> bool:
        for _ in range(PROBES_MAX):
            if self.is_felt(await site.probe()):
                return True
        return False

    async def heal(self, site: Site) -> None:
        for toxic in self.toxics():
            await site.way.remove(toxic)

    async def healed(self, site: Site) -> bool:
        """No toxic is left, and the way answers; a slow way would answer with its toxics too."""
        return not (await site.way.state()).toxics and await answers(site)


async def answers(site: Site) -> bool:
    """Whether the other end of the way answers on it, within `HEALED_S`; it may itself be away."""
    deadline = asyncio.get_running_loop().time() + HEALED_S
    while (await site.probe()).outcome != "answered":
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True
