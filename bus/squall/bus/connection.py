"""Open, watch, renew and drain one NATS connection.

nats-py is used as the wire only: it is never asked to reconnect. Everything
that keeps a connection alive is done here, by one operation — open a new link,
move over, let the old one go:

    connect()  ──►  link 1 ──(dead, silent, or its credentials are near their end)──►  link 2 ──► …
                      │
                      └─ a private inbox, the calls in flight, what the broker denied

* A link is probed from outside the client; one that does not answer is
  abandoned without waiting for it (nats.py #671: its own close can hang).
* Calls in flight on a lost link fail at once, as indefinite.
* Callbacks never raise (nats.py PR #914: an exception ends the read loop in
  silence); what a handler raises ends the ``async with`` of the connection.
* A permission violation is raised at the call that caused it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from nats import errors as nats_errors
from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg

from squall.bus import subjects
from squall.bus.errors import (
    AuthorizationError,
    BusError,
    ConnectionLostError,
    ForbiddenError,
    MessageTooLargeError,
    NoRespondersError,
    NotConnectedError,
    RequestTimeoutError,
)
from squall.bus.identity import Credentials
from squall.bus.tasks import Tasks, task_group

CONNECT_TIMEOUT_S = 5.0
PROBE_INTERVAL_S = 1.0
PROBE_TIMEOUT_S = 5.0
"""Longer than a busy machine needs for a round trip; a late PONG would break the client, so the
first probe that fails abandons the link."""

BACKOFF_S = (0.05, 2.0)
"""Bounds of the pause between two attempts to connect; full jitter."""

RETIRE_S = 7.0
"""How long a renewed link is kept for answers and deliveries on their way to it."""

AUTHORIZATION_PATIENCE_S = 15.0
"""How long refused credentials are retried, because newer ones may be on their way."""

_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')

Handler = Callable[[Msg], None]


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
class _Subscription:
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
    """One nats-py client from its connect to its end. Nobody above `Connection` keeps one.

    Attributes:
        inbox: The private prefix of this link; what arrives below it was asked for by this link.
        lost: Set when the link is of no use any more; ``reason`` says why.
    """

    def __init__(self, connection: Connection, generation: int) -> None:
        self._connection = connection
        self.client = Client()
        self.inbox = f"{connection.inbox}.{generation}"
        self.lost = asyncio.Event()
        self.reason = ""
        self._calls: dict[str, _Call] = {}
        self._tokens = itertools.count(1)
        self._denied: set[str] = set()
        self._confirmed: set[str] = set()
        self._sids: dict[_Subscription, int] = {}
        self._probes: set[asyncio.Future[float]] = set()

    async def open(self, url: str, credentials: Credentials | None, name: str) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                with _keeping_cancellation():
                    await self.client.connect(
                        url,
                        name=name,
                        allow_reconnect=False,
                        connect_timeout=int(CONNECT_TIMEOUT_S),
                        ping_interval=3600,  # liveness is probed from outside
                        flush_timeout=PROBE_TIMEOUT_S,
                        skip_subject_validation=True,  # they are validated where they are built
                        error_cb=self._on_error,
                        closed_cb=self._on_closed,
                        inbox_prefix=self.inbox,
                        user_credentials=RawCredentials(credentials.creds_file()) if credentials else None,
                    )
        except nats_errors.AuthorizationError as error:
            raise AuthorizationError(f"the broker at {url} refuses these credentials") from error
        except (nats_errors.Error, OSError, ValueError) as error:
            if "authorization" in str(error).lower():
                raise AuthorizationError(f"the broker at {url} refuses these credentials") from error
            raise NotConnectedError(url, f"no broker answers at {url} ({error})") from error
        await self._subscribe_client(f"{self.inbox}.r.*", self._on_answer, pending_max=65536)

    # What the client tells us. None of these may raise.

    async def _on_error(self, error: Exception) -> None:
        text = str(error)
        match = _VIOLATION.search(text)
        if match is None:
            if isinstance(error, nats_errors.SlowConsumerError):
                self._connection.counters["dropped"] += 1
            self.reason = text or type(error).__name__
            return
        self._connection.counters["violations"] += 1
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
            self._connection.counters["unasked"] += 1
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
        except nats_errors.MaxPayloadError as error:
            raise MessageTooLargeError(
                f"{len(data):,} bytes for {subject} pass the broker's bound"
            ) from error
        except (nats_errors.Error, OSError, TimeoutError) as error:
            raise ConnectionLostError(subject, f"not sent to {subject}: {error}") from error

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
        try:
            return float(await asyncio.shield(probe))
        except asyncio.CancelledError:
            if not probe.cancelled():
                raise  # it was the caller who was cancelled
            raise ConnectionLostError("probe", self.reason) from None
        except (nats_errors.Error, OSError, TimeoutError) as error:
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
        token = f"{self.inbox}.r.{next(self._tokens)}"
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
        if message.headers and message.headers.get("Status") == "503":
            raise NoRespondersError(subject, f"nobody answers on {subject}")
        return message

    async def _subscribe_client(
        self, subject: str, handler: Callable[[Msg], Awaitable[None]], *, pending_max: int
    ) -> int:
        subscription = await self.client.subscribe(
            subject,
            cb=handler,
            pending_msgs_limit=pending_max,
        )
        return int(subscription._id)

    async def subscribe(self, wanted: _Subscription) -> None:
        subject = f"{self.inbox}.{wanted.subject}" if wanted.private else wanted.subject

        async def deliver(message: Msg) -> None:
            # A deputy of the broker can deliver what another subject carries; see `subjects.matches`.
            if not wanted.private and (
                not subjects.matches(wanted.subject, message.subject)
                or (message.headers and "Nats-Stream" in message.headers)
            ):
                self._connection.counters["unasked"] += 1
                return
            try:
                wanted.handler(message)
            except Exception as error:  # carried to the connection's owner, who ends
                self._connection.fail(error)

        self._sids[wanted] = await self._subscribe_client(subject, deliver, pending_max=wanted.pending_max)
        await self.probe()
        await self.probe()
        if subject.lower() in self._denied:
            raise ForbiddenError(subject, f"not allowed to subscribe to {subject}")

    async def unsubscribe(self, wanted: _Subscription) -> None:
        sid = self._sids.pop(wanted, None)
        if sid is not None and not self.lost.is_set():
            subscription = self.client._subs.get(sid)
            with contextlib.suppress(nats_errors.Error):
                if subscription is not None:
                    await subscription.unsubscribe()

    async def close(self, *, abandon: bool) -> None:
        """End the client. One to be abandoned has its socket torn down first: nothing waits for it then."""
        transport = self.client._transport
        if abandon and transport is not None:
            writer = getattr(transport, "_io_writer", None)
            if writer is not None:
                writer.transport.abort()
        with contextlib.suppress(nats_errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                with _keeping_cancellation():
                    await self.client.close()
        self.lose("closed")


class Connection:
    """A connection that outlives its links. Open one with `connect`.

    Attributes:
        name: The node's name.
        counters: ``reconnects``, ``dropped``, ``violations`` and ``unasked`` messages so far.
    """

    def __init__(self, url: str, name: str, credentials: Credentials | None) -> None:
        self._url = url
        self.name = name
        self.inbox = credentials.inbox if credentials else subjects.inbox(name, secrets.token_hex(12))
        self._credentials = credentials
        self._renewal = asyncio.Event()
        self._link: Link | None = None
        self._generations = itertools.count(1)
        self._connected = asyncio.Event()
        self._subscriptions: list[_Subscription] = []
        self._on_link: list[Callable[[], None]] = []
        self._failure: Exception | None = None
        self._failed = asyncio.Event()
        self._random = random.Random()
        self.counters: Counter[str] = Counter()

    @property
    def private_inbox(self) -> str:
        """The inbox prefix of the present link, for replies that a handler subscribed to with ``private``."""
        if self._link is None:
            raise NotConnectedError("inbox", "no connection to the broker")
        return self._link.inbox

    @property
    def server_version(self) -> str:
        """The broker's version, as it states it."""
        if self._link is None:
            return ""
        version = self._link.client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    def on_link(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call this, which must not raise, whenever a new link has taken over; returns what ends that."""
        self._on_link.append(callback)
        return lambda: self._on_link.remove(callback)

    def fail(self, error: Exception) -> None:
        """End the connection's ``async with`` with this error."""
        if self._failure is None:
            self._failure = error
            self._failed.set()

    async def connected(self) -> None:
        """Wait until there is a link."""
        await self._connected.wait()

    def _current(self, subject: str) -> Link:
        link = self._link
        if link is None or link.lost.is_set():
            raise NotConnectedError(subject, f"no connection for {subject}")
        return link

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
        confirm: bool = True,
    ) -> None:
        """Send a message that may be lost.

        Args:
            confirm: Wait, the first time a subject is used on a link, until the broker has had its say.

        Raises:
            NotConnectedError: Nothing was sent.
            ForbiddenError: These credentials do not reach the subject.
            ConnectionLostError: The connection died meanwhile.
        """
        link = self._current(subject)
        await link.publish(subject, data, reply, headers)
        if confirm:
            await link.confirm(subject)

    async def request(
        self, subject: str, data: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Msg:
        """One question, one answer.

        Raises:
            NotConnectedError, NoRespondersError, ForbiddenError: It did not happen.
            RequestTimeoutError, ConnectionLostError: It may have.
        """
        return await self._current(subject).request(subject, data, timeout_s, headers)

    async def subscribe(
        self, subject: str, handler: Handler, *, private: bool = False, pending_max: int = 4096
    ) -> Callable[[], Awaitable[None]]:
        """Call ``handler`` with every message from now on, on whatever link.

        Args:
            subject: A subject, or with ``private`` the end of one below the link's own inbox.
            handler: Must not block; what it raises ends the connection.
            pending_max: Messages that may wait for the handler; newer ones are dropped and counted.

        Returns:
            A function whose awaitable result unsubscribes.

        Raises:
            ForbiddenError: These credentials may not listen there.
        """
        wanted = _Subscription(subject, handler, private, pending_max)
        self._subscriptions.append(wanted)
        link = self._link
        if link is not None and not link.lost.is_set():
            # A link lost meanwhile is replaced by one that restores the whole registry.
            with contextlib.suppress(ConnectionLostError):
                await link.subscribe(wanted)

        async def stop() -> None:
            if wanted in self._subscriptions:
                self._subscriptions.remove(wanted)
            if self._link is not None:
                await self._link.unsubscribe(wanted)

        return stop

    def renew(self, credentials: Credentials) -> None:
        """Move over to a link with these credentials, without losing a call."""
        self._credentials = credentials
        self._renewal.set()

    # The life of the links.

    async def _open_link(self) -> Link:
        credentials = self._credentials
        if credentials is not None:
            self.inbox = credentials.inbox
        link = Link(self, next(self._generations))
        try:
            await link.open(self._url, credentials, self.name)
            for wanted in list(self._subscriptions):
                await link.subscribe(wanted)
        except BaseException:
            await link.close(abandon=True)
            raise
        return link

    async def _reopen(self) -> Link:
        """Open a link, however long it takes; refused credentials get a bounded time."""
        refused_since: float | None = None
        loop = asyncio.get_running_loop()
        for attempt in itertools.count():
            low, high = BACKOFF_S
            await asyncio.sleep(self._random.uniform(0, min(high, low * 2**attempt)))
            try:
                return await self._open_link()
            except AuthorizationError:
                refused_since = refused_since or loop.time()
                if loop.time() - refused_since > AUTHORIZATION_PATIENCE_S:
                    raise
            except (NotConnectedError, ConnectionLostError):
                refused_since = None
        raise AssertionError("unreachable")

    def _adopt(self, link: Link) -> None:
        self._link = link
        self._connected.set()
        for callback in list(self._on_link):
            callback()

    async def _probe(self, link: Link) -> None:
        while not link.lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_INTERVAL_S):
                    await link.lost.wait()
            with contextlib.suppress(ConnectionLostError):
                await link.probe()

    async def _retire(self, link: Link, subscriptions: list[_Subscription]) -> None:
        """Keep a renewed link for what is still on its way to its inbox, then close it."""
        for wanted in subscriptions:
            if not wanted.private:
                await link.unsubscribe(wanted)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETIRE_S):
                await link.lost.wait()
        await link.close(abandon=False)

    async def _keep(self, tasks: Tasks) -> None:
        """Replace the link whenever it is lost or its credentials were renewed."""
        while True:
            link = self._link
            assert link is not None
            probe = tasks.daemon(self._probe(link))
            lost = asyncio.ensure_future(link.lost.wait())
            renewal = asyncio.ensure_future(self._renewal.wait())
            try:
                await asyncio.wait({lost, renewal}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                lost.cancel()
                renewal.cancel()
            if self._renewal.is_set() and not link.lost.is_set():
                self._renewal.clear()
                try:
                    fresh = await self._open_link()
                except (NotConnectedError, ConnectionLostError, AuthorizationError):
                    self.counters["renewals_failed"] += 1
                    continue
                self._adopt(fresh)
                self.counters["renewals"] += 1
                tasks.daemon(self._retire(link, list(self._subscriptions)))
                continue
            self._renewal.clear()
            probe.cancel()
            self._connected.clear()
            tasks.daemon(link.close(abandon=True))
            self._adopt(await self._reopen())
            self.counters["reconnects"] += 1

    async def _watch(self) -> None:
        """Raise what `fail` was given, in the group that owns this connection."""
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    async def _drain(self) -> None:
        link = self._link
        if link is None:
            return
        if not link.lost.is_set():
            for wanted in self._subscriptions:
                await link.unsubscribe(wanted)
            with contextlib.suppress(ConnectionLostError):
                await link.probe()
                await link.probe()
        await link.close(abandon=link.lost.is_set())


@contextlib.asynccontextmanager
async def connect(
    url: str, name: str, credentials: Credentials | None = None, *, patience_s: float = 0.0
) -> AsyncIterator[Connection]:
    """Open a connection, keep it alive inside the block, drain it at the end.

    Args:
        url: ``nats://host:port``; credentials never travel in it.
        name: Shown by the broker; the node's name.
        credentials: Without, the broker must let anyone in.
        patience_s: How long to retry the first connect; 0 tries once.

    Raises:
        NotConnectedError: Nobody answers there.
        AuthorizationError: The broker refuses the credentials, now or after a renewal that never came.
    """
    connection = Connection(url, name, credentials)
    try:
        async with asyncio.timeout(patience_s or CONNECT_TIMEOUT_S + 1):
            first = await (connection._reopen() if patience_s else connection._open_link())
    except TimeoutError as error:
        raise NotConnectedError(url, f"no broker answers at {url}") from error
    connection._adopt(first)

    async with task_group() as tasks:
        tasks.daemon(connection._watch())
        tasks.daemon(connection._keep(tasks))
        try:
            yield connection
        finally:
            await connection._drain()
