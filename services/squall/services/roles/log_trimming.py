"""Keeps the log of votes from filling: removes what stands of tasks that are over, alike for all who count.

    part full ─► mark: where the oldest task that has not ended stands; how far queue and registers have come
                     │ both carried out so far
                     ▼
              a record that all before that place is over ─► the broker removes it, but for the epochs

The record is one of the log, so whoever counts forgets the same tasks at the same place, however far it lags.
Whoever dies in between leaves some that is removed with the next.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from squall.bus import log as bus_log
from squall.bus.codec import encode
from squall.bus.errors import RequestError
from squall.bus.jetstream import call, publish
from squall.bus.subjects import ANY, GATEWAY, last_token
from squall.bus.vote_messages import Trim
from squall.bus.vote_subjects import VoteSubjects
from squall.services.node.service import Service
from squall.services.rules.log_room import has_room

log = logging.getLogger("squall")

LOOK_S = 2.0
"""How often it is looked how full the log is."""

FULL = 0.4
"""Which share of its bound the log may have before it is trimmed. Higher keeps more for whoever wants to
count it again; lower leaves more room for a time in which nothing ends."""

WRITE_S = 5.0


class Mark(NamedTuple):
    """What was so at one moment.

    Attributes:
        below: All tasks that stand before this place of the log have ended.
        queued: The last place of the queue.
        registered: The last place of the registers.
    """

    below: int
    queued: int
    registered: int

    def is_over(self, queue_first: int, delivered: int) -> bool:
        """Whether nobody needs the tasks before it any more.

        Args:
            queue_first: The first place that is still in the queue.
            delivered: Up to where the gateway has carried out registers.
        """
        return queue_first > self.queued and delivered >= self.registered


class LogTrimming:
    """How far the log may be trimmed."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._subjects = VoteSubjects(service.swarm)
        self._mark: Mark | None = None
        self._below = 0

    async def keep_trimmed(self) -> None:
        """Trim, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except RequestError as error:
                log.info("the log is not trimmed: %s", error)

    async def has_room(self) -> bool:
        """Whether the log has room for another ingress full of tasks.

        Raises:
            RequestError: No answer.
        """
        return has_room(await bus_log.fullness(self._service.connection, self._subjects.stream))

    async def _look(self) -> None:
        """Trim up to the mark, if what it waits for has come; make one, if there is none.

        Raises:
            RequestError: It is not known whether it was done.
        """
        connection, swarm = self._service.connection, self._service.swarm
        if self._mark is None:
            if await bus_log.fullness(connection, self._subjects.stream) < FULL:
                return
            self._mark = await self._marked()
        queue = await bus_log.state(connection, swarm.stream("WK"))
        gateway = await call(connection, "CONSUMER", "INFO", swarm.stream("RES"), GATEWAY)
        mark = self._mark
        if mark.is_over(int(queue["first_seq"]), int(gateway["ack_floor"]["stream_seq"])):
            await self._trim(mark.below)
            self._mark = None

    async def _marked(self) -> Mark:
        """How far all have come now.

        Raises:
            RequestError: No answer.
        """
        connection, swarm = self._service.connection, self._service.swarm
        below = int((await bus_log.state(connection, self._subjects.stream))["last_seq"]) + 1
        ingress = await bus_log.state(connection, swarm.stream("IN"))
        if ingress["messages"]:
            oldest = await bus_log.at(connection, swarm.stream("IN"), int(ingress["first_seq"]))
            task = last_token(oldest.subject) if oldest is not None else ANY
            stands = await bus_log.last(connection, self._subjects.stream, self._subjects.task(ANY, task))
            # One that is not there yet, or was removed meanwhile: nothing is known, and it is asked again.
            below = min(below, stands.sequence) if oldest is not None and stands is not None else 0
        queue = await bus_log.state(connection, swarm.stream("WK"))
        registers = await bus_log.state(connection, swarm.stream("RES"))
        return Mark(below, int(queue["last_seq"]), int(registers["last_seq"]))

    async def _trim(self, below: int) -> None:
        """Say what is over, and remove it.

        Raises:
            RequestError: It is not known whether it was done.
        """
        if below <= self._below:
            return
        connection, subjects = self._service.connection, self._subjects
        outcome = await publish(connection, subjects.trimmed, encode(Trim(below=below)), timeout_s=WRITE_S)
        if not outcome.accepted:
            raise RequestError(subjects.trimmed, f"it is not stored: {outcome.reason}")
        self._below = below
        for subject in subjects.removable:
            await bus_log.trim(connection, subjects.stream, below=below, subject=subject)
        self._service.history("trim", "ok", below=below)
