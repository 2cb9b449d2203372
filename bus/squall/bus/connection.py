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
* What others may send in floods is listened to apart, on a connection of its
  own: whatever waits there delays no answer here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

from nats.aio.msg import Msg

from squall.bus import subjects
from squall.bus.backoff import Backoff
from squall.bus.errors import (
    AuthorizationError,
    ConnectionLostError,
    ForbiddenError,
    NotConnectedError,
)
from squall.bus.identity import Credentials
from squall.bus.link import Handler, Link, Subscription
from squall.bus.tasks import Tasks, task_group
from squall.bus.wire import CONNECT_TIMEOUT_S, NatsWire, Wire

PROBE_INTERVAL_S = 1.0

BACKOFF_S = (0.025, 2.0)
"""Base and cap of the pause between two attempts to connect."""

RETIRE_S = 7.0
"""How long a renewed link is kept for answers and deliveries on their way to it."""

AUTHORIZATION_PATIENCE_S = 15.0
"""How long refused credentials are retried, because newer ones may be on their way."""


class Connection:
    """A connection that outlives its links. Open one with `connect`.

    Attributes:
        name: The node's name.
        interceptor: Is given each delivery and its handler, and brings the two together as it likes.
        counters: ``reconnects``, ``dropped``, ``violations`` and ``unasked`` messages so far.
    """

    def __init__(
        self,
        url: str,
        name: str,
        credentials: Credentials | None,
        *,
        wire: Callable[[], Wire],
        beside: Connection | None = None,
    ) -> None:
        self._url = url
        self._wire = wire
        self.name = name
        self.inbox = credentials.inbox if credentials else subjects.inbox(name, secrets.token_hex(12))
        self._credentials = credentials
        self._renewal = asyncio.Event()
        self._link: Link | None = None
        # Shared, so that no two links of one node have the same inbox.
        self._generations: Iterator[int] = beside._generations if beside else itertools.count(1)
        self._private = itertools.count(1)
        self._connected = asyncio.Event()
        self._subscriptions: list[Subscription] = []
        self._on_link: list[Callable[[], None]] = []
        self._failure: Exception | None = None
        self._failed = asyncio.Event()
        self._apart: list[Connection] = []
        self.interceptor: Callable[[Handler, Msg], None] | None = beside.interceptor if beside else None
        self.counters: Counter[str] = beside.counters if beside else Counter()

    @property
    def private_inbox(self) -> str:
        """The inbox prefix of the present link, for replies that a handler subscribed to with ``private``."""
        if self._link is None:
            raise NotConnectedError("inbox", "no connection to the broker")
        return self._link.inbox

    def private_name(self, kind: str) -> str:
        """The end of a subject below the link's inbox that nobody else on this connection listens on."""
        return f"{kind}.{next(self._private)}"

    @property
    def server_version(self) -> str:
        """The broker's version, as it states it."""
        if self._link is None:
            return ""
        return self._link.wire.version

    def on_link(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call this, which must not raise, whenever a new link has taken over; returns what ends that."""
        self._on_link.append(callback)
        return lambda: self._on_link.remove(callback)

    def fail(self, error: Exception) -> None:
        """End the connection's ``async with`` with this error."""
        if self._failure is None:
            self._failure = error
            self._failed.set()

    def _hand_over(self, handler: Handler, message: Msg) -> None:
        if self.interceptor is None:
            handler(message)
        else:
            self.interceptor(handler, message)

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
        self,
        subject: str,
        handler: Handler,
        *,
        private: bool = False,
        pending_max: int = 4096,
        stream: str | None = None,
    ) -> Callable[[], Awaitable[None]]:
        """Call ``handler`` with every message from now on, on whatever link.

        Args:
            subject: A subject, or with ``private`` the end of one below the link's own inbox.
            handler: Must not block; what it raises ends the connection.
            pending_max: Messages that may wait for the handler; newer ones are dropped and counted.
            stream: The stream whose records the broker says again on this subject. What comes out of a stream
                is no message of a node, and is taken from this one only, and only where it is named.

        Returns:
            A function whose awaitable result unsubscribes.

        Raises:
            ForbiddenError: These credentials may not listen there.
        """
        wanted = Subscription(subject, handler, private, pending_max, stream)
        self._subscriptions.append(wanted)
        link = self._link
        if link is not None and not link.lost.is_set():
            # A link lost meanwhile is replaced by one that restores the whole registry.
            try:
                await link.subscribe(wanted)
            except ConnectionLostError:
                pass
            except ForbiddenError:
                self._subscriptions.remove(wanted)
                raise

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
        for other in self._apart:
            other.renew(credentials)

    @contextlib.asynccontextmanager
    async def apart(self) -> AsyncIterator[Connection]:
        """A further connection with the same credentials, for what may come in floods and delay nothing here.

        It is waited for as long as it takes, and dropped at the end with whatever is on its way. Renewals and
        counters are those of both.

        Raises:
            UntrustedBrokerError, AuthorizationError: As `connect` does.
        """
        other = Connection(self._url, self.name, self._credentials, wire=self._wire, beside=self)
        self._apart.append(other)
        try:
            async with _kept(other, await other._reopen(), drained=False):
                yield other
        finally:
            self._apart.remove(other)

    async def let_go(self) -> None:
        """Wait until what was published so far has left this process, as long as the link is not lost."""
        if self._link is not None and not self._link.lost.is_set():
            await self._link.let_go()

    # The life of the links.

    async def _open_link(self) -> Link:
        credentials = self._credentials
        if credentials is not None:
            self.inbox = credentials.inbox
        inbox = f"{self.inbox}.{next(self._generations)}"
        link = Link(self._wire(), inbox, self.counters, self.fail, self._hand_over)
        try:
            await link.open(self._url, credentials, self.name)
            # Again until nothing differs: subscriptions are added and ended while this link takes them over,
            # and from the last look until it is adopted nothing else runs.
            while link.subscriptions != self._subscriptions:
                for wanted in link.subscriptions:
                    await link.unsubscribe(wanted)
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
        backoff = Backoff(*BACKOFF_S)
        while True:
            await asyncio.sleep(backoff.pause_s())
            try:
                return await self._open_link()
            except AuthorizationError:
                refused_since = refused_since or loop.time()
                if loop.time() - refused_since > AUTHORIZATION_PATIENCE_S:
                    raise
            except (NotConnectedError, ConnectionLostError):
                refused_since = None

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

    async def _retire(self, link: Link, subscriptions: list[Subscription]) -> None:
        """Keep a renewed link for what is still on its way to its inbox, then close it."""
        try:
            for wanted in subscriptions:
                if not wanted.private:
                    await link.unsubscribe(wanted)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETIRE_S):
                    await link.lost.wait()
        except asyncio.CancelledError:
            await link.close(abandon=True)  # the connection ends before its time is over
            raise
        await link.close(abandon=link.lost.is_set())

    async def _keep(self, tasks: Tasks) -> None:
        """Replace the link whenever it is lost or its credentials were renewed."""
        probe: asyncio.Task[None] | None = None
        while True:
            link = self._link
            assert link is not None
            if probe is None:  # after a renewal that failed the link is the same one, and probed already
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
                probe = None  # it goes on until the retired link is closed
                self.counters["renewals"] += 1
                tasks.daemon(self._retire(link, list(self._subscriptions)))
                continue
            self._renewal.clear()
            probe.cancel()
            probe = None
            self._connected.clear()
            tasks.daemon(link.close(abandon=True))
            self._adopt(await self._reopen())
            self.counters["reconnects"] += 1

    async def _watch(self) -> None:
        """Raise what `fail` was given, in the group that owns this connection."""
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    async def _end(self, *, drained: bool) -> None:
        link = self._link
        if link is None:
            return
        if drained and not link.lost.is_set():
            for wanted in self._subscriptions:
                await link.unsubscribe(wanted)
            with contextlib.suppress(ConnectionLostError):
                await link.probe()
                await link.probe()
        await link.close(abandon=link.lost.is_set() or not drained)


@contextlib.asynccontextmanager
async def connect(
    url: str,
    name: str,
    credentials: Credentials | None = None,
    *,
    patience_s: float = 0.0,
    wire: Callable[[], Wire] = NatsWire,
) -> AsyncIterator[Connection]:
    """Open a connection, keep it alive inside the block, drain it at the end.

    Args:
        url: ``nats://host:port``, or ``tls://host:port``; credentials never travel in it.
        name: Shown by the broker; the node's name.
        credentials: Without, the broker must let anyone in.
        patience_s: How long to retry the first connect; 0 tries once.
        wire: Makes what each of its links is carried by.

    Raises:
        NotConnectedError: Nobody answers there.
        UntrustedBrokerError: With ``tls://``, the broker did not prove who it is.
        AuthorizationError: The broker refuses the credentials, now or after a renewal that never came.
    """
    connection = Connection(url, name, credentials, wire=wire)
    within_s = patience_s or CONNECT_TIMEOUT_S + 1
    try:
        async with asyncio.timeout(within_s):
            first = await (connection._reopen() if patience_s else connection._open_link())
    except TimeoutError as error:
        raise NotConnectedError(
            url, f"no broker answers at {url}: no answer within {within_s:g} s"
        ) from error
    async with _kept(connection, first, drained=True):
        yield connection


@contextlib.asynccontextmanager
async def _kept(connection: Connection, first: Link, *, drained: bool) -> AsyncIterator[None]:
    """Keep a connection alive inside the block, and end it."""
    connection._adopt(first)
    async with task_group() as tasks:
        tasks.daemon(connection._watch())
        keeping = tasks.daemon(connection._keep(tasks))
        try:
            yield
        finally:
            # First, or a link that takes over meanwhile would be left open.
            keeping.cancel()
            await asyncio.wait({keeping})
            await connection._end(drained=drained)
