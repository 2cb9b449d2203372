"""What a new leader reads before it acts: the snapshot, dispatches of open tasks, and all that came after.

The snapshot names most open tasks by the places of their dispatches, which `bus/fenced.py` reads; those that
were stored together with it, by their ids.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from squall.bus.codec import decode
from squall.bus.connection import Connection
from squall.bus.fenced import newest_snapshot, replay
from squall.bus.jetstream import BATCH_MAX
from squall.bus.messages import CoordinatorState, RunTask
from squall.bus.subjects import Subjects
from squall.services.rules.dispatch import Progress, open_sequences


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
    seat = swarm.coordinator_seat
    stored = await newest_snapshot(connection, seat)
    state = decode(stored.data, CoordinatorState) if stored is not None else None
    state_sequence = stored.sequence if stored is not None else 0
    progress = Progress(state)
    places = open_sequences(state) if state is not None else []
    named, fresh = set(places), set(state.fresh if state is not None else ())
    # The fresh ones are stored in the snapshot's own batch, and so at most a batch before it.
    after = max(0, state_sequence - (BATCH_MAX if fresh else 0))
    records = replay(connection, seat.stream, swarm.dispatches, places=places, after=after, through=through)
    async with contextlib.aclosing(records) as dispatches:
        async for dispatch in dispatches:
            task = decode(dispatch.data, RunTask)
            if dispatch.sequence > state_sequence:
                progress.dispatch(task, dispatch.sequence)
            elif dispatch.sequence in named or task.task in fresh:
                progress.restore(task, dispatch.sequence)
    return Restored(progress, state, state_sequence)
