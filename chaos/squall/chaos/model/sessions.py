"""One client's connection, as the broker has it: what it listens to, what it may do, and whether it lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.bus.subjects import overlap
from squall.chaos.model.errors import Unmodelled
from squall.chaos.model.frames import Deliver, Denied, End, Ping, Pong, Pub, Sub, ToBroker, Unsub
from squall.chaos.model.rights import Gate, Rights
from squall.chaos.model.subjects import SubjectIndex, is_literal

if TYPE_CHECKING:
    from squall.chaos.model.broker import Broker

PING, PONG, END = Ping(), Pong(), End()


class Subscription:
    """Something that a client listens to.

    Attributes:
        places: Where it is registered: in its account, and in CORE for what its account takes of that.
    """

    __slots__ = ("deliver", "places", "session", "sid")

    def __init__(self, session: Session, sid: int) -> None:
        self.session = session
        self.sid = sid
        self.deliver = session.deliver
        self.places: list[tuple[SubjectIndex[Subscription], str]] = []

    def register(self, index: SubjectIndex[Subscription], pattern: str) -> None:
        index.add(pattern, self)
        self.places.append((index, pattern))

    def end(self) -> None:
        for index, pattern in self.places:
            index.remove(pattern, self)


class Session:
    """A connection. `Broker.connect` makes one.

    Attributes:
        name: As the client calls itself.
        alive: Whether it is open.
    """

    __slots__ = (
        "_broker",
        "_heard_s",
        "_pings",
        "_subscriptions",
        "alive",
        "deliver",
        "gate",
        "name",
        "received",
        "rights",
    )

    def __init__(self, broker: Broker, name: str, rights: Rights, deliver: Deliver) -> None:
        self._broker = broker
        self.name = name
        self.rights = rights
        self.gate = Gate(rights)
        self.deliver = deliver
        self.alive = True
        self.received = 0
        self._pings = 0
        self._heard_s = broker.alarms.time()
        self._subscriptions: dict[int, Subscription] = {}
        if broker.ping_s:
            # The first is early, to measure how far away the client is.
            first_s = broker.ping_s * broker.chance.uniform(1.0, 1.2)
            broker.alarms.after(first_s, self._watch, True)

    def receive(self, frame: ToBroker) -> None:
        """Take in what the client sent. Of a connection that has ended it is lost.

        Raises:
            Unmodelled: The model does not know what the server would do.
        """
        if not self.alive:
            return
        self._heard_s = self._broker.alarms.time()
        match frame:
            case Pub():
                self.received += 1
                self._publish(frame)
            case Sub(sid, subject):
                self._subscribe(sid, subject)
            case Unsub(sid):
                subscription = self._subscriptions.pop(sid, None)
                if subscription is not None:
                    subscription.end()
            case Ping():
                self.deliver(PONG)
            case Pong():
                self._pings = 0

    def closed(self) -> None:
        """The client's end of the connection is closed, or the network says so."""
        if not self.alive:
            return
        self.alive = False
        for subscription in self._subscriptions.values():
            subscription.end()
        self._subscriptions.clear()
        self._broker.forget(self)

    def end(self, reason: str = "") -> None:
        """The server closes it."""
        if self.alive:
            self.closed()
            if reason:
                self.deliver(Denied(reason))
            self.deliver(END)

    def _publish(self, frame: Pub) -> None:
        subject = frame.subject
        if not is_literal(subject) and not subject.startswith("$JS.API."):
            raise Unmodelled(f"a message to {subject}, which has wildcards")
        if not self.gate.may_publish(subject):
            self.deliver(Denied(f'Permissions Violation for Publish to "{subject}"'))
            return
        self._broker.publish(self, frame)

    def tell_nobody(self, subject: str, reply: str) -> None:
        """There is nobody for what this client asked."""
        headers = {"Status": "503", "Nats-Subject": subject}
        post = self._broker.post
        mine = [ear for ear in post.account(self.rights.account).find(reply) if ear.session is self]
        post.hand(mine[:1], reply, "", headers, b"")

    def _subscribe(self, sid: int, subject: str) -> None:
        if not self.gate.may_subscribe(subject):
            self.deliver(Denied(f'Permissions Violation for Subscription to "{subject}"'))
            return
        subscription = self._subscriptions[sid] = Subscription(self, sid)
        post = self._broker.post
        subscription.register(post.account(self.rights.account), subject)
        for pattern in self.gate.heard:
            both = overlap(pattern, subject)
            if both is not None:
                subscription.register(post.core, both)

    def _watch(self, first: bool = False) -> None:
        """See whether the client is there, if nothing was heard of it for long."""
        if not self.alive:
            return
        broker = self._broker
        if first or broker.alarms.time() - self._heard_s >= broker.ping_s:
            if self._pings >= broker.pings_max:
                self.end("Stale Connection")
                return
            self._pings += 1
            self.deliver(PING)
        broker.alarms.after(broker.ping_s, self._watch)
