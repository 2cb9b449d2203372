"""A standby that takes over from a leader which is well, after a tenth of the lease."""

from __future__ import annotations

from squall.bus.term import Patience

SHARE = 0.1


def install(node: str, role: str) -> None:
    begin = Patience.__init__

    def impatient(self: Patience, lease_s: float) -> None:
        begin(self, SHARE * lease_s)

    Patience.__init__ = impatient  # type: ignore[method-assign]
