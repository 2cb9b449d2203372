"""What the broker holds in the end, as facts of the history: what all patterns have of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from squall.bus import log as bus_log
from squall.bus.codec import decode
from squall.bus.errors import DecodeError, RequestError
from squall.bus.messages import TaskResult
from squall.bus.subjects import last_token
from squall.services.handlers import effect_id

if TYPE_CHECKING:
    from squall.services.node.history import History
    from squall.services.run.swarm import Swarm

T = TypeVar("T")

PATIENCE_S = 60.0
"""How long the broker may be away while it is read."""

LOOK_S = 0.25


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer: the broker may be on its way back.

    Raises:
        RequestError: There was none for a minute.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await ask()
        except RequestError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(LOOK_S)


async def state_of(swarm: Swarm, plane: str) -> dict[str, Any]:
    """What the broker says of a stream."""
    return await patiently(lambda: bus_log.state(swarm.observer, swarm.swarm.stream(plane)))


async def registers(swarm: Swarm, history: History) -> int:
    """Write every register into the history; how many there are."""
    subjects = swarm.swarm
    count = 0
    through = int((await state_of(swarm, "RES"))["last_seq"])
    reading = bus_log.read(swarm.observer, subjects.stream("RES"), subjects.registers, until=through)
    async with contextlib.aclosing(reading) as records:
        async for record in records:
            count += 1
            task = last_token(record.subject)
            try:
                result = decode(record.data, TaskResult)
            except DecodeError as error:
                history("final", "fail", what="register", subject=record.subject, reason=str(error))
                continue
            history(
                "final",
                "ok",
                what="register",
                task=task,  # whose register it is, its subject says
                key=result.key,
                job=result.job,
                status=result.status,
                effects=[effect_id(task, index) for index in range(len(result.effects))],
                attempt=result.attempt,
                term=result.term,
                agent=result.agent,
                reason=result.reason,
                time_s_stored=record.stored_s,
            )
    return count


async def dead_letters(swarm: Swarm, history: History) -> None:
    """Write which tasks have a dead letter into the history."""
    subjects = swarm.swarm
    through = int((await state_of(swarm, "DLQ"))["last_seq"])
    reading = bus_log.read(swarm.observer, subjects.stream("DLQ"), subjects.dead_letters, until=through)
    async with contextlib.aclosing(reading) as records:
        async for record in records:
            history("final", "ok", what="dead-letter", task=last_token(record.subject))
