"""What a new leader reads before it acts: the snapshot, dispatches of open tasks, and all that came after.

The snapshot names most open tasks by the places of their dispatches, which `bus/fenced.py` reads; those that
were stored together with it, by their ids.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

from squall.bus.codec import decode
from squall.bus.connection import Connection
from squall.bus.fenced import newest_snapshot, replay
from squall.bus.jetstream import BATCH_MAX
from squall.bus.messages import CoordinatorState, RunTask
from squall.bus.subjects import Subjects
from squall.services.rules.dispatch import Given, Progress, open_sequences


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
    await restore_given(
        connection,
        progress,
        seat.stream,
        swarm.dispatches,
        places=open_sequences(state.open) if state is not None else (),
        fresh=state.fresh if state is not None else (),
        after=state_sequence,
        through=through,
    )
    return Restored(progress, state, state_sequence)


async def restore_given(
    connection: Connection,
    given: Given,
    stream: str,
    subject: str,
    *,
    places: Sequence[int],
    fresh: Collection[str],
    after: int,
    through: int,
) -> None:
    """Fold the dispatches of a log.

    Args:
        subject: The pattern of their subjects.
        places: Where the snapshot says that those of open tasks are, ascending.
        fresh: The tasks that were given out in the snapshot's own batch.
        after: Where the snapshot is; 0 if there is none.
        through: Where to end.
    """
    named = {*places}
    # The fresh ones are stored in the snapshot's own batch, and so at most a batch before it.
    begin = max(0, after - (BATCH_MAX if fresh else 0))
    records = replay(connection, stream, subject, places=places, after=begin, through=through)
    async with contextlib.aclosing(records) as dispatches:
        async for dispatch in dispatches:
            task = decode(dispatch.data, RunTask)
            if dispatch.sequence > after:
                given.dispatch(task, dispatch.sequence)
            elif dispatch.sequence in named or task.task in fresh:
                given.restore(task, dispatch.sequence)
