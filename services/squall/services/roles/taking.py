"""Takes tasks from a subject of the user's, for the producer: each message is one.

    pulled, as many as there is room for ──► kept on disk ──► offered ──► accepted ──► acknowledged there
      └─ no task can be made of it ──► set aside ──► terminated there, so that it stops nobody

A message is acknowledged only when the swarm is known to have its task. Who is killed before leaves it
unacknowledged, and finds it on disk, or is delivered it again: under its id it is the same task. What comes
on a subject that no stream takes comes at most once.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Literal, NamedTuple

from nats.aio.msg import Msg

from squall.bus.connection import Connection, connect
from squall.bus.errors import BusError, NoRespondersError, RequestError
from squall.bus.pull import Delivery, Puller
from squall.bus.tasks import Tasks, look_again, task_group
from squall.services.errors import SpecError
from squall.services.intake.arrivals import STREAM, Arrivals
from squall.services.intake.records import RecordError, from_json, task_name
from squall.services.intake.source import LINE_BYTES_MAX
from squall.services.intake.store import Stored, stored
from squall.services.intake.subject import ACK_WAIT_S, NoStreamError, found, provide
from squall.services.node.service import Service

ACCEPTED = "producer.accepted"
"""The point between the two: the swarm has the task, and its message is not acknowledged."""

IN_HAND_MAX = 64
"""Messages of a stream that are held at a time. Higher takes more while each waits for its answer; lower
leaves less to be delivered again after a kill."""

WAITING_MAX = 4096
"""Messages of no stream that may wait; what comes beyond is dropped, and counted."""

LOOK_S = 0.2
ANSWER_S = 5.0
AGAIN_S = (0.5, 5.0)
"""Pauses before a broker that is away, or says no, is asked again: the first, and the longest."""

REMEMBERED = 256
"""Messages that were acknowledged last, of which a broker that was killed may have forgotten that."""

MISSED_MAX = 20
"""Times that nobody is there to hear of a message, before it is let go: its consumer was removed."""

STOPPED_S = 10.0
"""How long a producer that is to stop goes on to acknowledge what the swarm has."""

ACK, TERM, GIVE_BACK, WORKING = b"+ACK", b"+TERM", b"-NAK", b"+WPI"

Offer = Callable[[Stored, float], Awaitable[str]]
"""Offers a task that is due at a time until it is accepted, or the producer is to stop; what became of it, as
``submit`` in the history has it."""


class TakingError(Exception):
    """A defect: a task was made of a message, and cannot be offered."""


class Message(NamedTuple):
    """A message as it came.

    Attributes:
        sequence: Its place in its stream; 0 if no stream carries it.
        reply: Where its acknowledgement goes.
        identity: Its id, if its publisher gave it one.
        otherwise: Its id, if nothing gives it one.
    """

    data: bytes
    sequence: int
    reply: str
    identity: str
    otherwise: str
    attempt: int = 1


async def take(service: Service, offer: Offer, settled: Collection[str]) -> list[tuple[str, str]]:
    """Take tasks in until there are as many as are wanted, or the time for it is over.

    Returns their keys, each with what tasks of it need. Whoever is to stop gives back what it has not begun.

    Args:
        settled: Tasks that the swarm has by the lines of an earlier producer.
    """
    with Arrivals(Path(service.start.tasks).parent) as arrivals:
        for task in settled:
            arrivals.accept(task)
        taking = Taking(service, arrivals, offer)
        await taking.run()
        return arrivals.keys()


class Taking:
    def __init__(self, service: Service, arrivals: Arrivals, offer: Offer) -> None:
        self.service = service
        self._arrivals = arrivals
        self._offer = offer
        self._source = service.spec.source
        self._waiting: deque[Message] = deque()
        self._held: dict[int, str] = {}
        self._offers: dict[str, asyncio.Task[bool]] = {}
        self._connection: Connection | None = None
        self._puller: Puller | None = None
        self._pulling: asyncio.Task[None] | None = None
        self._acknowledged: deque[str] = deque(maxlen=REMEMBERED)
        self._may_forget = asyncio.Event()
        self._reminded = asyncio.Event()
        self._reminded.set()
        self._come = asyncio.Event()
        self._due_s = 0.0
        self._dropped = 0
        seconds = service.spec.tasks_seconds
        begun_s = float(arrivals.fact("begun_s", repr(time.time())))
        self._until_s = begun_s + seconds if seconds else math.inf

    async def run(self) -> None:
        async with task_group() as reading:
            reading.daemon(self._read())
            reading.daemon(self._hold())
            async with task_group() as tasks:
                self._take_up(tasks)
                while not self._is_over():
                    if self._waiting and len(self._offers) < IN_HAND_MAX:
                        await self.one(self._waiting.popleft(), tasks)
                    else:
                        self._come.clear()
                        await look_again(self._come, LOOK_S)
                await self._end_pulling()  # before: what is given back would come here again
                for message in self._waiting:
                    tasks.start(self.answer(message.sequence, message.reply, GIVE_BACK))
                    self._dropped += not message.sequence
                self._count_dropped()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOPPED_S):
                    await self._reminded.wait()

    def _is_over(self) -> bool:
        return (
            self.service.stop.is_set()
            or time.time() >= self._until_s
            or self._arrivals.tasks >= self.service.spec.tasks
        )

    # What comes.

    def _room(self) -> int:
        """How many more messages may come, were none on their way: never more than there are to be tasks."""
        wanted = self.service.spec.tasks - self._arrivals.tasks - len(self._waiting)
        return max(0, min(IN_HAND_MAX - len(self._held), wanted))

    def _delivered(self, stream: str, delivery: Delivery) -> None:
        if delivery.sequence in self._held:
            return  # again, while it is worked on
        self._held[delivery.sequence] = delivery.reply
        # A stream that was made anew begins at 1 again, so that a place alone is no name for ever.
        place = f"{stream}-{delivery.sequence}-{int(delivery.stored_s * 1000)}"
        self._put(
            Message(
                delivery.data, delivery.sequence, delivery.reply, delivery.message_id, place, delivery.attempt
            )
        )

    def _heard(self, message: Msg) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self._dropped += 1
            return
        identity = (message.headers or {}).get("Nats-Msg-Id", "")
        self._put(Message(message.data, 0, "", identity, f"message-{secrets.token_hex(8)}"))

    def _put(self, message: Message) -> None:
        self._waiting.append(message)
        self._come.set()

    async def _read(self) -> None:
        """Be delivered messages, however often the user's broker is away, or does not let us in."""
        pause_s, broker = AGAIN_S[0], self._source.broker
        while True:
            begun_s = time.monotonic()
            try:
                async with connect(
                    broker.url(), self.service.node, broker.credentials(self.service.node)
                ) as (connection):
                    self._connection = connection
                    await self._listen(connection)
            except (BusError, SpecError, NoStreamError) as error:
                self.service.complaints("source_away", f"{self._source.name}: {error}")
            finally:
                self._connection = None
            pause_s = AGAIN_S[0] if time.monotonic() - begun_s > AGAIN_S[1] else min(2 * pause_s, AGAIN_S[1])
            await asyncio.sleep(pause_s)

    async def _listen(self, connection: Connection) -> None:
        carried = await found(connection, self._source)
        stream = self._arrivals.fact(STREAM, carried.stream)
        if not stream:
            await connection.subscribe(self._source.subject, self._heard, pending_max=WAITING_MAX)
            while True:
                await asyncio.sleep(LOOK_S)
                self._count_dropped()
        if carried.stream != stream:
            raise NoStreamError(f"the stream {stream}, which carried it, is not there")
        await provide(connection, stream, self._source)
        self._forgot()
        forget = connection.on_link(self._forgot)
        gone = asyncio.Event()
        self._puller = Puller(
            connection,
            stream,
            self._source.durable,
            lambda delivery: self._delivered(stream, delivery),
            self._room,
            missing=gone.set,
        )
        try:
            async with task_group() as tasks:
                self._pulling = tasks.daemon(self._puller.run())
                tasks.daemon(self._remind())
                await gone.wait()
        finally:
            forget()
        raise NoStreamError(f"its consumer {self._source.durable} is not there")

    async def _end_pulling(self) -> None:
        if self._pulling is not None:
            self._pulling.cancel()
            await asyncio.wait({self._pulling})

    def _count_dropped(self) -> None:
        dropped = self._dropped
        if self._connection is not None:
            dropped += self._connection.counters.pop("dropped", 0)
        if dropped:
            self._dropped = 0
            self._arrivals.add("dropped", dropped)
            self.service.counters["source_dropped"] += dropped

    async def _hold(self) -> None:
        """Say of what is held that it is worked on, so that it is not delivered again meanwhile."""
        while True:
            await asyncio.sleep(ACK_WAIT_S / 3)
            for reply in list(self._held.values()):
                with contextlib.suppress(RequestError):
                    if self._connection is not None:
                        await self._connection.publish(reply, WORKING, confirm=False)

    # What becomes of it.

    def _take_up(self, tasks: Tasks) -> None:
        """Go on with what an earlier producer of this run kept."""
        held = self._arrivals.held()
        for own in stored(Path(self.service.start.tasks)):
            if not self._arrivals.has(own.task):
                self._begin(own, tasks)
        for each in held:
            self._held[each.sequence] = each.reply
            tasks.start(self._settle(each.task, each.sequence, each.reply))

    async def one(self, message: Message, tasks: Tasks) -> None:
        """Make a task of a message, and have it offered; or see that it stops nobody."""
        counters, first = self.service.counters, message.attempt == 1
        try:
            if len(message.data) > LINE_BYTES_MAX:
                raise RecordError(f"is longer than {LINE_BYTES_MAX:,} bytes")
            record = from_json(message.data, named=message.identity, otherwise=message.otherwise)
            kept = self._arrivals.keep(
                record, self.service.spec.able, sequence=message.sequence, reply=message.reply
            )
        except RecordError as error:
            self._arrivals.set_aside(message.data, message.sequence or None, str(error))
            counters["source_set_aside"] += 1
            tasks.start(self.answer(message.sequence, message.reply, TERM))
            return
        if kept in ("repeated", "ended") and first:
            self._arrivals.add(kept)
            counters[f"source_{kept}"] += 1
        task = task_name(record.id)
        if kept == "new":
            self._begin(self._arrivals.task(task), tasks)
        if kept == "ended":
            tasks.start(self.answer(message.sequence, message.reply, ACK))
        else:
            tasks.start(self._settle(task, message.sequence, message.reply))

    def _begin(self, own: Stored, tasks: Tasks) -> None:
        self._due_s = max(time.time(), self._due_s + 1 / self.service.spec.rate_per_s)
        self._offers[own.task] = tasks.start(self._offered(own, self._due_s))

    async def _offered(self, own: Stored, due_s: float) -> bool:
        """Offer a task until the swarm has it; False if the producer is to stop before."""
        became = await self._offer(own, due_s)
        if became == "ok":
            self._arrivals.accept(own.task)
            await self.service.at(ACCEPTED)
        del self._offers[own.task]
        self._come.set()
        return became == "ok"

    async def _settle(self, task: str, sequence: int, reply: str) -> None:
        """Acknowledge a message once the swarm has its task; give it back if that is not to be."""
        offer = self._offers.get(task)
        has = await offer if offer is not None else self._arrivals.has(task)
        if not has and not self.service.stop.is_set():
            raise TakingError(f"the swarm can never take {task}, which was checked before")
        await self.answer(sequence, reply, ACK if has else GIVE_BACK)

    async def answer(self, sequence: int, reply: str, word: bytes) -> None:
        """Have the stream know what became of a message, as often as it takes."""
        if not sequence:
            return
        missed, ends_s = 0, math.inf
        while (said := await self._said(reply, word)) != "heard":
            missed += said == "nobody"
            if self.service.stop.is_set() or time.time() >= self._until_s:
                ends_s = min(ends_s, time.monotonic() + STOPPED_S)
            if time.monotonic() >= ends_s or missed > MISSED_MAX:
                self.service.counters["source_unanswered"] += 1
                break
            await asyncio.sleep(AGAIN_S[0])
        if word == ACK:
            self._acknowledged.append(reply)
        self._arrivals.let_go(sequence)
        self._held.pop(sequence, None)
        if self._puller is not None:
            self._puller.wake()

    async def _remind(self) -> None:
        """Say again what was acknowledged last, whenever the broker may have been killed.

        It keeps what a consumer has acknowledged a moment later than it says so.
        """
        while True:
            await self._may_forget.wait()
            self._may_forget.clear()
            heard = [await self._said(reply, ACK) == "heard" for reply in tuple(self._acknowledged)]
            if not all(heard):
                self._forgot()
                await asyncio.sleep(AGAIN_S[0])
            elif not self._may_forget.is_set():
                self._reminded.set()

    def _forgot(self) -> None:
        self._may_forget.set()
        self._reminded.clear()

    async def _said(self, reply: str, word: bytes) -> Literal["heard", "nobody", "unknown"]:
        try:
            if self._connection is not None:
                await self._connection.request(reply, word, timeout_s=ANSWER_S)
                return "heard"
        except NoRespondersError:
            return "nobody"  # the consumer is gone, or its broker is not yet ready
        except RequestError as error:
            self.service.complaints("source_silent", f"{self._source.name}: {error}")
        return "unknown"
