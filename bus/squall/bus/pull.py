"""Pull requests kept open for one consumer.

A request for as many messages as there is room for stays open at the broker, so
that work arrives the moment it exists; room that becomes free is asked for in a
further request. What the broker says of a request (expired, no consumer, leader
moved) arrives as a status and is counted against it:

    room ──► MSG.NEXT {batch, expires, heartbeat} ──► messages … status 408: n not delivered

nats-py's own ``fetch`` swallows those statuses and waits twice its time-out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from nats.aio.msg import Msg

from squall.bus import subjects
from squall.bus.connection import Connection
from squall.bus.errors import ConnectionLostError, NotConnectedError
from squall.bus.tasks import look_again

EXPIRES_S = 5.0
"""How long one request stays open; also what a retired link must be kept for."""

HEARTBEAT_S = 1.0
"""How often the broker shows that a request is open; three missing and it is asked anew."""

REQUEST_BYTES_MAX = 4 * 1024**2
"""Of what one request is answered with; several are open at a time. The broker cuts off a client for whom
64 MiB wait to be sent, which are 130 messages of full size."""

MISSING_CONSUMER_PAUSE_S = 0.25

RECENT_MAX = 4096
"""Deliveries that are known again if the network repeats them."""


class Delivery(msgspec.Struct, frozen=True):
    """One message as a consumer delivered it.

    Attributes:
        subject: The subject it is stored under.
        data: Its payload.
        reply: Where its acknowledgement goes.
        attempt: How often it has been delivered, this time included.
        sequence: Its place in the stream.
        order: Its place among this consumer's deliveries.
        stored_s: When the broker stored it, in seconds since the epoch.
        pending: How many more match the consumer.
        message_id: Its ``Nats-Msg-Id``, as its writer chose it; empty if it has none.
    """

    subject: str
    data: bytes
    reply: str
    attempt: int
    sequence: int
    order: int
    stored_s: float
    pending: int
    message_id: str = ""


def parse_delivery(message: Msg, prefix: str) -> Delivery | None:
    """The delivery in a message, or None if its reply is not an acknowledgement of this consumer.

    A delivery keeps the subject it is stored under and arrives wherever the puller's reply said, so
    this check is what tells a consumer's message from one that somebody steered here.
    """
    if not message.reply.startswith(prefix):
        return None
    tokens = message.reply[len(prefix) :].split(".")
    try:
        attempt, sequence, order, stored_ns, pending = map(int, tokens)
    except ValueError:
        return None
    message_id = message.headers.get("Nats-Msg-Id", "") if message.headers else ""
    return Delivery(
        message.subject,
        message.data,
        message.reply,
        attempt,
        sequence,
        order,
        stored_ns / 1e9,
        pending,
        message_id,
    )


def _number(text: str | None) -> int:
    """The number in a header; 0 where there is none."""
    return int(text) if text and text.isdecimal() and len(text) < 20 else 0


class Puller:
    """Keeps a consumer's pull requests open while `run` runs.

    Args:
        take: Called with each delivery; must not block.
        room: How many more messages could be taken now, were none on their way.
        chunk: Ask again once this many could be asked for.
        missing: Called when the broker says there is no such consumer; without, it is asked again.
        delivered: Told with each heartbeat how many messages the consumer has delivered, those included that
            went into a link that died.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        consumer: str,
        take: Callable[[Delivery], None],
        room: Callable[[], int],
        *,
        chunk: int = 1,
        missing: Callable[[], None] | None = None,
        delivered: Callable[[int], None] | None = None,
    ) -> None:
        self._connection = connection
        self._subject = subjects.next_message(stream, consumer)
        self._prefix = subjects.acks(stream, consumer)
        self._take = take
        self._room = room
        self._chunk = chunk
        self._missing = missing
        self._delivered = delivered
        self._wake = asyncio.Event()
        self._asked = 0
        self._recent: dict[int, None] = {}
        self._heard_s = 0.0
        self._broken = False
        self._absent = False
        self._inbox = ""
        self._stop: Callable[[], Awaitable[None]] | None = None

    def wake(self) -> None:
        """Look at the room again: some has become free."""
        self._wake.set()

    def _link_changed(self) -> None:
        self._broken = True
        self._wake.set()

    def _on_message(self, message: Msg) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        # A delivery first: its headers are its writer's to choose, and may look like a status.
        delivery = parse_delivery(message, self._prefix)
        if delivery is None:
            headers = message.headers
            status = headers.get("Status") if headers else None
            if headers is not None and status is not None and not message.reply:
                self._on_status(status, headers)
            else:
                self._connection.counters["unasked"] += 1
            return
        # A repeat answers no request. Were it counted, more would stay asked for than there is room.
        if not self._is_repeat(delivery.order):
            self._asked = max(0, self._asked - 1)
        self._take(delivery)
        self._wake.set()

    def _is_repeat(self, order: int) -> bool:
        """Whether a place among the consumer's deliveries has come already."""
        if order in self._recent:
            return True
        self._recent[order] = None
        if len(self._recent) > RECENT_MAX:
            del self._recent[next(iter(self._recent))]
        return False

    def _on_status(self, status: str, headers: Mapping[str, str]) -> None:
        if status == "100":
            if self._delivered is not None:
                self._delivered(_number(headers.get("Nats-Last-Consumer")))
            return
        if status == "503":
            self._broken = self._absent = True
            if self._missing is not None:
                self._missing()
        elif "Nats-Pending-Messages" in headers:
            self._asked = max(0, self._asked - _number(headers["Nats-Pending-Messages"]))
        else:  # refused as a whole, for instance because too many wait: not to be repeated at once
            self._broken = status not in ("404", "408")
            self._asked = 0
        self._wake.set()

    async def run(self) -> None:
        """Ask, for as long as this is not cancelled.

        Raises:
            ForbiddenError: These credentials may not pull here.
        """
        forget = self._connection.on_link(self._link_changed)
        try:
            await self._keep_asking()
        finally:
            forget()
            if self._stop is not None:
                await self._stop()

    async def _keep_asking(self) -> None:
        loop = asyncio.get_running_loop()
        self._broken = True
        while True:
            await self._connection.connected()
            if self._absent:  # there is no such consumer: it may come
                self._absent = False
                await asyncio.sleep(MISSING_CONSUMER_PAUSE_S)
            try:
                if self._broken:
                    self._broken = False
                    await self._start_anew()
                await self._ask()
            except (NotConnectedError, ConnectionLostError):
                self._broken = True
            if self._broken:
                if not self._absent:  # no connection
                    await asyncio.sleep(MISSING_CONSUMER_PAUSE_S)
                continue
            await look_again(self._wake, HEARTBEAT_S)
            self._wake.clear()
            if self._asked and loop.time() - self._heard_s > 3 * HEARTBEAT_S:
                self._broken = True

    async def _start_anew(self) -> None:
        """Listen on a fresh inbox and forget what was asked; the old requests lose their listener."""
        previous = self._stop
        # Two pullers on one connection must not hear each other's deliveries and statuses.
        name = self._connection.private_name("p")
        self._stop = await self._connection.subscribe(name, self._on_message, private=True, pending_max=65536)
        if previous is not None:
            await previous()
        self._inbox = name
        self._asked = 0
        self._recent.clear()

    async def _ask(self) -> None:
        batch = self._room() - self._asked
        if batch < self._chunk and not (batch > 0 and self._asked == 0):
            return
        request = {
            "batch": batch,
            "max_bytes": REQUEST_BYTES_MAX,
            "expires": int(EXPIRES_S * 1e9),
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
        }
        self._asked += batch
        self._heard_s = asyncio.get_running_loop().time()
        await self._connection.publish(
            self._subject,
            msgspec.json.encode(request),
            reply=f"{self._connection.private_inbox}.{self._inbox}",
        )
