"""The default workload in closed stages: some tasks are looked at more than once, and all come to one order.

    ingest ──► signal ──► risk ──► order ──► one effect
       ▲                             │
       └──── to be looked at again ──┘

Of a key every second task makes two laps, every fourth three, every eighth four, and so on. Each lap computes
all of it anew from what came in, so the order is that of the default handler, however many laps it took. One
of eight tasks passes a bound of three laps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from squall.services.handlers import Result, Task
from squall.services.trading import pipeline

STAGES = tuple(f"{__name__}:{stage}" for stage in ("ingest", "signal", "risk", "order"))
"""The handlers of the four stages, by name."""


class Look(msgspec.Struct, frozen=True, kw_only=True, tag="look"):
    """What goes from stage to stage, and round.

    Attributes:
        given: What came in.
        value: What the stage before returned.
        lap: Which lap this is, by what goes round itself, from 1. The swarm counts laps by its own names.
    """

    given: bytes
    value: bytes
    lap: int


_encode = msgspec.msgpack.Encoder().encode
_looks = msgspec.msgpack.Decoder(Look)


def laps_of(number: int) -> int:
    """How many laps the task with this number within its key is to make, at least 1."""
    return max(1, (number & -number).bit_length())


async def ingest(task: Task) -> Result:
    """Begin a lap: the first one with what came in, another one with the same."""
    try:
        before = _looks.decode(task.body)
    except msgspec.DecodeError:
        before = Look(given=task.body, value=b"", lap=0)
    look = Look(given=before.given, value=before.given, lap=before.lap + 1)
    return await _passed(pipeline.ingest, task, look)


async def signal(task: Task) -> Result:
    """Ask the account's strategy."""
    return await _passed(pipeline.signal, task, _looks.decode(task.body))


async def risk(task: Task) -> Result:
    """See how much of it may be ordered."""
    return await _passed(pipeline.risk, task, _looks.decode(task.body))


async def order(task: Task) -> Result:
    """The one order of a task in its last lap; before that it goes round again."""
    look = _looks.decode(task.body)
    if look.lap < laps_of(task.number):
        return Result(value=task.body, again=True)
    return await pipeline.order(msgspec.structs.replace(task, body=look.value))


async def _passed(stage: Callable[[Task], Awaitable[Result]], task: Task, look: Look) -> Result:
    """What a stage of the pipeline makes of a look."""
    made = await stage(msgspec.structs.replace(task, body=look.value))
    return Result(value=_encode(msgspec.structs.replace(look, value=made.value)))
