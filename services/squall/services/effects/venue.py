"""The gateway's side of the venue's door: sends a batch of orders, and says what is known afterwards.

post ──► Answered   one outcome for each order, in their order
     ├─► Refused    the batch as it is will never be taken, and nothing of it was: the venue said so
     ├─► Unknown    it may have been taken or not, or may be later
     └─► Away       nothing was sent, nobody listens
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from squall.bus.border import printable
from squall.services.effects.port import Make, Opener, Sending, Way
from squall.services.node.venue_door import Door, ShutError, UnansweredError
from squall.services.rules.effects import ANSWER_TIMEOUT_S, Sized
from squall.services.rules.sinks import Away, Refused, Unknown

_NOT_ABOUT_CONTENT = {401, 403, 404, 405, 407, 408, 421, 425, 426, 429, 451}
"""Refusals for a reason other than what the orders hold; the same orders may be taken later."""


class Answer(msgspec.Struct, frozen=True):
    """What the venue made of one order, and why if it rejected it."""

    order_id: str
    outcome: Literal["filled", "duplicate", "passed", "rejected"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """The venue's word on each order of a batch."""

    answers: Sequence[Answer]


Outcome = Answered | Refused | Unknown | Away

_answers = msgspec.json.Decoder(list[Answer])


class VenueClient:
    """Sends orders to one venue."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def post(self, orders: Sequence[Sized]) -> Outcome:
        """Send a batch. Each body must be one JSON value; see `rules.effects.why_unsendable`."""
        content = msgspec.json.encode(
            [{"order_id": order.order_id, "order": msgspec.Raw(order.body)} for order in orders]
        )
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                status, text = await self._door.exchange(content)
        except ShutError as error:
            return Away(printable(f"it cannot be reached: {error}"))
        except UnansweredError as error:
            return Unknown(printable(str(error)))
        except TimeoutError:
            return Unknown(f"no answer within {ANSWER_TIMEOUT_S:g} s")
        if 200 <= status < 300:
            return _matched(orders, text)
        reason = printable(f"the venue answered {status}: {text.decode(errors='replace')}")
        if 400 <= status < 500 and status not in _NOT_ABOUT_CONTENT:
            return Refused(reason)
        return Unknown(reason)


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


def load(sending: Sending, origin: Any) -> Opener:
    """The venue, which the swarm has started itself."""
    from squall.services.effects.forwarding import Forwarder  # which is made of what is in here

    @contextlib.asynccontextmanager
    async def opened(way: Way) -> AsyncIterator[Make]:
        async with way.door() as door:
            venue = VenueClient(door)
            yield lambda ties: Forwarder(
                venue,
                ties.record,
                ties.counters,
                ties.settled,
                keeps_back=ties.keeps_back,
                in_order=ties.in_order,
            )

    return opened
