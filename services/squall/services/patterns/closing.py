"""Closing a row of stages: what the last stage does not end goes round again, in at most so many laps.

closed = true, laps_max = 3 ─► what one lap has to do with the next: see `squall.bus.stages`
             └─► checked before anything is started
             └─► in the end: what the broker has on record of each lap ─► history
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from squall.bus import log as bus_log
from squall.bus.stages import AGAIN, Stages
from squall.bus.subjects import lap_of, last_token
from squall.services.errors import SpecError
from squall.services.handlers.outcome import NO_WAY_ROUND
from squall.services.patterns import reading

if TYPE_CHECKING:
    from squall.services.node.history import History
    from squall.services.run.swarm import Swarm

ONLY_LAST = "only the last stage has a task go round"


class Closable(Protocol):
    """Of a spec, what says whether they are closed."""

    @property
    def stages(self) -> tuple[str, ...]: ...
    @property
    def closed(self) -> bool: ...
    @property
    def laps_max(self) -> int: ...
    @property
    def is_sequenced(self) -> bool: ...


def laps(spec: Closable) -> int:
    """How many laps a task may make; 0 where the row is open."""
    return spec.laps_max if spec.closed else 0


def check(spec: Closable) -> None:
    """See that a row that is closed can be.

    Raises:
        SpecError: It cannot.
    """
    if not spec.closed and spec.laps_max != 1:
        raise SpecError(
            f"laps_max = {spec.laps_max} in stages that are not closed, where each task makes one lap",
            "add closed = true, or leave laps_max out",
        )
    if spec.closed and len(spec.stages) < 2:
        raise SpecError("one stage alone cannot be closed", "give two stages, or leave closed out")
    if spec.closed and spec.is_sequenced:
        raise SpecError(
            "orders of a sequenced workload follow each other, and what goes round again is overtaken",
            'leave closed out, or use workload = "independent"',
        )


def why_not_again(spec: Closable, stage: int) -> str:
    """Why no task can go round again from a stage; empty if one can."""
    if not spec.closed:
        return f"{NO_WAY_ROUND}, and these are not"
    return "" if stage == len(spec.stages) else ONLY_LAST


async def read_back(swarm: Swarm, chain: Stages, history: History) -> None:
    """Write into the history what the broker has on record of tasks that went round, lap by lap."""
    if not chain.laps:
        return
    done = chain.done(chain.count)
    through = int((await reading.state_of(swarm, done))["last_seq"])
    stream, again = swarm.swarm.stream(done), chain.last(AGAIN)
    records = bus_log.read(swarm.observer, stream, again, until=through)
    async with contextlib.aclosing(records):
        async for record in records:
            # In which lap of which task it was written, its subject says.
            task, lap = last_token(record.subject), lap_of(record.subject)
            history("final", "ok", what="round", task=task, lap=lap, time_s_stored=record.stored_s)
