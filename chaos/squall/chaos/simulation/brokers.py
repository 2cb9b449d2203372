"""The broker of a simulated world: the model as a process, at the far end of every way but the venue's.

SimulatedWire ─► dial ─► a session of the model ─► …
signal(SIGKILL) ─► it is gone, with what it had not written; started again a moment later
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

from squall.chaos.model.broker import Broker
from squall.chaos.model.frames import End, Msg, Pub
from squall.chaos.model.rights import Rights
from squall.chaos.simulation.loop import WORLD, Handle, Process, VirtualLoop
from squall.chaos.simulation.network import END, Channel, Sink, Way
from squall.chaos.simulation.wire import Hello, size_of

URL = "nats://broker.simulated:4222"

START_S = (0.05, 0.4)
"""How long it takes to be there again, at least and at most."""

STOP_S = 0.02
"""How long it takes to end in good order."""

NOTED_MAX = 512
"""Parts of what is said that are hashed together: one at a time takes longer."""


class BrokerClock:
    """The loop's time, and timers that belong to the broker's process."""

    def __init__(self, loop: VirtualLoop, context: Context) -> None:
        self._loop = loop
        self._context = context
        self.time = loop.time

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> Handle:
        return self._loop.call_later(delay, callback, *args, context=self._context)

    def call_at(self, when: float, callback: Callable[..., object], /, *args: Any) -> Handle:
        return self._loop.call_at(when, callback, *args, context=self._context)


class SimulatedBroker:
    """A process that runs the model; see `squall.services.run.access.BrokerProcess`.

    Args:
        make: Makes the model, given its clock.
        rights: Of each node.
        ways: All there are, by node.
        started: Told of each start of it.
    """

    url = URL

    def __init__(
        self,
        loop: VirtualLoop,
        make: Callable[[BrokerClock], Broker],
        rights: Callable[[str], Rights],
        ways: Mapping[str, Way],
        started: Callable[[int], None],
        start_s: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._rights = rights
        self._ways = ways
        self._started = started
        self._start_s = start_s
        self._starts = 1
        self._trace = hashlib.blake2b(digest_size=8)
        self._noted: list[bytes] = []
        self.process = Process("broker")
        self._context = self.process.context()
        self.model = make(BrokerClock(loop, self._context))
        self._is_up = True
        self._ended = asyncio.Event()

    def listener(self, name: str) -> Callable[[Channel], tuple[Sink, Context] | None]:
        """Who takes what comes up a channel of a node."""

        def listen(channel: Channel) -> tuple[Sink, Context] | None:
            if not self._is_up:
                return None
            channel.far = self.process
            sessions: list[Any] = []

            def deliver(frame: Any) -> None:
                if type(frame) is Msg:
                    self._note(name, frame)
                elif type(frame) is End:
                    channel.closed_by_far()
                    return
                channel.down.send(frame, size_of)

            def accept() -> None:
                channel.down.send(Hello(), size_of)
                sessions.append(self.model.connect(name, self._rights(name), deliver))

            def arrived(frame: Any) -> None:
                if frame is END:
                    sessions[0].closed()
                    return
                if type(frame) is Pub:
                    self._note(name, frame)
                sessions[0].receive(frame)

            self._loop.call_soon(accept, context=self._context)
            return arrived, self._context

        return listen

    def _note(self, name: str, frame: Pub | Msg) -> None:
        noted = self._noted
        noted.append(f"{self._loop.now_s:.9f} {name} {frame.subject} {frame.reply} ".encode())
        noted.append(frame.data)
        if len(noted) >= NOTED_MAX:
            self._hash_noted()

    def _hash_noted(self) -> None:
        self._trace.update(b"".join(self._noted))
        self._noted.clear()

    @property
    def digest(self) -> str:
        """Of every message to and from the broker, whose and when, and of how much ran between them.

        The same runs have the same.
        """
        self._hash_noted()
        whole = self._trace.copy()
        whole.update(b"%d" % self._loop.turns)
        return whole.hexdigest()

    # As a process.

    def signal(self, number: signal.Signals) -> None:
        if number == signal.SIGSTOP:
            self.process.stands_still = True
        elif number == signal.SIGCONT:
            self._loop.go_on(self.process)
        elif number == signal.SIGKILL:
            self._end()
        elif number == signal.SIGTERM:
            self._loop.call_later(STOP_S, self._end, context=self._context)

    def _end(self) -> None:
        if not self._is_up:
            return
        self._is_up = False
        self.process.stands_still = False
        self.process.parked.clear()
        self.model.kill()
        for way in self._ways.values():
            way.closed(self.process)
        self._ended.set()
        self._loop.call_later(self._start_s(), self._start, context=WORLD.context())

    def _start(self) -> None:
        self._starts += 1
        self._is_up = True
        self._ended = asyncio.Event()
        self.model.start()
        self._started(self._starts)

    async def ended(self) -> None:
        await self._ended.wait()

    async def answers(self) -> bool:
        return self._is_up and not self.process.stands_still

    async def seen(self, *, stopped: bool) -> bool:
        return self._is_up and self.process.stands_still is stopped
