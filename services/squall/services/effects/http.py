"""``http://…`` and ``https://…``: a service as a sink. POST of one effect, as the handler returned it.

Each request has the effect's key as ``Idempotency-Key``, the same however often it is sent. What an answer
means is `rules/sinks.py`'s to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any

import httpx

from squall.bus.border import printable
from squall.services.effects.each import Each
from squall.services.effects.port import Make, Opener, Sending, Ties, Way
from squall.services.errors import SpecError
from squall.services.handlers.http import CONNECT_S, REASON_BYTES_MAX, variable
from squall.services.handlers.http import said_by as said
from squall.services.handlers.http import without_connection as why_no_connection
from squall.services.handlers.statuses import retry_after_s
from squall.services.jsonl import LINE_BYTES_MAX
from squall.services.rules.sinks import SEND_TIMEOUT_S, Away, Outcome, Unknown, of_status

WHY_LENGTH_MAX = 150
"""Of what an answer says, in characters."""


def load(sending: Sending, origin: Any) -> Opener:
    """A service at a URL, with the headers that it is to be sent.

    Raises:
        SpecError: One of the variables that hold headers is not set, or holds what can be no header.
    """
    headers = headers_of(sending)

    @contextlib.asynccontextmanager
    async def opened(way: Way) -> AsyncIterator[Make]:
        async with client(sending.name, headers, connections=sending.together) as asked:
            service = Service(sending.name, asked)

            def make(ties: Ties) -> Each:
                return Each(service, ties, together=sending.together)

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


class Service:
    """A service that carries effects out."""

    def __init__(self, url: str, asked: httpx.AsyncClient) -> None:
        self._url = url
        self._asked = asked

    async def send(self, key: str, body: bytes) -> Outcome:
        """See `Sink`."""
        text = bytearray()
        try:
            async with (
                asyncio.timeout(SEND_TIMEOUT_S),
                self._asked.stream(
                    "POST", self._url, content=body, headers={"Idempotency-Key": key}
                ) as answer,
            ):
                async for chunk in answer.aiter_bytes():
                    text += chunk
                    if len(text) > REASON_BYTES_MAX:
                        break
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return Away(f"it is not there: {why_no_connection(error)}")
        except (TimeoutError, httpx.TimeoutException):
            return Unknown(f"no answer within {SEND_TIMEOUT_S:g} s")
        except (httpx.HTTPError, httpx.StreamError) as error:
            return Unknown(f"it broke off before it had answered: {said(error)}")
        asks = answer.headers.get("Retry-After", "")
        asks_s = retry_after_s(asks, time.time()) if asks else None
        return of_status(answer.status_code, asks_s, _words(answer.status_code, bytes(text)))


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
        raise OSError(f"{printable(sending.journal, 100)} does not answer: {said(error)}") from error
