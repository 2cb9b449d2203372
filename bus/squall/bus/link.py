"""One nats-py client from its connect to its end: a `Link`. `Connection` opens one after another.

nats-py is the wire only. Its callbacks here never raise (nats.py PR #914: an
exception ends the read loop in silence), and its known ways of going silent end
the link instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from nats import errors as nats_errors
from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg

from squall.bus import subjects
from squall.bus.border import printable
from squall.bus.errors import (
    AuthorizationError,
    BusError,
    ConnectionLostError,
    ForbiddenError,
    InvalidNameError,
    MessageTooLargeError,
    NoRespondersError,
    NotConnectedError,
    RequestTimeoutError,
)
from squall.bus.identity import Credentials
from squall.bus.tls import TlsTransport

CONNECT_TIMEOUT_S = 5.0
PROBE_TIMEOUT_S = 5.0
"""Longer than a busy machine needs for a round trip; a late PONG would break the client, so the
first probe that fails abandons the link."""

LET_GO_S = 0.5
"""How long what was published may take to leave the process: one turn of the loop, if the broker reads."""

FAILING = (nats_errors.Error, OSError, TimeoutError, RuntimeError)
"""What nats-py raises where its connection fails it. The last one is uvloop's word for writing to a transport
that is closed."""

Handler = Callable[[Msg], None]


_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')


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


@dataclass(slots=True, eq=False)
class Subscription:
    """What is subscribed again on every new link. With ``private``, the subject is below the link's inbox."""

    subject: str
    handler: Handler
    private: bool
    pending_max: int


@dataclass(slots=True)
class _Call:
    subject: str
    answer: asyncio.Future[Msg]
    timer: asyncio.TimerHandle


class Link:
    """One nats-py client. Nobody above `Connection` keeps one.

    Args:
        inbox: The private prefix of this link; what arrives below it was asked for by this link.
        counters: Where ``dropped``, ``violations`` and ``unasked`` messages are counted, and ``late`` ones,
            which answer a call that was given up.
        fail: Called with what a subscriber's handler raised.
        hand_over: Called with a subscriber's handler and a delivery, to bring the two together.

    Attributes:
        lost: Set when the link is of no use any more; ``reason`` says why.
    """

    def __init__(
        self,
        inbox: str,
        counters: Counter[str],
        fail: Callable[[Exception], None],
        hand_over: Callable[[Handler, Msg], None],
    ) -> None:
        self._counters = counters
        self._fail_owner = fail
        self._hand_over = hand_over
        self.client = Client()
        self.inbox = inbox
        self.lost = asyncio.Event()
        self.reason = ""
        self._calls: dict[str, _Call] = {}
        self._asked = 0
        self._denied: set[str] = set()
        self._confirmed: set[str] = set()
        self._sids: dict[Subscription, int] = {}
        self._probes: set[asyncio.Future[float]] = set()

    async def open(self, url: str, credentials: Credentials | None, name: str) -> None:
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
                        flush_timeout=PROBE_TIMEOUT_S,
                        error_cb=self._on_error,
                        closed_cb=self._on_closed,
                        inbox_prefix=self.inbox,
                        user_credentials=RawCredentials(credentials.creds_file()) if credentials else None,
                    )
        except nats_errors.AuthorizationError as error:
            raise AuthorizationError(f"the broker at {url} refuses these credentials") from error
        except (*FAILING, ValueError) as error:
            if "authorization" in str(error).lower():
                raise AuthorizationError(f"the broker at {url} refuses these credentials") from error
            raise NotConnectedError(url, f"no broker answers at {url}: {self._cause(error)}") from error
        await self._subscribe_client(f"{self.inbox}.r.*", self._on_answer, pending_max=65536)

    def _cause(self, error: Exception) -> str:
        """Why there is no connection: nats-py tells the cause to its callback, and raises another error."""
        if isinstance(error, TimeoutError) and not self.reason:
            return f"no answer within {CONNECT_TIMEOUT_S:g} s"
        return self.reason or printable(str(error)) or type(error).__name__

    # What the client tells us. None of these may raise.

    async def _on_error(self, error: Exception) -> None:
        text = str(error)
        match = _VIOLATION.search(text)
        if match is None:
            if isinstance(error, nats_errors.SlowConsumerError):
                self._counters["dropped"] += 1
            self.reason = printable(text) or type(error).__name__
            return
        self._counters["violations"] += 1
        subject = match.group(2)
        self._denied.add(subject)
        for token, call in list(self._calls.items()):
            if call.subject.lower() == subject:
                self._fail(token, ForbiddenError(call.subject, f"not allowed to reach {call.subject}"))

    async def _on_closed(self) -> None:
        self.lose(self.reason or "closed by the broker")

    async def _on_answer(self, message: Msg) -> None:
        call = self._calls.pop(message.subject, None)
        if call is None:
            number = subjects.last_token(message.subject)
            asked = number.isdecimal() and int(number) <= self._asked
            self._counters["late" if asked else "unasked"] += 1
            return
        call.timer.cancel()
        if not call.answer.done():
            call.answer.set_result(message)

    def _fail(self, token: str, error: BusError) -> None:
        call = self._calls.pop(token, None)
        if call is not None:
            call.timer.cancel()
            if not call.answer.done():
                call.answer.set_exception(error)

    def lose(self, reason: str) -> None:
        """Give the link up: its calls fail, and whoever watches it opens another."""
        if not self.lost.is_set():
            self.reason = reason
            self.lost.set()
        for probe in self._probes:
            probe.cancel()
        for token in list(self._calls):
            subject = self._calls[token].subject
            self._fail(token, ConnectionLostError(subject, f"connection lost during {subject}: {reason}"))

    # What is asked of it.

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
            if self.client.is_closed:  # nats-py tells nobody if the transport fails it while it closes
                self.lose("nats-py has closed it")
            raise ConnectionLostError(subject, f"not sent to {subject}: {error}") from error

    async def let_go(self) -> None:
        """Wait until the operating system has what was published, for at most `LET_GO_S`.

        nats-py keeps it for a task of its own to write, and the loop's transport for the end of its turn.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LET_GO_S):
                while not self.client.is_closed and self._holds_back():
                    await asyncio.sleep(0)

    def _holds_back(self) -> bool:
        writer = getattr(self.client._transport, "_io_writer", None)
        return bool(
            self.client._pending or (writer is not None and writer.transport.get_write_buffer_size() > 0)
        )

    async def confirm(self, subject: str) -> None:
        """Wait until the broker has taken what was published, and raise if it denied this subject.

        Twice: nats-py writes a PING ahead of the messages still pending.
        """
        if subject not in self._confirmed:
            await self.probe()
            await self.probe()
            if subject.lower() not in self._denied and len(self._confirmed) < 1024:
                self._confirmed.add(subject)
        if subject.lower() in self._denied:
            raise ForbiddenError(subject, f"not allowed to reach {subject}")

    async def probe(self) -> float:
        """One round trip to the broker, in seconds; a link that does not answer is lost.

        It goes on when its caller is cancelled: a PONG that nobody waits for any more ends nats-py's read
        loop in silence (its `_process_pong` sets a result on a cancelled future).
        """
        probe = asyncio.ensure_future(self.client.rtt(timeout=int(PROBE_TIMEOUT_S)))
        self._probes.add(probe)
        probe.add_done_callback(self._probed)
        caller = asyncio.current_task()
        before = caller.cancelling() if caller else 0
        try:
            return float(await asyncio.shield(probe))
        except asyncio.CancelledError:
            # Both may be cancelled in one turn of the loop.
            if not probe.cancelled() or (caller is not None and caller.cancelling() > before):
                raise  # it was the caller who was cancelled
            raise ConnectionLostError("probe", self.reason) from None
        except FAILING as error:
            self.lose(f"the broker did not answer a probe ({type(error).__name__})")
            raise ConnectionLostError("probe", self.reason) from error

    def _probed(self, probe: asyncio.Future[float]) -> None:
        self._probes.discard(probe)
        if not probe.cancelled() and probe.exception() is not None:
            self.lose(f"the broker did not answer a probe ({type(probe.exception()).__name__})")

    async def request(
        self, subject: str, data: bytes, timeout_s: float, headers: Mapping[str, str] | None
    ) -> Msg:
        if self.lost.is_set():
            raise NotConnectedError(subject, f"no connection for {subject}: {self.reason}")
        self._asked += 1
        token = f"{self.inbox}.r.{self._asked}"
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Msg] = loop.create_future()
        late = RequestTimeoutError(subject, f"no answer from {subject} within {timeout_s:g} s")
        timer = loop.call_later(timeout_s, self._fail, token, late)
        self._calls[token] = _Call(subject, answer, timer)
        try:
            await self.publish(subject, data, token, headers)
            message = await answer
        finally:
            self._calls.pop(token, None)
            timer.cancel()
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, also where the call ended before it could be waited for
        headers = message.headers or {}
        # What is stored in a stream may have any header; only the broker's own word has no stream.
        if headers.get("Status") == "503" and "Nats-Stream" not in headers:
            raise NoRespondersError(subject, f"nobody answers on {subject}")
        return message

    async def _subscribe_client(
        self, subject: str, handler: Callable[[Msg], Awaitable[None]], *, pending_max: int
    ) -> int:
        try:
            subscription = await self.client.subscribe(subject, cb=handler, pending_msgs_limit=pending_max)
        except FAILING as error:
            self.lose(self.reason or "nats-py has closed it")
            raise ConnectionLostError(subject, f"not subscribed to {subject}: {error}") from error
        return int(subscription._id)

    async def subscribe(self, wanted: Subscription) -> None:
        subject = f"{self.inbox}.{wanted.subject}" if wanted.private else wanted.subject

        def handle(message: Msg) -> None:
            try:
                wanted.handler(message)
            except Exception as error:  # carried to the connection's owner, who ends
                self._fail_owner(error)

        async def deliver(message: Msg) -> None:
            # A deputy of the broker can deliver what another subject carries; see `subjects.matches`.
            if not wanted.private and (
                not subjects.matches(wanted.subject, message.subject)
                or (message.headers and "Nats-Stream" in message.headers)
            ):
                self._counters["unasked"] += 1
                return
            self._hand_over(handle, message)

        self._sids[wanted] = await self._subscribe_client(subject, deliver, pending_max=wanted.pending_max)
        await self.probe()
        await self.probe()
        if subject.lower() in self._denied:
            self._sids.pop(wanted, None)
            raise ForbiddenError(subject, f"not allowed to subscribe to {subject}")

    @property
    def subscriptions(self) -> list[Subscription]:
        """What it listens for, in the order in which that was asked."""
        return list(self._sids)

    async def unsubscribe(self, wanted: Subscription) -> None:
        sid = self._sids.pop(wanted, None)
        if sid is not None and not self.lost.is_set():
            subscription = self.client._subs.get(sid)
            with contextlib.suppress(*FAILING):
                if subscription is not None:
                    await subscription.unsubscribe()

    async def close(self, *, abandon: bool) -> None:
        """End the client. One to be abandoned has its socket torn down first: nothing waits for it then."""
        transport = self.client._transport
        if abandon and transport is not None:
            writer = getattr(transport, "_io_writer", None)
            if writer is not None:
                writer.transport.abort()
        with contextlib.suppress(*FAILING):
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                with _keeping_cancellation():
                    await self.client.close()
        self.lose("closed")
