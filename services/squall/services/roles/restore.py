"""What a new leader reads before it acts: the snapshot, dispatches of open tasks, and all that came after.

snapshot ──► names open tasks by the places of their dispatches
               ├─ far back, and few: fetched one by one
               └─ the rest: read in one go, up to our own term record
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from squall.bus import log as bus_log
from squall.bus.codec import decode
from squall.bus.connection import Connection
from squall.bus.errors import RequestError
from squall.bus.jetstream import BATCH_MAX
from squall.bus.messages import CoordinatorState, RunTask
from squall.bus.subjects import Subjects
from squall.services.rules.dispatch import Progress, open_sequences, stragglers

T = TypeVar("T")

RETRY_S = 0.1


class Restored(NamedTuple):
    """What was found.

    Attributes:
        progress: The fold of all of it.
        state, state_sequence: The newest snapshot and its place; None and 0 if there is none.
    """

    progress: Progress
    state: CoordinatorState | None
    state_sequence: int


async def restore(connection: Connection, swarm: Subjects, *, through: int) -> Restored:
    """Fold the coordinator's log, however long the broker takes to answer.

    Args:
        through: Where to end: at the record of our own term.
    """
    stream = swarm.stream("JOB")
    stored = await patiently(functools.partial(bus_log.last, connection, stream, swarm.state))
    state = decode(stored.data, CoordinatorState) if stored is not None else None
    state_sequence = stored.sequence if stored is not None else 0
    progress = Progress(state)
    sequences = open_sequences(state) if state is not None else []
    far = stragglers(sequences, state_sequence)
    for sequence in sequences[:far]:
        record = await patiently(functools.partial(bus_log.at, connection, stream, sequence))
        if record is not None:  # else it was dispatched again since, and is read there
            progress.restore(decode(record.data, RunTask), sequence)
    near, fresh = set(sequences[far:]), set(state.fresh if state is not None else ())
    # The fresh ones are stored in the snapshot's own batch, and so at most a batch before it.
    begin = min([state_sequence - BATCH_MAX if fresh else state_sequence, *sequences[far : far + 1]])
    reading = bus_log.read(connection, stream, swarm.dispatches, after=max(0, begin - 1), until=through)
    async with contextlib.aclosing(reading) as dispatches:
        async for dispatch in dispatches:
            task = decode(dispatch.data, RunTask)
            if dispatch.sequence > state_sequence:
                progress.dispatch(task, dispatch.sequence)
            elif dispatch.sequence in near or task.task in fresh:
                progress.restore(task, dispatch.sequence)
    return Restored(progress, state, state_sequence)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer: the broker may be on its way back."""
    while True:
        try:
            return await ask()
        except RequestError:
            await asyncio.sleep(RETRY_S)
