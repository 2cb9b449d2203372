"""Where tasks are set aside that wait at a stage that is left alone, one too many: a stream of its own.

    the oldest of a stage ─► copied here ─► its register, which says so ─► it is taken out of what waits

Who sets aside may die in between, or an instance may end the task first. So a copy counts only where the
task's register says that it was diverted, at that stage; any other is of no use, and harms nobody.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from squall.bus import log as bus_log
from squall.bus.codec import HEADER_BYTES_MAX, MESSAGE_BYTES_MAX
from squall.bus.errors import DecodeError
from squall.bus.stages import DIVERTED, Stages, diverted_from
from squall.bus.subjects import last_token
from squall.services.patterns.parts import DUPLICATE_WINDOW_S

if TYPE_CHECKING:
    from squall.services.node.history import History
    from squall.services.run.swarm import Swarm


def stream(stages: Stages, *, bytes_max: int) -> dict[str, Any]:
    """The stream of what is set aside; one that is full refuses, so that nothing in it is lost.

    Args:
        bytes_max: What it may hold.
    """
    return {
        "name": stages.swarm.stream(DIVERTED),
        "description": "what was set aside; a copy counts where the register of its task says diverted",
        "subjects": [stages.diverted()],
        "retention": "limits",
        "discard": "new",
        "max_bytes": bytes_max,
        "max_msg_size": MESSAGE_BYTES_MAX + HEADER_BYTES_MAX,
        "duplicate_window": DUPLICATE_WINDOW_S * 10**9,
        "storage": "file",
        "num_replicas": 1,
        "deny_delete": True,
        "deny_purge": True,
    }


async def read_back(swarm: Swarm, stages: Stages, history: History) -> None:
    """Write into the history which tasks are set aside, from which stage, and of which task each copy is."""
    plane = swarm.swarm.stream(DIVERTED)
    through = int((await bus_log.state(swarm.observer, plane))["last_seq"])
    reading = bus_log.read(swarm.observer, plane, stages.diverted(), until=through)
    async with contextlib.aclosing(reading) as records:
        async for record in records:
            stage = diverted_from(record.subject)
            try:
                of = stages.queue(stage, "").read(record.data)[0].task
            except DecodeError:
                of = ""
            history("final", "ok", what="diverted", task=last_token(record.subject), stage=stage, of=of)
