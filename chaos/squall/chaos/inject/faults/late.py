"""Late: every nth delivery to a node is handled late, the others go on. Logical."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from squall.chaos.inject.faults.logical import LogicalFault
from squall.services.node.interference import Interfere


class Late(LogicalFault, frozen=True, kw_only=True):
    """Attributes:
    every: Which deliveries: every nth.
    delay_ms: How late.
    """

    name: ClassVar[str] = "late"
    every: Annotated[int, Meta(ge=1, le=1000)] = 5
    delay_ms: Annotated[int, Meta(ge=1, le=10_000)] = 400

    def asked(self) -> Interfere:
        return Interfere(kind="late", every=self.every, delay_s=self.delay_ms / 1e3)
