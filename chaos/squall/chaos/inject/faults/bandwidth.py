"""Bandwidth: so many bytes a second between a node and the broker, each way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from squall.chaos.inject.faults.fault import LinkFault
from squall.chaos.inject.probe import ProbeResult
from squall.chaos.inject.toxiproxy.toxics import Bandwidth as BandwidthToxic
from squall.chaos.inject.toxiproxy.toxics import Toxic

SHARE_FELT = 0.5
"""Of the time that what is heard must take at that rate."""


class Bandwidth(LinkFault, frozen=True, kw_only=True):
    """Attributes:
    rate_kb_per_s: Kilobytes a second in each direction; see `stall` for none.
    """

    name: ClassVar[str] = "bandwidth"
    rate_kb_per_s: Annotated[int, Meta(ge=1, le=1000)] = 20

    def toxics(self) -> Sequence[Toxic]:
        return (
            BandwidthToxic(stream="upstream", rate_kb_per_s=self.rate_kb_per_s),
            BandwidthToxic(stream="downstream", rate_kb_per_s=self.rate_kb_per_s),
        )

    def is_felt(self, result: ProbeResult) -> bool:
        if result.heard_s is None:
            return result.outcome == "silent"  # slower than the probe is patient
        return result.heard_s >= SHARE_FELT * result.bytes / (self.rate_kb_per_s * 1000)
