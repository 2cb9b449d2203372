"""Slice: messages arrive in small pieces, with a pause between two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from squall.chaos.faults.fault import LinkFault
from squall.chaos.probe import Felt
from squall.chaos.toxics import Slicer, Toxic


class Slice(LinkFault, frozen=True, kw_only=True):
    """Attributes:
    slice_bytes: How large a piece is.
    delay_us: The pause between two pieces, in microseconds.
    """

    name: ClassVar[str] = "slice"
    slice_bytes: Annotated[int, Meta(ge=1, le=4096)] = 64
    delay_us: Annotated[int, Meta(ge=0, le=100_000)] = 200

    def toxics(self) -> Sequence[Toxic]:
        return (
            Slicer(stream="upstream", average_bytes=self.slice_bytes, delay_us=self.delay_us),
            Slicer(stream="downstream", average_bytes=self.slice_bytes, delay_us=self.delay_us),
        )

    def felt(self, felt: Felt) -> bool:
        pieces = felt.bytes // self.slice_bytes
        slow = felt.heard_s is not None and felt.heard_s * 1e6 >= 0.5 * pieces * self.delay_us
        return 0 < felt.first_bytes < felt.bytes or (pieces > 0 and self.delay_us > 0 and slow)
