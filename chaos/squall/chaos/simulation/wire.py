"""The wire of a simulated node: frames to the model of the broker, over the node's way.

SimulatedWire ─► Channel.up ─► Session (the model)
              ◄─ Channel.down ◄─
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Protocol

from nats.aio.msg import Msg

from squall.bus.border import printable
from squall.bus.errors import InvalidNameError, MessageTooLargeError, NotConnectedError, WireError
from squall.bus.identity import Credentials
from squall.bus.wire import ANSWER_S, CONNECT_TIMEOUT_S, Heard, Told
from squall.chaos.model.frames import Denied, Ping, Pong, Pub, Sub, Unsub
from squall.chaos.model.frames import Msg as Delivered
from squall.chaos.simulation.loop import current
from squall.chaos.simulation.network import Channel, Sink

PAYLOAD_BYTES_MAX = 1024 * 1024
"""What the broker takes of one message."""

HELLO_BYTES = 600
"""Of what the broker says first; as large as that of a real one."""

FRAME_BYTES = 16
"""Of a frame beside what it carries."""

_SPACE = re.compile(r"[ \t\r\n\0]")


class Hello:
    """The broker's first word on a connection."""


class Exchange(Protocol):
    """Where a wire connects to."""

    def dial(self, name: str, sink: Sink) -> Channel | None:
        """Connect the present process to the broker, over the way of a node; None if it is refused."""
        ...


def size_of(frame: Any) -> int:
    """About how many bytes a frame takes on a real connection."""
    kind = type(frame)
    if kind is not Pub and kind is not Delivered:
        return HELLO_BYTES if kind is Hello else FRAME_BYTES
    size = FRAME_BYTES + len(frame.subject) + len(frame.reply) + len(frame.data)
    headers = frame.headers
    return size + 4 * len(headers) + len("".join([*headers, *headers.values()])) if headers else size


class SimulatedWire:
    """One connection of a simulated node; see `squall.bus.wire.Wire`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._process = current()
        self._channel: Channel | None = None
        self._told: Told | None = None
        self._heard: dict[int, Heard] = {}
        self._numbers = 0
        self._pongs: list[asyncio.Future[None]] = []
        self._hello: asyncio.Future[None] | None = None
        self._version = ""
        self.is_closed = False

    @property
    def version(self) -> str:
        return self._version

    async def open(
        self, url: str, *, name: str, inbox: str, credentials: Credentials | None, told: Told
    ) -> None:
        self._told = told
        loop = asyncio.get_running_loop()
        self._hello = loop.create_future()
        self._channel = self._exchange.dial(name, self._arrived)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if self._channel is None:
                    await asyncio.sleep(0.0005)
                    raise ConnectionRefusedError
                await self._hello
                await self._round_trip()  # CONNECT and PING, of which the second is answered
        except (OSError, TimeoutError, WireError) as error:
            self.abort()
            self.is_closed = True
            raise NotConnectedError(url, f"no broker answers at {url}: {type(error).__name__}") from error
        except BaseException:
            self.abort()
            self.is_closed = True
            raise
        self._version = "simulated"

    def _send(self, frame: Any) -> None:
        if self._channel is not None and not self._process.is_dead:
            self._channel.up.send(frame, size_of)

    def _arrived(self, frame: Any) -> None:
        if self.is_closed:
            return
        kind = type(frame)
        if kind is Delivered:
            heard = self._heard.get(frame.sid)
            if heard is not None:
                headers = dict(frame.headers) if frame.headers else None
                heard(Msg(None, frame.subject, frame.reply, frame.data, headers))  # type: ignore[arg-type]
        elif kind is Pong:
            if self._pongs:
                pong = self._pongs.pop(0)
                if not pong.done():
                    pong.set_result(None)
        elif kind is Ping:
            self._send(Pong())
        elif kind is Hello:
            if self._hello is not None and not self._hello.done():
                self._hello.set_result(None)
        elif kind is Denied:
            assert self._told is not None
            self._told.denied(frame.text)
        else:  # the end, as the broker or the network made it
            self._lost()

    def _lost(self) -> None:
        if self._hello is not None and not self._hello.done():
            self._hello.set_exception(ConnectionResetError())
        self._shut("the connection ended")

    def _shut(self, reason: str) -> None:
        """Nothing comes any more; whoever waits is told."""
        if self.is_closed:
            return
        self.is_closed = True
        for pong in self._pongs:
            if not pong.done():
                pong.set_exception(WireError(reason))
                pong.exception()  # seen, also where nobody waits any more
        self._pongs.clear()
        assert self._told is not None
        if reason:
            self._told.failed(reason)
        self._told.closed()

    async def publish(self, subject: str, data: bytes, reply: str, headers: Mapping[str, str] | None) -> None:
        if self.is_closed:
            raise WireError("closed")
        if not subject or _SPACE.search(subject):
            raise InvalidNameError(f"not sent: {printable(subject, 80)!r} is no subject")
        if len(data) > PAYLOAD_BYTES_MAX:
            raise MessageTooLargeError(f"{len(data):,} bytes for {subject} pass the broker's bound")
        self._send(Pub(subject, reply, headers, data))

    async def subscribe(self, subject: str, heard: Heard, *, pending_max: int) -> int:
        if self.is_closed:
            raise WireError("closed")
        self._numbers += 1
        self._heard[self._numbers] = heard
        self._send(Sub(self._numbers, subject))
        return self._numbers

    async def unsubscribe(self, number: int) -> None:
        if self.is_closed:
            raise WireError("closed")
        if self._heard.pop(number, None) is not None:
            self._send(Unsub(number))

    async def ping(self) -> float:
        return await self._round_trip()

    async def _round_trip(self) -> float:
        if self.is_closed:
            raise WireError("closed")
        loop = asyncio.get_running_loop()
        pong: asyncio.Future[None] = loop.create_future()
        self._pongs.append(pong)
        begun_s = loop.time()
        self._send(Ping())
        late = loop.call_later(ANSWER_S, _give_up, pong)
        try:
            await pong
        finally:
            late.cancel()
        return loop.time() - begun_s

    def holds_back(self) -> bool:
        """What is published leaves the process at once; what it takes from then on is the network's."""
        return False

    def abort(self) -> None:
        if self._channel is not None:
            self._channel.abort()
            self._channel = None

    async def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if not self.is_closed:
            self._shut("")


def _give_up(pong: asyncio.Future[None]) -> None:
    """It took too long."""
    if not pong.done():
        pong.set_exception(WireError("TimeoutError"))
