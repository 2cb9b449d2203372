"""``http://…`` and ``https://…``: a service as a handler. POST of one JSON object, answered by one.

What these objects are is in `answers.py`.

    attempt ──POST──► 2xx  ──► the answer; 204 is none, which is no effect
                      3xx  ──► the task is dead: nobody is followed elsewhere
                      4xx  ──► the task is dead; but 408, 425 and 429 are tried again, after what they ask for
                      5xx  ──► tried again, after what it asks for
                      refused, no such host ──► not there: no attempt was made
                      no answer, or a part of one ──► tried again: it may have happened

Each request has the task's id as ``Idempotency-Key``, the same in every attempt.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx

from squall.bus.border import printable
from squall.bus.ended import Done, Ended, NotThere
from squall.bus.messages import RunTask
from squall.services.errors import SpecError
from squall.services.handlers import answers
from squall.services.handlers.mistakes import Mistake
from squall.services.handlers.port import Form, Handling, Host, Loaded, told_of
from squall.services.handlers.statuses import refused, retry_after_s
from squall.services.users_service import body_of, client, hidden, why_no_url

CONNECT_S = 5.0
"""How long a connection may take to be made; then nobody is there."""

REASON_BYTES_MAX = 4096
"""Of the body of an answer that is no success, as much is read."""


def load(handling: Handling, origin: Any) -> Loaded:
    """A service at a URL, with the headers that it is to be sent.

    Raises:
        SpecError: It is no such URL, or one of the variables that hold headers is not set.
    """
    url = _url(handling.name)
    headers = {header: variable(name, header) for header, name in handling.headers.items()}
    try:
        httpx.Headers(headers)
    except (ValueError, UnicodeEncodeError) as error:
        raise SpecError("a header of the handler cannot be sent", "see [handler.headers]") from error
    return Loaded(open=lambda host: Service(url, headers, host, handling.answer))


def _url(handler: str) -> str:
    if handler.startswith(("http:http://", "http:https://")):  # the kind, and then the URL
        handler = handler.removeprefix("http:")
    named = printable(handler, 100)
    try:
        parts = urlsplit(handler)
        port = parts.port
    except ValueError as error:
        raise SpecError(
            f"the handler {named} is no URL", "for instance http://127.0.0.1:8080/decide"
        ) from error
    if parts.username or parts.password:
        raise SpecError(
            "credentials do not belong in a URL, which is logged",
            "name the variable that holds them: [handler.headers] Authorization = 'AGENT_TOKEN'",
        )
    if not parts.hostname or port == 0 or parts.fragment or why_no_url(handler):
        raise SpecError(f"the handler {named} is no URL", "for instance http://127.0.0.1:8080/decide")
    return handler


def variable(name: str, header: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise SpecError(
            f"the header {printable(header, 60)} is to come from the variable {name}, which is not set",
            f"set {name}, or leave the header out",
        )
    if not value.isprintable() or not value.isascii() or value != value.strip():
        raise SpecError(
            f"what the variable {name} holds can be no header", "it has no line ends and is ASCII"
        )
    return value


class _OutOfStepError(Exception):
    """An answer was to another question."""


@dataclasses.dataclass(eq=False)
class _Way:
    """Connections to a service, and how many attempts use them."""

    client: httpx.AsyncClient
    users: int = 0


class Service:
    """A service that is asked, by no more connections than attempts at a time."""

    def __init__(self, url: str, headers: Mapping[str, str], host: Host, form: Form) -> None:
        self._url = url
        self._form: Form = form
        self._host = host
        self._secrets = [*headers.values()]
        self._headers = {"Accept": "application/json", **headers}
        self._way = self._new_way()
        self.health = ""

    def _new_way(self) -> _Way:
        slots, timeout_s = self._host.slots, self._host.timeout_s
        timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
        return _Way(client(self._url, self._headers, connections=slots, timeout=timeout))

    async def run(self, task: RunTask, attempt: int) -> Ended:
        """One attempt, by one request."""
        ended: Ended
        way = self._way
        way.users += 1
        try:
            with told_of(self._host.running, task.task, attempt):
                async with asyncio.timeout(self._host.timeout_s):
                    ended = await self._ask(way.client, task, attempt)
        except TimeoutError:
            ended = answers.late(self._host.timeout_s)
        except _OutOfStepError as error:
            # What else its connections still carry would be taken for the answers to what is asked next.
            if self._way is way:
                self._way = self._new_way()
            ended = answers.mistake("broke", str(error))
        finally:
            way.users -= 1
            if way is not self._way and not way.users:
                await way.client.aclose()
        self.health = f"it is not there: {ended.reason}" if isinstance(ended, NotThere) else ""
        return ended

    async def _ask(self, asked: httpx.AsyncClient, task: RunTask, attempt: int) -> Ended:
        headers = {"Idempotency-Key": task.task}
        content = answers.request(task, attempt)
        try:
            async with asked.stream("POST", self._url, content=content, headers=headers) as response:
                bytes_max = answers.ANSWER_BYTES_MAX if response.is_success else REASON_BYTES_MAX
                text = await body_of(response, bytes_max)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return NotThere(without_connection(error))
        except httpx.TimeoutException as error:
            raise TimeoutError from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            return answers.mistake("broke", f"broke off before it had answered: {said_by(error)}")
        if response.is_success:
            return _answer(task, response.status_code, text, self._form)
        after_s = retry_after_s(response.headers.get("Retry-After", ""), time.time())
        said = hidden(text.decode(errors="replace"), self._secrets)
        return refused(response.status_code, said.encode(), after_s)

    async def close(self) -> None:
        """Let go of its connections."""
        await self._way.client.aclose()


def _answer(task: RunTask, status: int, text: bytes, form: Form) -> Done | Mistake:
    """What an answer of success means.

    Raises:
        _OutOfStepError: It is to another question.
    """
    if len(text) > answers.ANSWER_BYTES_MAX:
        return answers.too_long()
    if status == HTTPStatus.NO_CONTENT:
        return Done()
    if form == "text":
        return answers.of_one(text, task.task, form)
    try:
        answer = answers.read(text)
    except answers.AnswerError as error:
        return answers.no_answer(error)
    if answer.id != task.task:
        raise _OutOfStepError(answers.of_another(answer.id, task.task))
    return answer.came_of


def without_connection(error: Exception) -> str:
    """Why there is no connection, as the operating system says it."""
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {CONNECT_S:g} s"
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.strerror):
        inside = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else None
        cause = inside or cause.__cause__ or cause.__context__
    if not isinstance(cause, OSError):
        return said_by(error)
    number = cause.errno or 0  # those of name resolution are negative, and not of the system
    return os.strerror(number) if number > 0 else printable(str(cause.strerror), 150)


def said_by(error: Exception) -> str:
    return printable(str(error) or type(error).__name__, 150)
