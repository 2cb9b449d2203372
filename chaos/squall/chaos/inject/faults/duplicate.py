"""Duplicate: every nth delivery to a node is handled twice. Logical."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from squall.chaos.inject.faults.logical import LogicalFault
from squall.services.node.interference import Interfere


class Duplicate(LogicalFault, frozen=True, kw_only=True):
    """Attributes:
    every: Which deliveries: every nth.
    """

    name: ClassVar[str] = "duplicate"
    every: Annotated[int, Meta(ge=1, le=1000)] = 5

    def asked(self) -> Interfere:
        return Interfere(kind="duplicate", every=self.every)
