"""How many wait at each stage, as facts of the history: the broker's own word, look after look."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from squall.bus import log as bus_log
from squall.bus.connection import Connection
from squall.bus.errors import RequestError

if TYPE_CHECKING:
    from squall.services.node.history import History

LOOK_S = 0.5
"""Between two looks at all stages. Lower sees more of what was so for a short time, and asks more often."""


async def watch(connection: Connection, streams: Mapping[int, str], history: History) -> None:
    """Write down how many wait at which stage, whenever that has changed, until this is cancelled."""
    told: dict[int, int] = {}
    while True:
        for stage, stream in streams.items():
            try:
                waiting = int((await bus_log.state(connection, stream))["messages"])
            except RequestError:
                continue  # the broker is away, and nothing comes to wait until it is back
            if told.get(stage) != waiting:
                told[stage] = waiting
                history("waiting", "ok", stage=stage, waiting=waiting)
        await asyncio.sleep(LOOK_S)
