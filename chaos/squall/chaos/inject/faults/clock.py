"""Clock: the wall clock of a node is off, or jumps. Logical: the machine's own clock stays right."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from squall.chaos.inject.faults.logical import LogicalFault
from squall.services.node.interference import Interfere


class ClockOff(LogicalFault, frozen=True, kw_only=True):
    """Attributes:
    offset_s: How far, ahead or behind.
    """

    name: ClassVar[str] = "clock-off"
    offset_s: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] = 3600

    def __post_init__(self) -> None:
        _require_some("offset_s", self.offset_s)

    def asked(self) -> Interfere:
        return Interfere(kind="clock", offset_s=self.offset_s)


class ClockJump(LogicalFault, frozen=True, kw_only=True):
    """Attributes:
    jump_s: How far it jumps, there and back.
    period_ms: After how long it jumps again.
    """

    name: ClassVar[str] = "clock-jump"
    jump_s: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] = -600
    period_ms: Annotated[int, Meta(ge=50, le=60_000)] = 300

    def __post_init__(self) -> None:
        _require_some("jump_s", self.jump_s)

    def asked(self) -> Interfere:
        return Interfere(kind="clock", offset_s=self.jump_s, period_s=self.period_ms / 1e3)


def _require_some(magnitude: str, seconds: int) -> None:
    """A clock that is off by nothing would be seen in force, and is no fault."""
    if seconds == 0:
        raise ValueError(f"{magnitude} of 0 leaves the clock right")
