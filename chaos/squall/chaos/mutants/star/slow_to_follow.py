"""A standby that waits for six leases of silence where one is enough."""

from __future__ import annotations

from squall.bus.term import Patience

LEASES = 6


def install(node: str, role: str) -> None:
    begin = Patience.__init__

    def patient(self: Patience, lease_s: float) -> None:
        begin(self, LEASES * lease_s)

    Patience.__init__ = patient  # type: ignore[method-assign]
