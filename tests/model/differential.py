"""The same operations on nats-server and on the model, side by side, and what differs.

    operation ──► frames ──► nats-server ──► what is heard ──┐
                     └─────► the model   ──► what is heard ──┴──► compared, message by message

Both run at the same time: the model's clock follows the real one. Before an operation the run waits until no
timer of the model is near, so that the machine's speed never decides whether a timer was before it; after it
the run waits until the server has said as much as the model has.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tests.model import layout
from tests.model.acting import Acting
from tests.model.operations import Operation, told
from tests.model.virtual import VirtualClock
from tests.model.wire import Wire

from squall.chaos.model.broker import Broker
from squall.chaos.model.frames import Denied, End, Headers, Msg, Ping, Pub, Sub, ToBroker, ToClient
from squall.chaos.model.rights import Rights
from squall.chaos.model.telling import consumer_info

RINGING_S = 0.03
"""How long a timer of the model may ring after the server's."""

PATIENCE_S = 4.0
"""How long the server may take to say what the model has said."""

NEAR_S, LATE_S = 0.12, 0.12
"""How near a timer may be before an operation, and how late the server may be after it."""

WIDE = {"_copy": 0.3, "_begin": 0.3}
"""Timers that the server itself draws at random, or looks at only now and then."""

ANSWERS, AGAIN, PULLS = 1, 3, 100
"""Numbers of subscriptions: of all answers, of what streams say again, and of the inbox of the first pull."""

VOLATILE = {
    *("cluster", "created", "ts", "first_ts", "last_ts", "time", "metadata", "last_active"),
    *("paused", "pause_remaining", "pause_until", "active", "lag", "subject_transforms"),
}
"""What is never the same twice, or tells of the server's version."""

STATE = ("num_waiting", "num_ack_pending", "num_pending", "num_redelivered")


class Difference(Exception):
    """The server and the model do not agree."""


class Side:
    """What one of the two has said."""

    def __init__(self) -> None:
        self.heard: defaultdict[str, list[Msg]] = defaultdict(list)
        self.beats: dict[int, Msg] = {}
        self.denied: list[str] = []
        self.private: dict[str, asyncio.Future[Msg]] = {}
        self.ended = False

    def deliver(self, frame: ToClient) -> None:
        if isinstance(frame, Msg):
            status = (frame.headers or {}).get("Status")
            if frame.subject in self.private:
                self.private[frame.subject].set_result(frame)
            elif status == "100":
                self.beats[frame.sid] = frame
            else:
                self.heard[frame.subject if frame.sid == ANSWERS else f"inbox {frame.sid}"].append(frame)
        elif isinstance(frame, Denied):
            self.denied.append(frame.text)
        elif isinstance(frame, End):
            self.ended = True


class Run(Acting):
    """One sequence of operations on both.

    Args:
        prefix: What tells its streams and subjects from those of other runs on the same server.
        durable: Whether the server may be killed meanwhile, so that nothing is to be in its memory.
    """

    def __init__(self, port: int, prefix: str, seed: int, *, durable: bool = False) -> None:
        self.prefix = prefix
        self.durable = durable
        self.published = tuple(name for name in layout.PUBLISHED if not (durable and name == "MEM"))
        self._port = port
        self.clock = VirtualClock()
        self.broker = Broker(self.clock, random.Random(seed), epoch_s=time.time(), ping_s=0)
        self.broker.source_delay_s = (0.0005, 0.0005)
        self.real, self.model = Side(), Side()
        self._began_s = time.monotonic()
        self._compared: defaultdict[str, int] = defaultdict(int)
        self._copied: dict[str, int] = {}
        self._asked = 0
        self._waking: set[str] = set()
        self._done: list[str] = []
        self.begin_acting()

    async def begin(self) -> None:
        """Connect, and make the streams and consumers."""
        await self.connect()
        for config in layout.streams(self.prefix):
            if config["name"].removeprefix(self.prefix) not in self.streams:
                continue
            await self.ask(f"$JS.API.STREAM.CREATE.{config['name']}", config)
        for which in range(len(layout.CONSUMERS)):
            await self.ask(*layout.consumer(self.prefix, which))
        await self.until(self.now() + 0.25)  # streams begin to copy after 0.1 to 0.2 s

    async def connect(self) -> None:
        self.wire = await Wire.connect(self._port, self.prefix, self.real.deliver)
        self.session = self.broker.connect(self.prefix, Rights(), self.model.deliver)
        self._pulls.clear()
        self.both(Sub(ANSWERS, f"_INBOX.{self.prefix}.r.*"))
        self.both(Sub(AGAIN, f"{self.prefix}.plain.>"))
        self.wire.receive(Sub(2, f"_INBOX.{self.prefix}.s.*"))

    async def back(self) -> None:
        """Both servers were killed and started again: connect, and compare what is left.

        Raises:
            Difference: Something else is.
        """
        await self.wire.close()
        await self.connect()
        # A stream that was found before the one that it copies of looks for that again after 12 s.
        for name in layout.SOURCED:
            while b'"error"' in (await self._privately(f"$JS.API.STREAM.INFO.{self.prefix}{name}")).data:
                await self.until(self.now() + 0.5)
        # By then all that was pending is to come again, whatever seconds were cut off, and copying goes on.
        await self.until(self.now() + 2.3)
        try:
            await self.keep_clear()
            await self.look()
        except Difference as difference:
            done = "\n  ".join(self._done)
            raise Difference(f"{difference}\nonce the server was started again, after\n  {done}") from None

    async def carry_out(self, operations: Iterable[Operation]) -> None:
        """Do all of it.

        Raises:
            Difference: Something differs.
        """
        try:
            for operation in operations:
                await self.keep_clear()
                self._done.append(told(operation))
                await self.act(operation)
        except Difference as difference:
            done = "\n  ".join(self._done)
            raise Difference(f"{difference}\nafter\n  {done}") from None

    async def end(self) -> None:
        """Compare what is left in the end.

        Raises:
            Difference: Something differs.
        """
        try:
            await self.keep_clear()
            await self.until(self.now() + 0.3)
            await self.keep_clear()
            await self.look()
        except Difference as difference:
            done = "\n  ".join(self._done)
            raise Difference(f"{difference}\nin the end, after\n  {done}") from None
        finally:
            for stream in reversed(self.streams):
                await self._privately(f"$JS.API.STREAM.DELETE.{self.prefix}{stream}")
            await self.wire.close()

    # Time.

    def now(self) -> float:
        return time.monotonic() - self._began_s

    def advance(self) -> None:
        self.clock.advance(self.now())

    async def until(self, when: float) -> None:
        """Let time pass on both sides."""
        while self.now() < when:
            await asyncio.sleep(min(0.02, max(0.0, when - self.now())))
            self.clock.advance(self.now())

    async def keep_clear(self) -> None:
        """Wait until no timer is near."""
        while True:
            self.clock.advance(self.now())
            until = max(
                (due + late for due, near, late in self._dues() if due - near <= self.now()), default=0.0
            )
            if until <= self.now():
                break
            await self.until(until)
        await self.settle()

    def _dues(self) -> list[tuple[float, float, float]]:
        """When something happens by itself, how near to it is near, and how late late is."""
        now = self.now()
        dues = [(due, NEAR_S, LATE_S) for due in self.soft_dues(now)]
        for call in self.clock.to_come():
            _, callback, args = call.args
            name = callback.__name__
            due = call.when
            if name == "_elapse":  # heartbeats do not matter
                due = args[0].expires
                if not due:
                    continue
            if name == "_copy" and due - now < 0.01:
                continue
            wide = WIDE.get(name)
            dues.append((due, wide or NEAR_S, wide or LATE_S))
        return dues

    async def settle(self) -> None:
        """Wait until the server has said as much as the model has, and compare.

        Raises:
            Difference: It has said something else, or has not.
        """
        until = time.monotonic() + PATIENCE_S
        self.clock.advance(max(self.now(), self.clock.time()) + 0.0006)  # so that what is stored is copied
        while time.monotonic() < until and any(
            len(self.real.heard[key]) < len(messages) for key, messages in self.model.heard.items()
        ):
            await asyncio.sleep(0.001)
        self.clock.advance(self.now())
        await self._see_copies(until)
        until = time.monotonic() + RINGING_S
        while time.monotonic() < until and any(
            len(self.model.heard[key]) < len(messages) for key, messages in self.real.heard.items()
        ):
            await asyncio.sleep(0.001)
            self.clock.advance(self.now())
        for key in sorted({*self.real.heard, *self.model.heard}):
            self._compare(key)
        if self.real.denied != self.model.denied:
            raise Difference(f"the server denied {self.real.denied}, the model {self.model.denied}")

    async def _see_copies(self, until: float) -> None:
        """Wait until the server has copied what the model has, from stream to stream."""
        for name in layout.SOURCED:
            stream = self.broker.jetstream.streams.get(f"{self.prefix}{name}")
            while stream is not None and self._copied.get(name, 0) < stream.last:
                answer = await self._privately(f"$JS.API.STREAM.INFO.{stream.name}")
                self._copied[name] = json.loads(answer.data)["state"]["last_seq"]
                if time.monotonic() > until:
                    raise Difference(
                        f"{name}: the server has copied {self._copied[name]}, the model {stream.last}"
                    )
        while time.monotonic() < until and any(
            len(self.real.heard[key]) < len(messages) for key, messages in self.model.heard.items()
        ):
            await asyncio.sleep(0.001)

    def _compare(self, key: str) -> None:
        mine, theirs = self.model.heard[key], self.real.heard[key]
        for place in range(self._compared[key], max(len(mine), len(theirs))):
            said = self.plain(theirs[place]) if place < len(theirs) else "nothing"
            expected = self.plain(mine[place]) if place < len(mine) else "nothing"
            if said != expected:
                said, expected = _apart(said, expected)
                raise Difference(f"{key}, message {place}:\n  server {said}\n  model  {expected}")
        self._compared[key] = len(mine)

    async def compare_beats(self) -> None:
        """Compare the last heartbeats of requests that wait.

        Raises:
            Difference: They tell something else.
        """
        waiting = {
            request.inbox
            for consumer in self.broker.jetstream.consumers()
            for request in consumer.requests._waiting
            if not request.done
        }
        for sid, beat in list(self.model.beats.items()):
            if beat.subject not in waiting:
                continue  # it ends with what it was told last, which may be of before that
            until = time.monotonic() + 0.8
            while (theirs := self.real.beats.get(sid)) is None or _orders(theirs) != _orders(beat):
                if time.monotonic() > until:
                    raise Difference(f"heartbeat in inbox {sid}:\n  server {theirs}\n  model  {beat}")
                await asyncio.sleep(0.02)
                self.advance()
                beat = self.model.beats[sid]
        self.model.beats.clear()

    async def see_state(self, stream: str, name: str) -> None:
        """Wait until a consumer of the server's has come as far as the model's, if it does."""
        found = self.broker.jetstream.streams[f"{self.prefix}{stream}"].consumers.get(name)
        if found is None:
            return
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            answer = await self._privately(f"$JS.API.CONSUMER.INFO.{self.prefix}{stream}.{name}")
            self.clock.advance(self.now())
            theirs, mine = json.loads(answer.data), consumer_info(found, self.broker.alarms)
            if all(theirs.get(key) == mine[key] for key in STATE) and (
                theirs["delivered"]["consumer_seq"] == mine["delivered"]["consumer_seq"]
            ):
                return
            await asyncio.sleep(0.002)

    # Saying something to both.

    def both(self, frame: ToBroker) -> None:
        self.wire.receive(frame)
        self.clock.advance(self.now())
        self.session.receive(frame)

    async def ask(
        self, subject: str, body: Any = b"", headers: Headers = None, *, wakes: bool = False
    ) -> Msg | None:
        """Ask both, compare the answers, and return the model's.

        Args:
            wakes: Whether it has a consumer deliver, while it is answered: then what the answer tells of
                deliveries may be of before or after them.
        """
        self._asked += 1
        reply = f"_INBOX.{self.prefix}.r.{self._asked}"
        if wakes:
            self._waking.add(reply)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.both(Pub(subject, reply, headers, data))
        await self.settle()
        answers = self.model.heard.get(reply)
        return answers[0] if answers else None

    async def round_trip(self) -> None:
        """Wait until the server has taken in what it was sent."""
        self.wire.receive(Ping())
        await asyncio.sleep(0.005)

    async def _privately(self, subject: str) -> Msg:
        """Ask the server alone."""
        self._asked += 1
        reply = f"_INBOX.{self.prefix}.s.{self._asked}"
        future = self.real.private[reply] = asyncio.get_running_loop().create_future()
        self.wire.receive(Pub(subject, reply, None, b""))
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await future
        finally:
            del self.real.private[reply]

    # What is compared.

    def plain(self, message: Msg) -> list[Any]:
        """A message without what is of one of the two only."""
        headers = {k: v for k, v in (message.headers or {}).items() if k != "Nats-Time-Stamp"}
        if headers.get("Nats-Subject", "").startswith("$JS.ACK."):
            headers["Nats-Subject"] = headers["Nats-Subject"].rsplit(".", 2)[0]
        if "Nats-Stream-Source" in headers:
            headers["Nats-Stream-Source"] = headers["Nats-Stream-Source"].rsplit(" ", 1)[0]
        reply = message.reply
        if reply.startswith("$JS.ACK."):
            tokens = reply.split(".")
            # How much is left at that moment may be of a message that is just being copied, or of a batch.
            steady = self.is_steady and not tokens[2].endswith(layout.SOURCED)
            reply = ".".join([*tokens[:7], "stamp", tokens[8] if steady else "left"])
        body: Any = message.data.decode(errors="replace")
        if message.sid == ANSWERS and body.startswith("{"):
            body = _steady(json.loads(body))
            if message.subject in self._waking:
                body = {key: value for key, value in body.items() if key not in (*STATE, "delivered")}
        return [message.subject, reply, headers, body]


def _orders(beat: Msg) -> str:
    """How much was delivered; how far it has looked in the stream depends on what else made it look."""
    return (beat.headers or {})["Nats-Last-Consumer"]


def _apart(one: Any, other: Any) -> tuple[Any, Any]:
    """Two values without what is the same in both."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
        apart = {key: _apart(one.get(key), other.get(key)) for key in keys}
        return {key: pair[0] for key, pair in apart.items()}, {key: pair[1] for key, pair in apart.items()}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [_apart(a, b) if a != b else ("=", "=") for a, b in zip(one, other, strict=True)]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return one, other


def _steady(value: Any) -> Any:
    """A JSON value without what is never the same."""
    if isinstance(value, dict):
        steady = {k: _steady(v) for k, v in value.items() if k not in VOLATILE}
        if "hdrs" in steady:
            raw = base64.b64decode(steady["hdrs"]).decode()
            steady["hdrs"] = re.sub(r"(Nats-Stream-Source: .*) \S+", r"\1", raw)
        return steady
    if isinstance(value, list):
        return [_steady(each) for each in value]
    return value
