"""Slow: every nth attempt at a stage takes longer, as what it depends on is slow. Logical."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from squall.chaos.inject.faults.logical import LogicalFault
from squall.services.node.interference import Interfere


class Slow(LogicalFault, frozen=True, kw_only=True):
    """Attributes:
    every: Which attempts: every nth.
    delay_ms: How much longer they take.
    """

    name: ClassVar[str] = "slow"
    every: Annotated[int, Meta(ge=1, le=1000)] = 2
    delay_ms: Annotated[int, Meta(ge=1, le=60_000)] = 300

    def asked(self) -> Interfere:
        return Interfere(kind="slow", every=self.every, delay_s=self.delay_ms / 1e3)
