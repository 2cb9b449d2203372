"""The gateway's side of the venue's door: sends a batch of orders, and says what is known afterwards.

post ──► Answered   one outcome for each order, in their order
     ├─► Declined   the batch as it is will never be taken: the venue said so
     ├─► Unknown    it may have been taken or not, or may be later
     └─► Absent     nothing was sent, nobody listens
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import httpx
import msgspec

from squall.bus.border import printable
from squall.services.rules.effects import ANSWER_TIMEOUT_S, Sized

ANSWER_BYTES_MAX = 1024 * 1024
"""Of one response: 256 answers with their reasons take at most half of it."""

_NOT_ABOUT_CONTENT = {401, 403, 404, 405, 407, 408, 421, 425, 426, 429, 451}
"""Refusals for a reason other than what the orders hold; the same orders may be taken later."""


class Answer(msgspec.Struct, frozen=True):
    """What the venue made of one order, and why if it rejected it."""

    order_id: str
    outcome: Literal["filled", "duplicate", "rejected"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """The venue's word on each order of a batch."""

    answers: Sequence[Answer]


@dataclass(frozen=True, slots=True)
class Declined:
    """Definite: the venue does not take this batch, and took nothing of it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Indefinite: the venue may have taken it. Repeating is safe, since ids stay the same."""

    reason: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The venue cannot be reached at all, which is not for anything in this batch."""

    reason: str


Outcome = Answered | Declined | Unknown | Absent

_answers = msgspec.json.Decoder(list[Answer])


class VenueClient:
    """Sends orders to one venue. Made by `connected`."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def post(self, orders: Sequence[Sized]) -> Outcome:
        """Send a batch. Each body must be one JSON value; see `rules.effects.why_unsendable`."""
        content = msgspec.json.encode(
            [{"order_id": order.order_id, "order": msgspec.Raw(order.body)} for order in orders]
        )
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                status, text = await self._exchange(content)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return Absent(printable(f"it cannot be reached: {error}"))
        except (httpx.HTTPError, httpx.StreamError, TimeoutError) as error:
            return Unknown(printable(f"{type(error).__name__}: {error}"))
        if 200 <= status < 300:
            return _matched(orders, text)
        reason = printable(f"the venue answered {status}: {text.decode(errors='replace')}")
        if 400 <= status < 500 and status not in _NOT_ABOUT_CONTENT:
            return Declined(reason)
        return Unknown(reason)

    async def _exchange(self, content: bytes) -> tuple[int, bytes]:
        async with self._client.stream("POST", "/orders", content=content) as response:
            text = bytearray()
            async for chunk in response.aiter_bytes():
                text += chunk
                if len(text) > ANSWER_BYTES_MAX:
                    raise httpx.StreamError(f"an answer of more than {ANSWER_BYTES_MAX:,} bytes")
            return response.status_code, bytes(text)


def _matched(orders: Sequence[Sized], text: bytes) -> Answered | Unknown:
    """The answers, if there is exactly one for each order and each is about its own."""
    try:
        answers = _answers.decode(text)
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        return Unknown(printable(f"its answer cannot be read: {error}"))
    if len(answers) != len(orders):
        return Unknown(f"it answered {len(answers):,} times to {len(orders):,} orders")
    for order, answer in zip(orders, answers, strict=True):
        if answer.order_id != order.order_id:
            return Unknown(f"it answered about {printable(answer.order_id, 60)} for {order.order_id}")
    return Answered(answers)


@asynccontextmanager
async def connected(
    url: str, token: str, *, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[VenueClient]:
    """A client of the venue at ``url``, open inside the block.

    Args:
        token: What it knows us by; goes into a header that the client's own repr hides.
        transport: Another way to it than by network.
    """
    async with httpx.AsyncClient(
        base_url=url,
        headers={
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",  # nothing unpacks to more than was received
        },
        timeout=ANSWER_TIMEOUT_S,
        limits=httpx.Limits(max_connections=2),
        follow_redirects=False,
        trust_env=False,
        transport=transport,
    ) as client:
        yield VenueClient(client)
