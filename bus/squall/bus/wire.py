"""The wire: what a link needs of a client of the broker, and nats-py as one.

    Link ──► Wire ──┬─► NatsWire: nats-py, over a socket
                    └─► whatever else speaks to something that answers like a broker

All that is above it (links, the connection, pullers, primitives, roles) knows of no other way out. nats-py's
own errors, and those of the operating system, end here: above are the ones of `errors.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from nats import errors as nats_errors
from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg

from squall.bus.border import printable
from squall.bus.errors import (
    AuthorizationError,
    InvalidNameError,
    MessageTooLargeError,
    NotConnectedError,
    WireError,
)
from squall.bus.identity import Credentials
from squall.bus.tls import TlsTransport

CONNECT_TIMEOUT_S = 5.0
"""How long opening may take in all."""

ANSWER_S = 5.0
"""How long the broker may take to answer a PING; longer than a busy machine needs for a round trip. A late
PONG would break nats-py, so who did not get one in time has to give the wire up."""

FAILING = (nats_errors.Error, OSError, TimeoutError, RuntimeError)
"""What nats-py raises where its connection fails it. The last one is uvloop's word for writing to a transport
that is closed."""

Heard = Callable[[Msg], None]
"""Told of a message; must not raise, and must not wait."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a wire tells of itself. None of these may raise.

    Attributes:
        denied: The broker refuses a subject, in its own words.
        dropped: A message was dropped, since too many waited for their handler.
        failed: Something went wrong; why, in words.
        closed: It is of no use any more.
    """

    denied: Callable[[str], None]
    dropped: Callable[[], None]
    failed: Callable[[str], None]
    closed: Callable[[], None]


class Wire(Protocol):
    """One connection to a broker, from its opening to its end.

    Attributes:
        is_closed: Whether it is of no use any more.
        version: The broker's version as it states it, for instance ``2.15.1``; empty before it is open.
    """

    @property
    def is_closed(self) -> bool: ...

    @property
    def version(self) -> str: ...

    async def open(
        self, url: str, *, name: str, inbox: str, credentials: Credentials | None, told: Told
    ) -> None:
        """Connect, within `CONNECT_TIMEOUT_S`.

        Args:
            inbox: The prefix of the subjects on which it may be answered.

        Raises:
            AuthorizationError: The broker refuses the credentials.
            UntrustedBrokerError: It did not prove who it is.
            NotConnectedError: Nobody answers there.
        """
        ...

    async def publish(self, subject: str, data: bytes, reply: str, headers: Mapping[str, str] | None) -> None:
        """Send a message, or have it sent soon.

        Raises:
            InvalidNameError, MessageTooLargeError: It cannot be sent, ever.
            WireError: The wire fails.
        """
        ...

    async def subscribe(self, subject: str, heard: Heard, *, pending_max: int) -> int:
        """Listen; the number of the subscription.

        Raises:
            WireError: The wire fails.
        """
        ...

    async def unsubscribe(self, number: int) -> None:
        """Listen no more. One that is not known is let be.

        Raises:
            WireError: The wire fails.
        """
        ...

    async def ping(self) -> float:
        """One round trip, in seconds. A PING goes ahead of messages that wait to be sent.

        Raises:
            WireError: There was no answer within `ANSWER_S`.
        """
        ...

    def holds_back(self) -> bool:
        """Whether something that was published has not left this process."""
        ...

    def abort(self) -> None:
        """Tear it down: nothing more is sent, and nothing is waited for."""
        ...

    async def close(self) -> None:
        """End it, within `ANSWER_S`. Done again, it changes nothing."""
        ...


_DENIED = "permissions violation for "


@contextlib.contextmanager
def _keeping_cancellation() -> Iterator[None]:
    """Raise a cancellation that was swallowed inside.

    nats-py waits with ``wait_for``, which until Python 3.12 forgets a cancellation that comes together
    with the result (python/cpython #86296), and its flushing catches cancellations on purpose. A task that
    goes on after it was cancelled is waited for in vain.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError


@dataclass(eq=False)
class NatsWire:
    """nats-py as a wire.

    Its callbacks here never raise, since an exception ends its read loop in silence (nats.py PR #914).
    """

    client: Client = field(default_factory=Client)
    _told: Told | None = None
    _reason: str = ""

    @property
    def is_closed(self) -> bool:
        return bool(self.client.is_closed)

    @property
    def version(self) -> str:
        version = self.client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    async def open(
        self, url: str, *, name: str, inbox: str, credentials: Credentials | None, told: Told
    ) -> None:
        self._told = told
        if urlsplit(url).scheme == "tls":
            self.client._transport = TlsTransport()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                with _keeping_cancellation():
                    await self.client.connect(
                        url,
                        name=name,
                        allow_reconnect=False,
                        # Even so nats-py looks again every two seconds where nobody listens, in its time.
                        # Pauses are the connection's to make: it tries twice in a row, and says so.
                        max_reconnect_attempts=1,
                        reconnect_time_wait=0,
                        connect_timeout=int(CONNECT_TIMEOUT_S),
                        ping_interval=3600,  # liveness is probed from outside
                        flush_timeout=ANSWER_S,
                        error_cb=self._on_error,
                        closed_cb=self._on_closed,
                        inbox_prefix=inbox,
                        user_credentials=RawCredentials(credentials.creds_file()) if credentials else None,
                    )
        except nats_errors.AuthorizationError as error:
            raise AuthorizationError(f"the broker at {url} refuses these credentials") from error
        except (*FAILING, ValueError) as error:
            if "authorization" in str(error).lower():
                raise AuthorizationError(f"the broker at {url} refuses these credentials") from error
            raise NotConnectedError(url, f"no broker answers at {url}: {self._cause(error)}") from error

    def _cause(self, error: Exception) -> str:
        """Why there is no connection: nats-py tells the cause to its callback, and raises another error."""
        if isinstance(error, TimeoutError) and not self._reason:
            return f"no answer within {CONNECT_TIMEOUT_S:g} s"
        return self._reason or _said(error)

    async def _on_error(self, error: Exception) -> None:
        assert self._told is not None
        if _DENIED in str(error).lower():
            self._told.denied(str(error))
            return
        if isinstance(error, nats_errors.SlowConsumerError):
            self._told.dropped()
        self._reason = _said(error)
        self._told.failed(self._reason)

    async def _on_closed(self) -> None:
        assert self._told is not None
        self._told.closed()

    async def publish(self, subject: str, data: bytes, reply: str, headers: Mapping[str, str] | None) -> None:
        try:
            with _keeping_cancellation():
                await self.client.publish(subject, data, reply, dict(headers) if headers else None)
        except (nats_errors.BadSubjectError, nats_errors.BadHeaderError) as error:
            raise InvalidNameError(f"not sent: {printable(subject, 80)!r} is no subject") from error
        except nats_errors.MaxPayloadError as error:
            raise MessageTooLargeError(
                f"{len(data):,} bytes for {subject} pass the broker's bound"
            ) from error
        except FAILING as error:
            raise WireError(_said(error)) from error

    async def subscribe(self, subject: str, heard: Heard, *, pending_max: int) -> int:
        async def told(message: Msg) -> None:
            heard(message)

        try:
            subscription = await self.client.subscribe(subject, cb=told, pending_msgs_limit=pending_max)
        except FAILING as error:
            raise WireError(_said(error)) from error
        return int(subscription._id)

    async def unsubscribe(self, number: int) -> None:
        subscription = self.client._subs.get(number)
        try:
            if subscription is not None:
                await subscription.unsubscribe()
        except FAILING as error:
            raise WireError(_said(error)) from error

    async def ping(self) -> float:
        try:
            return float(await self.client.rtt(timeout=int(ANSWER_S)))
        except FAILING as error:
            raise WireError(type(error).__name__) from error

    def holds_back(self) -> bool:
        # nats-py keeps it for a task of its own to write, and the loop's transport for the end of its turn.
        writer = getattr(self.client._transport, "_io_writer", None)
        return bool(
            self.client._pending or (writer is not None and writer.transport.get_write_buffer_size() > 0)
        )

    def abort(self) -> None:
        writer = getattr(self.client._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    async def close(self) -> None:
        with contextlib.suppress(*FAILING):
            async with asyncio.timeout(ANSWER_S):
                with _keeping_cancellation():
                    await self.client.close()


def _said(error: Exception) -> str:
    return printable(str(error)) or type(error).__name__
