"""One connection to a broker, from its opening to its end: a `Link`. `Connection` opens one after another.

A wire carries it. Whatever is known to make one go silent ends the link instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from nats.aio.msg import Msg

from squall.bus import subjects
from squall.bus.border import printable
from squall.bus.errors import (
    BusError,
    ConnectionLostError,
    ForbiddenError,
    NoRespondersError,
    NotConnectedError,
    RequestTimeoutError,
    WireError,
)
from squall.bus.identity import Credentials
from squall.bus.wire import Heard, Told, Wire

LET_GO_S = 0.5
"""How long what was published may take to leave the process: one turn of the loop, if the broker reads."""

Handler = Callable[[Msg], None]


_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')


@dataclass(slots=True, eq=False)
class Subscription:
    """What is subscribed again on every new link.

    With ``private``, the subject is below the link's inbox. With a ``stream``, what is heard is what the
    broker says again of that stream's records, and nothing else.
    """

    subject: str
    handler: Handler
    private: bool
    pending_max: int
    stream: str | None


class _Call(msgspec.Struct, eq=False):
    subject: str
    answer: asyncio.Future[Msg]
    timer: asyncio.TimerHandle


class Link:
    """One wire, and what was asked over it. Nobody above `Connection` keeps one.

    Args:
        wire: What carries it.
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
        wire: Wire,
        inbox: str,
        counters: Counter[str],
        fail: Callable[[Exception], None],
        hand_over: Callable[[Handler, Msg], None],
    ) -> None:
        self._counters = counters
        self._fail_owner = fail
        self._hand_over = hand_over
        self.wire = wire
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
        told = Told(
            denied=self._on_denied, dropped=self._on_dropped, failed=self._on_failed, closed=self._on_closed
        )
        await self.wire.open(url, name=name, inbox=self.inbox, credentials=credentials, told=told)
        await self._listen(f"{self.inbox}.r.*", self._on_answer, pending_max=65536)

    # What the wire tells us. None of these may raise.

    def _on_denied(self, text: str) -> None:
        match = _VIOLATION.search(text.lower())
        if match is None:
            self._on_failed(printable(text))
            return
        self._counters["violations"] += 1
        subject = match.group(2)
        self._denied.add(subject)
        for token, call in list(self._calls.items()):
            if call.subject.lower() == subject:
                self._fail(token, ForbiddenError(call.subject, f"not allowed to reach {call.subject}"))

    def _on_dropped(self) -> None:
        self._counters["dropped"] += 1

    def _on_failed(self, reason: str) -> None:
        self.reason = reason

    def _on_closed(self) -> None:
        self.lose(self.reason or "closed by the broker")

    def _on_answer(self, message: Msg) -> None:
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

    def _give_up(self, token: str, waited_s: float) -> None:
        if (call := self._calls.get(token)) is not None:  # else its answer came in the same turn of the loop
            late = f"no answer from {call.subject} within {waited_s:g} s"
            self._fail(token, RequestTimeoutError(call.subject, late))

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
            await self.wire.publish(subject, data, reply, headers)
        except WireError as error:
            if self.wire.is_closed:  # nats-py tells nobody if the transport fails it while it closes
                self.lose("the wire has closed")
            raise ConnectionLostError(subject, f"not sent to {subject}: {error}") from error

    async def let_go(self) -> None:
        """Wait until the operating system has what was published, for at most `LET_GO_S`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LET_GO_S):
                while not self.wire.is_closed and self.wire.holds_back():
                    await asyncio.sleep(0)

    async def confirm(self, subject: str) -> None:
        """Wait until the broker has taken what was published, and raise if it denied this subject.

        Twice: a PING may go ahead of the messages still pending.
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
        probe = asyncio.ensure_future(self.wire.ping())
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
        except WireError as error:
            self.lose(f"the broker did not answer a probe ({error})")
            raise ConnectionLostError("probe", self.reason) from error

    def _probed(self, probe: asyncio.Future[float]) -> None:
        self._probes.discard(probe)
        if not probe.cancelled() and probe.exception() is not None:
            self.lose(f"the broker did not answer a probe ({probe.exception()})")

    async def request(
        self, subject: str, data: bytes, timeout_s: float, headers: Mapping[str, str] | None
    ) -> Msg:
        if self.lost.is_set():
            raise NotConnectedError(subject, f"no connection for {subject}: {self.reason}")
        self._asked += 1
        token = f"{self.inbox}.r.{self._asked}"
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Msg] = loop.create_future()
        timer = loop.call_later(timeout_s, self._give_up, token, timeout_s)
        self._calls[token] = _Call(subject, answer, timer)
        try:
            await self.publish(subject, data, token, headers)
            message = await answer
        finally:
            self._calls.pop(token, None)
            timer.cancel()
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, also where the call ended before it could be waited for
        headers = message.headers
        # What is stored in a stream may have any header; only the broker's own word has no stream.
        if headers and headers.get("Status") == "503" and "Nats-Stream" not in headers:
            raise NoRespondersError(subject, f"nobody answers on {subject}")
        return message

    async def _listen(self, subject: str, heard: Heard, *, pending_max: int) -> int:
        try:
            return await self.wire.subscribe(subject, heard, pending_max=pending_max)
        except WireError as error:
            self.lose(self.reason or "the wire has closed")
            raise ConnectionLostError(subject, f"not subscribed to {subject}: {error}") from error

    async def subscribe(self, wanted: Subscription) -> None:
        subject = f"{self.inbox}.{wanted.subject}" if wanted.private else wanted.subject

        def handle(message: Msg) -> None:
            try:
                wanted.handler(message)
            except Exception as error:  # carried to the connection's owner, who ends
                self._fail_owner(error)

        def deliver(message: Msg) -> None:
            # A deputy of the broker can deliver what another subject carries; see `subjects.matches`.
            if not wanted.private and (
                not subjects.matches(wanted.subject, message.subject)
                or (message.headers or {}).get("Nats-Stream") != wanted.stream
            ):
                self._counters["unasked"] += 1
                return
            self._hand_over(handle, message)

        self._sids[wanted] = await self._listen(subject, deliver, pending_max=wanted.pending_max)
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
            with contextlib.suppress(WireError):
                await self.wire.unsubscribe(sid)

    async def close(self, *, abandon: bool) -> None:
        """End the wire. One to be abandoned is torn down first: nothing waits for it then."""
        if abandon:
            self.wire.abort()
        await self.wire.close()
        self.lose("closed")
