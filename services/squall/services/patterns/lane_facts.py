"""Who has which lanes, as facts of the history: what the broker's own configurations say, look after look."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from squall.bus.connection import Connection
from squall.bus.errors import RequestError
from squall.bus.lane_moves import look
from squall.bus.lanes import LaneQueue

if TYPE_CHECKING:
    from squall.services.node.history import History

LOOK_S = 0.2
"""Between two looks at all stages. Lower sees more of what was so for a short time, and asks more often."""


async def watch(connection: Connection, queues: Mapping[int, LaneQueue], history: History) -> None:
    """Write down who has which lanes of which stage, whenever that has changed, until this is cancelled."""
    told: dict[int, Mapping[str, str]] = {}
    while True:
        for stage, queue in queues.items():
            try:
                holders = await look(connection, queue)
            except RequestError:
                continue  # the broker is away, and consumers are as they are until it is back
            owners = {holder.name: " ".join(sorted(holder.lanes, key=int)) for holder in holders}
            if told.get(stage) != owners:
                told[stage] = owners
                history("owners", "ok", stage=stage, owners=owners)
        await asyncio.sleep(LOOK_S)
