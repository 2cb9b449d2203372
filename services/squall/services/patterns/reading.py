"""What the broker holds in the end, as facts of the history: what all patterns have of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from zlib import crc32

from squall.bus import log as bus_log
from squall.bus.codec import decode
from squall.bus.errors import DecodeError, RejectedError, RequestError
from squall.bus.jetstream import CONSUMER_NOT_FOUND, call
from squall.bus.messages import DeadLetter, TaskResult
from squall.bus.subjects import last_token
from squall.services.handlers import effect_id

if TYPE_CHECKING:
    from squall.services.node.history import History
    from squall.services.patterns.pattern import Consumer
    from squall.services.run.swarm import Swarm

T = TypeVar("T")

PATIENCE_S = 60.0
"""How long the broker may be away while it is read."""

LETTERS_S = 5.0
"""How long dead letters are waited for, which a leader wrote before its job was done, or never."""

LOOK_S = 0.25

LEFT_ACK_WAITS = 3
LEFT_S = 10.0
"""After everything has ended: how many ack waits what was lost on its way may take to come again, and how
long a handler may take with it once more."""


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


class Counted(NamedTuple):
    """How many registers there are, and how many of them tell that their task is dead, or cannot be read."""

    all: int
    dead: int


async def registers(swarm: Swarm, history: History) -> int:
    """Write every register into the history; how many there are."""
    return (await ended(swarm, history)).all


async def ended(swarm: Swarm, history: History) -> Counted:
    """Write every register into the history, and count them."""
    subjects = swarm.swarm
    count = dead = 0
    through = int((await state_of(swarm, "RES"))["last_seq"])
    reading = bus_log.read(swarm.observer, subjects.stream("RES"), subjects.registers, until=through)
    async with contextlib.aclosing(reading) as records:
        async for record in records:
            count += 1
            task = last_token(record.subject)
            try:
                result = decode(record.data, TaskResult)
            except DecodeError as error:
                dead += 1
                history("final", "fail", what="register", subject=record.subject, reason=str(error))
                continue
            dead += result.status == "dead"
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
    return Counted(count, dead)


async def submissions(swarm: Swarm, history: History) -> None:
    """Write into the history how many records the broker took into the ingress, ends of jobs among them."""
    history("final", "ok", what="ingress", stored=int((await state_of(swarm, "IN"))["last_seq"]))


async def settled(swarm: Swarm, plane: str) -> dict[str, Any]:
    """The state of a queue once nothing is left in it; or as it is, if that takes too long.

    An acknowledgement may have been lost, and what it was of comes again.
    """
    deadline = time.monotonic() + LEFT_ACK_WAITS * swarm.spec.ack_wait_s + LEFT_S
    while (state := await state_of(swarm, plane))["messages"] and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_S)
    return state


async def queue(swarm: Swarm, history: History, *, dispatched: int) -> None:
    """Write what came to the work queue into the history, beside what was to come, and what is left there."""
    work = await state_of(swarm, "WK")
    facts = {"dispatched": dispatched, "arrivals": work["last_seq"], "left": work["messages"]}
    history("final", "ok", what="queue", **facts)


async def consumers(swarm: Swarm, history: History, *, patience_s: float) -> None:
    """Write into the history what each consumer has not delivered, and what was not acknowledged.

    Args:
        patience_s: How long to look until nothing is left: an acknowledgement may have been lost, and what it
            was of comes again.
    """
    for consumer in swarm.pattern.consumers(swarm.spec, swarm.topology):
        deadline = time.monotonic() + patience_s
        while (left := await patiently(partial(_left_of, swarm, consumer))) and any(left.values()):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(LOOK_S)
        where = {"stream": consumer.stream, "consumer": consumer.name}
        history("final", "fail" if left is None else "ok", what="consumer", **where, **(left or {}))


async def places(swarm: Swarm, history: History, *, patience_s: float) -> None:
    """Write into the history how many records are left where none should be.

    Args:
        patience_s: How long to look until none is: a leader removes them when it comes to it.
    """
    for place in swarm.pattern.emptied(swarm.swarm):
        deadline = time.monotonic() + patience_s
        while messages := await patiently(partial(bus_log.messages, swarm.observer, *place)):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(LOOK_S)
        history("final", "ok", what="place", messages=messages, **place._asdict())


async def left(swarm: Swarm) -> int:
    """How many records wait in all consumers, or are held and not acknowledged.

    Raises:
        RequestError: The broker did not answer for a minute.
    """
    consumers = swarm.pattern.consumers(swarm.spec, swarm.topology)
    found = [await patiently(partial(_left_of, swarm, consumer)) for consumer in consumers]
    return sum(sum(at.values()) for at in found if at is not None)


async def _left_of(swarm: Swarm, consumer: Consumer) -> dict[str, int] | None:
    """What a consumer has left; None if there is no such consumer."""
    try:
        at = await call(swarm.observer, "CONSUMER", "INFO", consumer.stream, consumer.name)
    except RejectedError as error:
        if error.code == CONSUMER_NOT_FOUND:
            return None
        raise
    return {"pending": at["num_pending"], "held": at["num_ack_pending"]}


async def dead_letters(swarm: Swarm, history: History, dead: int) -> None:
    """Write into the history which tasks have a dead letter, and what it says: enough to try them again.

    Args:
        dead: How many there should be; so many are waited for, as the broker copies them when it comes to it.
    """
    subjects = swarm.swarm
    deadline = time.monotonic() + LETTERS_S
    while (through := int((await state_of(swarm, "DLQ"))["last_seq"])) < dead and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_S)
    reading = bus_log.read(swarm.observer, subjects.stream("DLQ"), subjects.dead_letters, until=through)
    async with contextlib.aclosing(reading) as records:
        async for record in records:
            task = last_token(record.subject)
            try:
                letter = decode(record.data, DeadLetter)
            except DecodeError as error:
                history("final", "fail", what="dead-letter", task=task, of="", reason=str(error))
                continue
            history(
                "final",
                "ok",
                what="dead-letter",
                task=task,
                of=letter.task.task,
                input=crc32(letter.task.body),
                attempt=letter.attempt,
                agent=letter.agent,
                reason=letter.reason,
            )
