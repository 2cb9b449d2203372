"""A node that does not move over to fresh credentials: it is gone when its first expire."""

from __future__ import annotations

from squall.bus.connection import Connection
from squall.bus.identity import Credentials


def install(node: str, role: str) -> None:
    def renew(self: Connection, credentials: Credentials) -> None:
        """They are left where they are."""

    Connection.renew = renew  # type: ignore[method-assign]
