"""Slice: messages arrive in small pieces, with a pause between two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from squall.chaos.inject.faults.fault import LinkFault, Site
from squall.chaos.inject.probe import ProbeResult
from squall.chaos.inject.toxiproxy.toxics import Slicer, Toxic

PROBES = 5
"""A busy machine may put pieces together again before they are looked at."""


class Slice(LinkFault, frozen=True, kw_only=True):
    """Attributes:
    slice_bytes: How large a piece is. What is cut by a probe has about 600 bytes at a broker, and 120 at a
        venue, where larger pieces are not seen in force.
    delay_us: The pause between two pieces, in microseconds.
    """

    name: ClassVar[str] = "slice"
    slice_bytes: Annotated[int, Meta(ge=1, le=300)] = 60
    delay_us: Annotated[int, Meta(ge=0, le=100_000)] = 1000

    def toxics(self) -> Sequence[Toxic]:
        return (
            Slicer(stream="upstream", average_bytes=self.slice_bytes, delay_us=self.delay_us),
            Slicer(stream="downstream", average_bytes=self.slice_bytes, delay_us=self.delay_us),
        )

    def is_felt(self, result: ProbeResult) -> bool:
        return result.torn

    async def in_force(self, site: Site) -> bool:
        for _ in range(PROBES):
            if self.is_felt(await site.probe()):
                return True
        return False
