"""Sever: every byte is late, and then the connection ends with what was still on its way.

What was sent and not yet delivered is gone for good, and nobody is told: the sender has sent it. Where this
strikes as the load ends, nothing comes after it that could show the gap.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from squall.chaos.inject.faults.fault import Site
from squall.chaos.inject.faults.latency import Latency


class Sever(Latency, frozen=True, kw_only=True):
    """Attributes:
    latency_ms: What is added in each direction, and so how much is lost in the end.
    """

    name: ClassVar[str] = "sever"
    latency_ms: Annotated[int, Meta(ge=1, le=900)] = 250

    async def heal(self, site: Site) -> None:
        """End its connections by making the proxy anew; where it was healed, they are left alone."""
        if (await site.way.state()).toxics:
            await site.way.recreate()
