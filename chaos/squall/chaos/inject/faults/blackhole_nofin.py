"""Blackhole without a FIN: bytes are dropped both ways, and so is a close; neither side is told anything.

What a cable pulled out does, or a virtual machine that vanishes. Healed by making the proxy anew, because
taking away the delayed close can make Toxiproxy panic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from squall.chaos.inject.faults.fault import LinkFault, Site
from squall.chaos.inject.probe import ProbeResult
from squall.chaos.inject.toxiproxy.toxics import SlowClose, Timeout, Toxic

HOUR_MS = 3_600_000


class BlackholeNoFin(LinkFault, frozen=True, kw_only=True):
    name: ClassVar[str] = "blackhole-nofin"

    def toxics(self) -> Sequence[Toxic]:
        return (
            Timeout(stream="upstream", timeout_ms=0),
            SlowClose(stream="upstream", delay_ms=HOUR_MS),
            Timeout(stream="downstream", timeout_ms=0),
            SlowClose(stream="downstream", delay_ms=HOUR_MS),
        )

    def is_felt(self, result: ProbeResult) -> bool:
        return result.outcome == "silent"

    async def heal(self, site: Site) -> None:
        await site.way.recreate()
