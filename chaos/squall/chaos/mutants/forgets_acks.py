"""An agent that leaves out one acknowledgement in fifty: those tasks are run again for nothing."""

from __future__ import annotations

import itertools
from typing import Any

from squall.bus.connection import Connection

ONE_IN = 50


def install(node: str, role: str) -> None:
    if role != "agent":
        return
    request = Connection.request
    numbers = itertools.count(1)

    async def asked(self: Connection, subject: str, data: bytes, **more: Any) -> Any:
        if data == b"+ACK" and next(numbers) % ONE_IN == 0:
            return None
        return await request(self, subject, data, **more)

    Connection.request = asked  # type: ignore[method-assign]
