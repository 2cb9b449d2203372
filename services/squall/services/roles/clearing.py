"""Clears the ingress of what has ended, and writes a dead letter of each task that ended dead.

    IN ──► where each submission stands ─┐
    RES ─► what has ended ───────────────┴─► ended dead? a letter of it ─► DLQ
                                         └─► all before the first that has not ended goes

What a letter needs is still in the ingress: nothing is removed from it before its letter is written. Whoever
dies in between does it again, and the broker takes one letter of a task. It decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from msgspec.structs import replace

from squall.bus import log as bus_log
from squall.bus.border import printable
from squall.bus.codec import decode, encode
from squall.bus.errors import DecodeError, RequestError
from squall.bus.jetstream import EXPECT_NEW, WRONG_LAST_SEQUENCE, publish
from squall.bus.messages import DeadLetter, RunTask, TaskResult
from squall.bus.subjects import lane_for, last_token
from squall.services.node.service import Service
from squall.services.roles.pressed import Pressed

log = logging.getLogger("squall")

CLEAR_S = 0.2
"""How often room is made. Higher writes less, and lets the ingress be fuller than it need be."""

EARLY_MAX = 10_000
"""Registers that may be known before their submissions are, or long after they went. Of those that are
forgotten the oldest go first."""

STUCK_S = 2.0
"""How long the first submission may stand there before its register is asked for."""

LETTER_S = 5.0
"""How long one letter is tried; then it is its turn again."""


class _Submitted(NamedTuple):
    kind: str
    key: str
    task: str


class Clearing:
    """What stands in the ingress, and what of it has ended.

    Args:
        point: What has happened once the ingress is trimmed, of the role that clears it.
        has_room: Whether what comes next has room behind the ingress; nothing is removed while it has none.
    """

    def __init__(
        self,
        service: Service,
        *,
        point: str = "registrar.trimmed",
        has_room: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._service = service
        self._has_room = has_room
        self._point = point
        self._places: dict[int, _Submitted] = {}
        self._waiting: set[str] = set()
        self._ended: set[str] = set()
        self._early: OrderedDict[str, TaskResult | None] = OrderedDict()
        self._dead: dict[str, TaskResult] = {}
        self._trimmed = 0
        self._head = (0, 0.0)
        self._pressed = Pressed(service)

    async def hear_submissions(self) -> None:
        """Learn where each submission stands, for ever."""
        swarm = self._service.swarm
        reader = bus_log.read(self._service.connection, swarm.stream("IN"), swarm.ingress)
        async with contextlib.aclosing(reader) as records:
            async for record in records:
                submitted = _Submitted(*record.subject.split(".")[-3:])
                self._places[record.sequence] = submitted
                self._waiting.add(submitted.task)
                if submitted.task in self._early:
                    self._end(submitted.task, self._early.pop(submitted.task))

    async def hear_registers(self) -> None:
        """Learn what has ended, for ever."""
        swarm = self._service.swarm
        reader = bus_log.read(self._service.connection, swarm.stream("RES"), swarm.registers)
        async with contextlib.aclosing(reader) as records:
            async for record in records:
                task, dead = last_token(record.subject), _dead(record.subject, record.data)
                if task in self._waiting:
                    self._end(task, dead)
                    continue
                self._early[task] = dead
                if len(self._early) > EARLY_MAX:
                    self._early.popitem(last=False)

    def _end(self, task: str, dead: TaskResult | None) -> None:
        if task not in self._ended:
            self._ended.add(task)
            if dead is not None:
                self._dead[task] = dead

    async def keep_clear(self) -> None:
        """Write letters, and make room, for ever."""
        async with self._pressed.heard():
            while True:
                await asyncio.sleep(CLEAR_S)
                try:
                    if await self._clear():
                        await self._service.at(self._point)
                except RequestError as error:
                    log.info("the ingress is not cleared: %s", error)

    async def _clear(self) -> bool:
        """Write what letters there are to be, and trim; whether anything was removed.

        Raises:
            RequestError: It is not known whether all of it was done.
        """
        for place, submitted in [*self._places.items()] if self._dead else ():
            if (dead := self._dead.get(submitted.task)) is not None:
                await self._write_letter(place, submitted, dead)
                del self._dead[submitted.task]
        if self._pressed.is_behind:
            return False
        below = self._trimmed
        for place, submitted in tuple(self._places.items()):  # more are heard of meanwhile
            if submitted.task not in self._ended and not await self._is_found(place, submitted):
                break
            if submitted.task in self._dead:
                break
            below = place + 1
        if below <= self._trimmed or (self._has_room is not None and not await self._has_room()):
            return False
        await bus_log.trim(self._service.connection, self._service.swarm.stream("IN"), below=below)
        self._trimmed = below
        for place in [place for place in self._places if place < below]:
            task = self._places.pop(place).task
            self._waiting.discard(task)
            self._ended.discard(task)
        return True

    async def _is_found(self, place: int, submitted: _Submitted) -> bool:
        """Whether the first submission, if it has stood there for long, has a register that was not heard of.

        Raises:
            RequestError: No answer.
        """
        first, since_s = self._head
        if first != place:
            self._head = (place, time.monotonic())
            return False
        if time.monotonic() - since_s < STUCK_S:
            return False
        self._head = (place, time.monotonic())
        swarm = self._service.swarm
        subject = swarm.register(lane_for(submitted.key), submitted.task)
        record = await bus_log.last(self._service.connection, swarm.stream("RES"), subject)
        if record is not None:
            self._end(submitted.task, _dead(record.subject, record.data))
        return record is not None

    async def _write_letter(self, place: int, submitted: _Submitted, dead: TaskResult) -> None:
        """Write a task's letter, unless it has one.

        Raises:
            RequestError: It is not known whether it is there.
        """
        swarm, connection = self._service.swarm, self._service.connection
        stored = await bus_log.at(connection, swarm.stream("IN"), place)
        if stored is None:
            return  # trimmed before, so it had its letter
        letter = DeadLetter(
            task=_input(submitted, stored.data),
            reason=printable(dead.reason),
            attempt=dead.attempt,
            agent=dead.agent,
        )
        subject = swarm.dead_letter(submitted.kind, submitted.task)
        outcome = await publish(connection, subject, encode(letter), timeout_s=LETTER_S, headers=EXPECT_NEW)
        if not outcome.accepted and outcome.code != WRONG_LAST_SEQUENCE:
            raise RequestError(subject, f"the letter is not stored: {outcome.reason}")


def _dead(subject: str, data: bytes) -> TaskResult | None:
    """The register, if its task is dead by it: it says so, or nobody can read what it says."""
    task = last_token(subject)
    try:
        result = decode(data, TaskResult)
    except DecodeError as error:
        reason = printable(f"its register cannot be read: {error}")
        return TaskResult(
            task=task, key="none", job="none", lane="0", attempt=1, status="dead", reason=reason
        )
    return result if result.status == "dead" else None


def _input(submitted: _Submitted, data: bytes) -> RunTask:
    """The task as it was submitted; what cannot be read has its names, which the subject says."""
    try:
        task = decode(data, RunTask)
    except DecodeError:
        task = RunTask(task=submitted.task, key=submitted.key, job=submitted.kind)
    return replace(task, task=submitted.task, key=submitted.key, job=submitted.kind)
