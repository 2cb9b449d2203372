"""Jitter: every byte between a node and the broker is late by a time that varies."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from squall.chaos.inject.faults.fault import LinkFault, Site
from squall.chaos.inject.probe import ProbeResult
from squall.chaos.inject.toxiproxy.toxics import Latency, Toxic

PROBES = 9
MEDIAN_SHARE = 0.2
"""How late the median probe must be, of both means together: a busy machine delays some probes, not most.
With the defaults it is below that by chance once in a million times."""

SPREAD_SHARE = 0.2
"""How much the delays that probes feel must differ, in jitters; all nine within that is rarer still."""


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

    def is_felt(self, result: ProbeResult) -> bool:
        return result.heard_s is not None

    async def in_force(self, site: Site) -> bool:
        felt = [await site.probe() for _ in range(PROBES)]
        delays_ms = [
            (probe.heard_s + probe.answered_s) * 1e3
            for probe in felt
            if probe.heard_s is not None and probe.answered_s is not None
        ]
        if len(delays_ms) <= PROBES // 2:
            return False
        late = statistics.median(delays_ms) >= MEDIAN_SHARE * 2 * self.latency_ms
        return late and max(delays_ms) - min(delays_ms) >= SPREAD_SHARE * self.jitter_ms
