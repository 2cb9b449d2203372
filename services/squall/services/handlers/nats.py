"""``nats:SUBJECT``: a responder on a broker of the user's own. A request of one JSON object, and its reply.

What these objects are is in `answers.py`. Each attempt has an inbox of its own, so a reply that is late or
comes twice is nobody else's, and need not name its task.

    attempt ──request──► a reply ──► the answer
                         a reply with Nats-Service-Error-Code ──► by its number, as a status of HTTP
                         nobody listens, no broker, not let in ──► not there: no attempt was made
                         no reply, or a lost connection ──► tried again: it may have happened
"""

from __future__ import annotations

import asyncio
from typing import Any

from squall.bus.ended import Ended
from squall.bus.errors import BusError
from squall.bus.messages import RunTask
from squall.services.errors import SpecError
from squall.services.handlers import answers
from squall.services.handlers.over_nats import Reaching, failed, health, subject_of, way_to
from squall.services.handlers.port import Form, Handling, Host, Loaded, told_of
from squall.services.handlers.statuses import refused_by_service

PREFIX = "nats:"


def load(handling: Handling, origin: Any) -> Loaded:
    """Whoever answers on a subject.

    Raises:
        SpecError: It is none, or it is not said where its broker is.
    """
    subject, way = subject_of(handling.name, PREFIX, "nats:prices.decide"), way_to(handling)
    return Loaded(open=lambda host: Responder(subject, handling, way(host), host))


class Responder:
    """Somebody who answers on a subject."""

    def __init__(self, subject: str, handling: Handling, reached: Reaching, host: Host) -> None:
        self._subject = subject
        self._form: Form = handling.answer
        self._reached = reached
        self._host = host
        self.health = ""

    async def run(self, task: RunTask, attempt: int) -> Ended:
        """One attempt, by one request."""
        timeout_s = self._host.timeout_s
        ended: Ended
        with told_of(self._host.running, task.task, attempt):
            try:
                async with asyncio.timeout(timeout_s):
                    ended = await self._ask(task, attempt)
            except (BusError, SpecError) as error:  # first: a lost connection is a time-out too
                ended = failed(error, self._subject, timeout_s)
            except TimeoutError:
                ended = answers.late(timeout_s)
        self.health = health(ended)
        return ended

    async def _ask(self, task: RunTask, attempt: int) -> Ended:
        connection = await self._reached.connection()
        asked = answers.request(task, attempt)
        reply = await connection.request(self._subject, asked, timeout_s=self._host.timeout_s)
        return refused_by_service(reply.headers, reply.data) or answers.of_one(
            reply.data, task.task, self._form
        )

    async def close(self) -> None:
        """Let go of its connection."""
        await self._reached.close()
