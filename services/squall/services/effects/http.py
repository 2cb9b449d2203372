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
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from squall.bus.border import printable
from squall.services.effects.each import Each, OneByOne
from squall.services.effects.port import Effect, Make, Opener, Sending, Ties, Way
from squall.services.errors import SpecError
from squall.services.handlers.http import CONNECT_S, REASON_BYTES_MAX, said_by, variable
from squall.services.handlers.http import without_connection as why_no_connection
from squall.services.handlers.statuses import retry_after_s
from squall.services.jsonl import LINE_BYTES_MAX
from squall.services.rules import batch_answers
from squall.services.rules.batch_answers import TOLD_BYTES_MAX
from squall.services.rules.header_templates import Template, UnfilledError, template
from squall.services.rules.sinks import SEND_TIMEOUT_S, Away, Outcome, Refused, Unknown, of_status

WHY_LENGTH_MAX = 150
"""Of what an answer says, in characters."""


def load(sending: Sending, origin: Any) -> Opener:
    """A service at a URL, with the headers that it is to be sent.

    Raises:
        SpecError: One of the variables that hold headers is not set, or holds what can be no header.
    """
    headers, made = headers_of(sending), Made.of(sending)

    @contextlib.asynccontextmanager
    async def opened(way: Way) -> AsyncIterator[Make]:
        async with client(sending.name, headers, connections=sending.together) as asked:
            service = Service(sending.name, asked, made)
            sink = OneByOne(service) if sending.batch == 1 else service

            def make(ties: Ties) -> Each:
                return Each(sink, ties, together=sending.together, batch=sending.batch)

            yield make

    return opened


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
    return httpx.AsyncClient(
        headers={
            "Accept-Encoding": "identity",  # nothing unpacks to more than was received
            "User-Agent": "squall",
            **headers,
            "Content-Type": "application/json",
        },
        timeout=httpx.Timeout(SEND_TIMEOUT_S, connect=CONNECT_S),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=False,
        trust_env=False,
        verify=ssl.create_default_context() if url.startswith("https:") else False,
    )


@dataclass(frozen=True, slots=True)
class Made:
    """The headers that are made from each effect.

    Attributes:
        templates: By header.
        variables: What the variables that they name hold.
    """

    templates: Mapping[str, Template]
    variables: Mapping[str, str]

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
        return cls(templates, variables)

    def headers(self, key: str, body: bytes | None) -> dict[str, str]:
        """Those of one effect, or (without a body) of any number.

        Raises:
            UnfilledError: The effect lacks what one is made of; the message is a sentence.
        """
        effect = msgspec.json.decode(body) if self.templates and body is not None else None
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
        text: Its body; None if that is longer than was to be read.
    """

    status: int
    asks_s: float | None
    said: str
    text: bytes | None


class Service:
    """A service that carries effects out, one at a time or several."""

    def __init__(self, url: str, asked: httpx.AsyncClient, made: Made) -> None:
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
        most = REASON_BYTES_MAX + TOLD_BYTES_MAX * len(keys)
        answer = await self._exchange(key, body, self._made.headers(key, None), most)
        if isinstance(answer, Answer):
            return batch_answers.outcomes(keys, answer.status, answer.asks_s, answer.said, answer.text)
        return [answer] * len(keys)

    async def _exchange(
        self, key: str, body: bytes, headers: Mapping[str, str], most: int
    ) -> Answer | Away | Unknown:
        text = bytearray()
        try:
            async with (
                asyncio.timeout(SEND_TIMEOUT_S),
                self._asked.stream(
                    "POST", self._url, content=body, headers={**headers, "Idempotency-Key": key}
                ) as answer,
            ):
                async for chunk in answer.aiter_bytes():
                    text += chunk
                    if len(text) > most:
                        break
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return Away(f"it is not there: {why_no_connection(error)}")
        except (TimeoutError, httpx.TimeoutException):
            return Unknown(f"no answer within {SEND_TIMEOUT_S:g} s")
        except (httpx.HTTPError, httpx.StreamError) as error:
            return Unknown(f"it broke off before it had answered: {said_by(error)}")
        asks = answer.headers.get("Retry-After", "")
        asks_s = retry_after_s(asks, time.time()) if asks else None
        said = _words(answer.status_code, bytes(text))
        return Answer(answer.status_code, asks_s, said, bytes(text) if len(text) <= most else None)


def digest(keys: Sequence[str]) -> str:
    """A key of several effects together: the same for the same ones in the same order, and for no others."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32]


def _words(status: int, text: bytes) -> str:
    name = next((f"{status} {known.phrase}" for known in HTTPStatus if known == status), str(status))
    why = printable(text.decode(errors="replace").strip(), WHY_LENGTH_MAX)
    return f"it answered {name}{f': {why}' if why else ''}"


async def lines(sending: Sending) -> AsyncIterator[bytes]:
    """The journal of a service, line by line.

    Raises:
        OSError, ValueError: It cannot be had.
    """
    try:
        async with (
            client(sending.journal, headers_of(sending), connections=1) as asked,
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
