"""Jitter: every byte between a node and the broker is late by a time that varies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from squall.chaos.faults.fault import LinkFault, Site
from squall.chaos.probe import Felt
from squall.chaos.toxics import Latency, Toxic

PROBES = 5
SPREAD_SHARE = 0.05
"""How much the delays that probes feel must differ, in jitters; all five within that is one chance in 10⁵."""


class Jitter(LinkFault, frozen=True, kw_only=True):
    """Attributes:
    latency_ms: The mean of what is added in each direction.
    jitter_ms: How far from the mean it may be.
    """

    name: ClassVar[str] = "jitter"
    latency_ms: Annotated[int, Meta(ge=1, le=450)] = 60
    jitter_ms: Annotated[int, Meta(ge=20, le=450)] = 60

    def toxics(self) -> Sequence[Toxic]:
        return (
            Latency(stream="upstream", latency_ms=self.latency_ms, jitter_ms=self.jitter_ms),
            Latency(stream="downstream", latency_ms=self.latency_ms, jitter_ms=self.jitter_ms),
        )

    def felt(self, felt: Felt) -> bool:
        return felt.heard_s is not None

    async def in_force(self, site: Site) -> bool:
        delays = [(await site.probe()).heard_s for _ in range(PROBES)]
        heard_ms = [delay * 1e3 for delay in delays if delay is not None]
        return len(heard_ms) == PROBES and max(heard_ms) - min(heard_ms) >= SPREAD_SHARE * self.jitter_ms
