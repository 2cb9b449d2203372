"""The broker: connections, what they say to each other, and JetStream beside them.

    client ──frames──► session ─► subscriptions of its account ─► sessions ──frames──► clients
                          └─────► JetStream, of CORE or through an import

Everything happens at once, when a frame is received or a timer goes off; how long things take on their way is
the network's, and somebody else's.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from squall.bus.subjects import REQUEST_INFO
from squall.chaos.model.api import Api
from squall.chaos.model.clock import Alarms, Clock
from squall.chaos.model.consumers import OnDeliver
from squall.chaos.model.errors import Unmodelled
from squall.chaos.model.frames import Deliver, Pub
from squall.chaos.model.jetstream import ACK, DIRECT, NEXT, JetStream
from squall.chaos.model.post import OUTSIDE, Post, outside
from squall.chaos.model.rights import Rights
from squall.chaos.model.sessions import Session
from squall.chaos.model.streams import Stored, Stream

PING_S = 2.0
PINGS_MAX = 2
"""As Squall configures its servers."""


class Figures(NamedTuple):
    """What a broker did.

    Attributes:
        received: Messages that clients published.
        sent: Messages that clients were sent.
        stored: Messages that streams stored.
    """

    received: int
    sent: int
    stored: int


class Broker:
    """A model of one nats-server.

    Args:
        clock: Has the time, and calls back.
        chance: Draws what a real server does by chance or by speed.
        epoch_s: What is added to the clock to get seconds since the epoch.
        ping_s, pings_max: Silence after which a client is asked whether it is there, and how often before it
            is taken for gone; a ``ping_s`` of 0 asks nobody.

    Attributes:
        up: Whether its process lives.
    """

    def __init__(
        self,
        clock: Clock,
        chance: random.Random,
        *,
        epoch_s: float = 0.0,
        ping_s: float = PING_S,
        pings_max: int = PINGS_MAX,
    ) -> None:
        self.alarms = Alarms(clock, epoch_s)
        self.chance = chance
        self.ping_s = ping_s
        self.pings_max = pings_max
        self.post = Post()
        self.jetstream = JetStream(self.alarms, chance, self.post)
        self.up = True
        self._api = Api(self.jetstream)
        self._sessions: dict[Session, None] = {}
        self._received = 0

    # For the world.

    @property
    def figures(self) -> Figures:
        return Figures(self._received, self.post.sent, self.jetstream.stored)

    @property
    def on_store(self) -> Callable[[Stream, Stored], None] | None:
        """Called with each message that a stream stores, once it is stored and before anybody is told."""
        return self.jetstream.on_store

    @on_store.setter
    def on_store(self, callback: Callable[[Stream, Stored], None] | None) -> None:
        self.jetstream.on_store = callback

    @property
    def on_deliver(self) -> OnDeliver | None:
        """Called with each delivery of a consumer, before it is sent."""
        return self.jetstream.on_deliver

    @on_deliver.setter
    def on_deliver(self, callback: OnDeliver | None) -> None:
        self.jetstream.on_deliver = callback

    @property
    def source_delay_s(self) -> tuple[float, float]:
        """How long a stream takes to copy of another what was stored there: at least and at most."""
        return self.jetstream.pace.delay_s

    @source_delay_s.setter
    def source_delay_s(self, delay_s: tuple[float, float]) -> None:
        self.jetstream.pace.delay_s = delay_s

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The connections that are open."""
        return tuple(self._sessions)

    def connect(self, name: str, rights: Rights, deliver: Deliver) -> Session:
        """Open a connection.

        Args:
            name: What the client calls itself.
            rights: What its credentials are worth.
            deliver: The way to it. It must not call back into the broker before it returns.

        Raises:
            ConnectionRefusedError: The server is down.
        """
        if not self.up:
            raise ConnectionRefusedError("the broker is down")
        session = Session(self, name, rights, deliver)
        self._sessions[session] = None
        return session

    def kill(self) -> None:
        """End the server's process at once.

        What streams have stored stays, since the operating system has it. What consumers did in the last
        moment may be forgotten; batches that are not complete, requests, and consumers in memory are.
        """
        if not self.up:
            return
        self.up = False
        self.jetstream.killed()
        for session in list(self._sessions):
            session.end()
        self.alarms.silence()

    def start(self) -> None:
        """Start another process on the same store."""
        if not self.up:
            self.up = True
            self.jetstream.restart()

    # For sessions.

    def forget(self, session: Session) -> None:
        self._sessions.pop(session, None)

    def publish(self, session: Session, frame: Pub) -> None:
        """Pass on what a client may publish."""
        self._received += 1
        subject, reply, headers, data = frame.subject, frame.reply, frame.headers, frame.data
        account = session.rights.account
        if not account:
            reached = self._publish(frame)
        else:
            ears = self.post.account(account).find(subject)
            self.post.hand(ears, subject, reply, headers, data)
            reached = bool(ears)
            if session.gate.leaves(subject):
                sent = Pub(subject, outside(account, reply), headers, data)
                reached = self._publish(sent, account) or reached
        if not reached and reply:
            session.tell_nobody(subject, reply)

    def _publish(self, frame: Pub, account: str = "") -> bool:
        """Pass a message on in CORE, whatever account it is from; whether it reached anybody."""
        subject, reply, headers, data = frame.subject, frame.reply, frame.headers, frame.data
        if subject.startswith(OUTSIDE):
            if not self.post.ears(subject):
                return False
            self.post.send(subject, data, headers)
            return True
        ears = self.post.core.find(subject)
        if account:
            # What came in as a service goes nowhere as a stream (nats-server #8338).
            ears = [ear for ear in ears if not ear.session.rights.account]
        if ears:
            heard = headers
            if account:
                heard = {**(headers or {}), REQUEST_INFO: msgspec.json.encode({"acc": account}).decode()}
            self.post.hand(ears, subject, reply, heard, data)
        if subject.startswith("$"):
            return self._ask_server(subject, reply, data) or bool(ears)
        return self.jetstream.take(subject, reply, headers, data) or bool(ears)

    def _ask_server(self, subject: str, reply: str, data: bytes) -> bool:
        if subject.startswith(ACK):
            return self.jetstream.acknowledge(subject, reply, data)
        if subject.startswith(NEXT):
            return self.jetstream.ask(subject, reply, data)
        if subject.startswith(DIRECT):
            return self.jetstream.direct(subject, reply, data)
        if subject.startswith("$JS.API."):
            answer = self._api.answer(subject, data)
            if reply:
                self.post.send(reply, answer)
            return True
        raise Unmodelled(f"a message to {subject}")
