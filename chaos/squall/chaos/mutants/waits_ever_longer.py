"""A node whose pauses between two tries to connect grow without a bound, and so does an outage for it."""

from __future__ import annotations

from squall.bus import connection
from squall.bus.backoff import Backoff


class Growing(Backoff):
    """Its second argument, the cap, is of no use."""

    def __init__(self, base_s: float, cap_s: float, **how: object) -> None:
        super().__init__(base_s, 3600.0)


def install(node: str, role: str) -> None:
    connection.Backoff = Growing  # type: ignore[attr-defined]
