"""Latency: every byte between a node and the broker is late by a fixed time, each way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from squall.chaos.inject.faults.fault import LinkFault, Site
from squall.chaos.inject.probe import ProbeResult
from squall.chaos.inject.toxiproxy.toxics import Latency as LatencyToxic
from squall.chaos.inject.toxiproxy.toxics import Toxic

SHARE_FELT = 0.8
"""Of the latency asked for; timers may be a little early."""

PROBES = 2
"""How many must all feel it: a busy machine delays one, and seldom the next."""

TRIES_MAX = 5
"""How many probes are sent for that; one that heard nothing in time tells nothing."""


class Latency(LinkFault, frozen=True, kw_only=True):
    """Attributes:
    latency_ms: What is added in each direction.
    """

    name: ClassVar[str] = "latency"
    latency_ms: Annotated[int, Meta(ge=1, le=900)] = 100

    def toxics(self) -> Sequence[Toxic]:
        return (
            LatencyToxic(stream="upstream", latency_ms=self.latency_ms),
            LatencyToxic(stream="downstream", latency_ms=self.latency_ms),
        )

    def is_felt(self, result: ProbeResult) -> bool:
        return result.heard_s is not None and result.heard_s * 1e3 >= SHARE_FELT * self.latency_ms

    async def in_force(self, site: Site) -> bool:
        heard = 0
        for _ in range(TRIES_MAX):
            probe = await site.probe()
            if probe.heard_s is None:
                continue
            if not self.is_felt(probe):
                return False
            heard += 1
            if heard == PROBES:
                return True
        return False
