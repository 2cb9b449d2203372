"""``http://…`` and ``https://…``: a service as a sink. POST of one effect, or of several.

one      {"side": "buy", …}, as the handler returned it
several  [{"key": "order-17-0", "effect": {"side": "buy", …}}, …]

A request of one effect has its key as ``Idempotency-Key``, the same however often it is sent; one of several
has a digest of their keys. What an answer means is `rules/sinks.py`'s and `rules/batch_answers.py`'s to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from squall.bus.border import printable
from squall.services import users_service
from squall.services.effects.each import Each, OneByOne
from squall.services.effects.port import Effect, Make, Opener, Sending, Ties, Way
from squall.services.errors import SpecError
from squall.services.handlers.http import CONNECT_S, REASON_BYTES_MAX, said_by, variable
from squall.services.handlers.http import without_connection as why_no_connection
from squall.services.handlers.statuses import retry_after_s
from squall.services.jsonl import LINE_BYTES_MAX
from squall.services.rules import batch_answers
from squall.services.rules.batch_answers import TOLD_BYTES_MAX
from squall.services.rules.effects import value_of
from squall.services.rules.header_templates import Template, UnfilledError, template
from squall.services.rules.sinks import SEND_TIMEOUT_S, Away, Carried, Outcome, Refused, Unknown, of_status
from squall.services.users_service import body_of, hidden

HEADER_LENGTH_MAX = 60
"""Of the name of a header in a sentence, in characters."""

WHY_LENGTH_MAX = 150
"""Of what an answer says, in characters."""


def load(sending: Sending, origin: Any) -> Opener:
    """A service at a URL, with the headers that it is to be sent.

    Raises:
        SpecError: One of the variables that hold headers is not set, or holds what can be no header.
    """
    if why := users_service.why_no_url(sending.name):
        shown = printable(sending.name, WHY_LENGTH_MAX)
        raise SpecError(f"effects = {shown!r} is no URL: {printable(why, WHY_LENGTH_MAX)}")
    headers_of(sending)  # so that what is missing is told now
    Made.of(sending)

    @contextlib.asynccontextmanager
    async def opened(way: Way) -> AsyncIterator[Make]:
        async with service_of(sending) as service:
            sink = OneByOne(service) if sending.batch == 1 else service

            def make(ties: Ties) -> Each:
                return Each(sink, ties, together=sending.together, batch=sending.batch)

            yield make

    return opened


@contextlib.asynccontextmanager
async def service_of(sending: Sending) -> AsyncIterator[Service]:
    """A service that can be sent effects inside the block.

    Raises:
        SpecError: See `headers_of` and `Made.of`.
    """
    headers, made = headers_of(sending), Made.of(sending)
    async with client(sending.name, headers, connections=sending.together) as asked:
        yield Service(sending.name, asked, made, secrets={*headers.values(), *made.variables.values()})


def headers_of(sending: Sending) -> Mapping[str, str]:
    """The headers that a spec names, with their values.

    Raises:
        SpecError: A variable is not set, or holds what can be no header.
    """
    headers = {header: variable(name, header) for header, name in sending.headers.items()}
    try:
        httpx.Headers(headers)
    except (ValueError, UnicodeEncodeError) as error:
        raise SpecError("a header of effects cannot be sent", "see [effects.headers]") from error
    return headers


def client(url: str, headers: Mapping[str, str], *, connections: int) -> httpx.AsyncClient:
    """A client for one service."""
    timeout = httpx.Timeout(SEND_TIMEOUT_S, connect=CONNECT_S)
    return users_service.client(url, headers, connections=connections, timeout=timeout)


@dataclass(frozen=True, slots=True)
class Made:
    """The headers that are made from each effect.

    Attributes:
        templates: By header, of those that differ by effect.
        variables: What the variables that they name hold.
        same: The headers that are the same for all.
    """

    templates: Mapping[str, Template]
    variables: Mapping[str, str]
    same: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, sending: Sending) -> Made:
        """Those of a sink.

        Raises:
            SpecError: One of the variables is not set, or holds what can be no header.
        """
        templates = {header: template(text) for header, text in sending.templates.items()}
        variables = {
            name: variable(name, header) for header, each in templates.items() for name in each.variables
        }
        for header, each in templates.items():
            if not each.could_be(variables):
                shown = printable(header, HEADER_LENGTH_MAX)
                raise SpecError(
                    f"the header {shown} of effects would be what no header can be",
                    f"see what the variables hold that it is made of: {', '.join(sorted(each.variables))}",
                )
        made = {
            header: each.fill("", None, variables)
            for header, each in templates.items()
            if not each.is_of_one_effect
        }
        return cls(
            {header: each for header, each in templates.items() if header not in made}, variables, made
        )

    def headers(self, key: str, body: bytes) -> dict[str, str]:
        """Those of one effect.

        Raises:
            UnfilledError: The effect lacks what one is made of; the message is a sentence.
        """
        if not self.templates:
            return {}
        try:
            effect = value_of(body)
        except ValueError as error:
            raise UnfilledError(f"no header can be made of what cannot be read: {error}") from None
        headers = {}
        for header, each in self.templates.items():
            try:
                headers[header] = each.fill(key, effect, self.variables)
            except UnfilledError as error:
                raise UnfilledError(f"the header {header} {error}") from None
        return headers


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered.

    Attributes:
        asks_s: For how long it asks to be left alone; None if it does not.
        text: Its body, or the beginning of one that is longer than was to be read.
        is_whole: Whether that is all of it.
    """

    status: int
    asks_s: float | None
    said: str
    text: bytes
    is_whole: bool


class Service:
    """A service that carries effects out, one at a time or several."""

    def __init__(self, url: str, asked: httpx.AsyncClient, made: Made, secrets: Collection[str] = ()) -> None:
        self._secrets = secrets
        self._url = url
        self._asked = asked
        self._made = made

    async def send(self, key: str, body: bytes) -> Outcome:
        """See `Sink`."""
        try:
            headers = self._made.headers(key, body)
        except UnfilledError as error:
            return Refused(str(error))
        answer = await self._exchange(key, body, headers, REASON_BYTES_MAX)
        if isinstance(answer, Answer):
            return of_status(answer.status, answer.asks_s, answer.said)
        return answer

    async def send_all(self, effects: Sequence[Effect]) -> Sequence[Outcome]:
        """See `BatchSink`."""
        keys = [effect.order_id for effect in effects]
        body = msgspec.json.encode(
            [{"key": effect.order_id, "effect": msgspec.Raw(effect.body)} for effect in effects]
        )
        key = keys[0] if len(keys) == 1 else digest(keys)
        most = REASON_BYTES_MAX + TOLD_BYTES_MAX * len(keys) + len(body)  # it may repeat what it was sent
        answer = await self._exchange(key, body, {}, most)
        if isinstance(answer, Answer):
            found = batch_answers.outcomes(
                keys, answer.status, answer.asks_s, answer.said, answer.text, is_whole=answer.is_whole
            )
            return [self._without_secrets(outcome) for outcome in found]
        return [answer] * len(keys)

    def _without_secrets(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Carried):
            return outcome
        return replace(outcome, reason=hidden(outcome.reason, self._secrets))

    async def _exchange(
        self, key: str, body: bytes, headers: Mapping[str, str], most: int
    ) -> Answer | Away | Unknown:
        try:
            async with (
                asyncio.timeout(SEND_TIMEOUT_S),
                self._asked.stream(
                    "POST",
                    self._url,
                    content=body,
                    headers={**self._made.same, **headers, "Idempotency-Key": key},
                ) as answer,
            ):
                text = await body_of(answer, most)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return Away(f"it is not there: {why_no_connection(error)}")
        except (TimeoutError, httpx.TimeoutException):
            return Unknown(f"no answer within {SEND_TIMEOUT_S:g} s")
        except (httpx.HTTPError, httpx.StreamError) as error:
            return Unknown(f"it broke off before it had answered: {said_by(error)}")
        asks = answer.headers.get("Retry-After", "")
        asks_s = retry_after_s(asks, time.time()) if asks else None
        return Answer(
            answer.status_code,
            asks_s,
            _words(answer.status_code, hidden(text.decode(errors="replace"), self._secrets)),
            text,
            len(text) <= most,
        )


def digest(keys: Sequence[str]) -> str:
    """A key of several effects together: the same for the same ones in the same order, and for no others."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32]


def _words(status: int, text: str) -> str:
    name = next((f"{status} {known.phrase}" for known in HTTPStatus if known == status), str(status))
    why = printable(text.strip(), WHY_LENGTH_MAX)
    return f"it answered {name}{f': {why}' if why else ''}"


async def lines(sending: Sending) -> AsyncIterator[bytes]:
    """The journal of a service, line by line.

    Raises:
        OSError, ValueError: It cannot be had.
    """
    if why := users_service.why_no_url(sending.journal):
        raise ValueError(f"{printable(sending.journal, 100)} is no URL: {printable(why, WHY_LENGTH_MAX)}")
    try:
        async with (
            client(sending.journal, {**headers_of(sending), **Made.of(sending).same}, connections=1) as asked,
            asked.stream("GET", sending.journal) as answer,
        ):
            if not answer.is_success:
                raise OSError(f"{printable(sending.journal, 100)} answered {answer.status_code}")
            async for line in answer.aiter_lines():
                if len(line) > LINE_BYTES_MAX:
                    raise ValueError("a line of it is too long")
                yield line.encode()
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise OSError(f"{printable(sending.journal, 100)} does not answer: {said_by(error)}") from error
