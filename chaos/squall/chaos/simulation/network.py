"""The network: a way between each node and the broker, and one to the venue, with what Toxiproxy does to one.

    node ─► Pipe up ─► whoever listens            a Channel is one connection, a pipe each way
         ◄─ Pipe down ◄─                          a Way holds the channels of one node, and its toxics

As TCP does, a pipe keeps the order, and loses nothing but by ending. What is late, held, swallowed or cut is
so by the toxics that the harness asks for, under the names and with the meaning that Toxiproxy gives them.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from squall.chaos.errors import HarnessBrokenError
from squall.chaos.inject.toxiproxy.proxy_state import ProxyState, ToxicState
from squall.chaos.inject.toxiproxy.toxics import Stream, Toxic, validate
from squall.chaos.simulation.loop import WORLD, Handle, Process, VirtualLoop, current

DELAY_S = (0.0002, 0.0012)
"""What a frame takes through a pipe that nothing is wrong with, at least and at most."""

_DELAYS_S = DELAY_S[1] - DELAY_S[0]

END = None
"""Travels through a pipe as its last: the other side has closed it, or was cut off."""

Sink = Callable[[Any], None]


def no_bytes(frame: Any) -> int:
    """The size of what is no content, as `END` is."""
    return 0


class Pipe:
    """One direction of a channel.

    Args:
        sink: Given what arrives, and `END`, in the context of whom it is for.
    """

    __slots__ = ("_context", "_last_s", "_queue", "_sink", "_timer", "_way", "is_over", "stream")

    def __init__(self, way: Way, stream: Stream, sink: Sink, context: Context) -> None:
        self._way = way
        self._sink = sink
        self._context = context
        self._queue: deque[tuple[float, Any]] = deque()
        self._last_s = 0.0
        self._timer: Handle | None = None
        self.stream: Stream = stream
        self.is_over = False

    def send(self, frame: Any, size: Callable[[Any], int]) -> None:
        """Have a frame arrive, if it is not swallowed; `END` ends the pipe.

        Args:
            size: How many bytes it takes, where a toxic wants to know.
        """
        if self.is_over:
            return
        way = self._way
        toxics = way.acting[self.stream]
        delay_s = DELAY_S[0] + way.draw() * _DELAYS_S
        if toxics is not None:
            if toxics.swallows and (frame is not END or toxics.holds_close):
                return
            if toxics.resets and frame is not END:
                way.reset(self)
                return
            delay_s += toxics.delay_s(size(frame), way.chance)
        arrives_s = way.loop.now_s + delay_s
        if arrives_s > self._last_s:
            self._last_s = arrives_s
        self._queue.append((self._last_s, frame))
        if self._timer is None:
            self._arm()

    def _arm(self) -> None:
        way = self._way
        toxics = way.acting[self.stream]
        if self._timer is None and self._queue and (toxics is None or not toxics.holds):
            self._timer = way.loop.call_at(self._queue[0][0], self._deliver, context=self._context)

    def _deliver(self) -> None:
        self._timer = None
        way = self._way
        toxics = way.acting[self.stream]
        if toxics is not None and toxics.holds:
            return
        queue, now_s = self._queue, way.loop.now_s
        while queue and queue[0][0] <= now_s and not self.is_over:
            _, frame = queue.popleft()
            if frame is END:
                self.end()
            self._sink(frame)
        if queue:
            self._arm()

    def changed(self) -> None:
        """The toxics have changed: what latency held is let go at once, what was held is let go if it may."""
        now_s = self._way.loop.now_s
        toxics = self._way.acting[self.stream]
        if toxics is None or not toxics.is_late:
            self._queue = deque((min(when_s, now_s + DELAY_S[1]), frame) for when_s, frame in self._queue)
            self._last_s = min(self._last_s, now_s + DELAY_S[1])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._arm()

    def end(self) -> None:
        """Nothing arrives any more; what was on its way is gone."""
        self.is_over = True
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def cut(self) -> None:
        """What was on its way is gone, and the other side is told: nothing after this."""
        if not self.is_over:
            self.end()
            self._way.loop.call_soon(self._sink, END, context=self._context)


class Channel:
    """One connection through a way. Made by `Way.dial`.

    Attributes:
        up, down: To whoever listens, and back.
        near, far: The processes at its ends.
    """

    __slots__ = ("_way", "down", "far", "near", "up")

    def __init__(self, way: Way) -> None:
        self._way = way
        self.near = current()
        self.far = WORLD
        self.up: Pipe
        self.down: Pipe

    def close(self) -> None:
        """The near side closes it, or the operating system does, after a process that has died."""
        self._way.half_close(self)
        self.down.end()
        self.up.send(END, no_bytes)

    def abort(self) -> None:
        """The near side tears it down: what it sent and has not left is gone."""
        self._way.channels.pop(self, None)
        self.down.end()
        self.up.cut()

    @property
    def is_over(self) -> bool:
        """Whether nothing is on its way any more, and nothing can be."""
        return self.up.is_over and self.down.is_over

    def closed_by_far(self) -> None:
        """The far side closes it."""
        self._way.half_close(self)
        self.up.end()
        self.down.send(END, no_bytes)

    def cut(self) -> None:
        """It ends in between: both sides are told, and what was on its way is gone."""
        self._way.channels.pop(self, None)
        self.up.cut()
        self.down.cut()


class _Acting:
    """What the toxics of one direction come to."""

    __slots__ = (
        "_jitter_s",
        "_latency_s",
        "_pause_s",
        "_piece",
        "_rate",
        "holds",
        "holds_close",
        "resets",
        "swallows",
    )

    def __init__(self, toxics: list[ToxicState]) -> None:
        kinds = {toxic.type: toxic.attributes for toxic in toxics}
        latency = kinds.get("latency", {})
        self._latency_s = latency.get("latency", 0) / 1e3
        self._jitter_s = latency.get("jitter", 0) / 1e3
        rate = kinds.get("bandwidth", {}).get("rate")
        self.holds = rate == 0
        self._rate = 1000 * rate if rate else 0
        slicer = kinds.get("slicer", {})
        self._piece = slicer.get("average_size", 0)
        self._pause_s = slicer.get("delay", 0) / 1e6
        self.swallows = "timeout" in kinds
        self.holds_close = "slow_close" in kinds
        self.resets = "reset_peer" in kinds
        for kind in kinds.keys() - KNOWN:
            raise HarnessBrokenError(f"a simulated way knows no toxic {kind}")

    @property
    def is_late(self) -> bool:
        return bool(self._latency_s or self._jitter_s or self._rate or self._piece)

    def delay_s(self, size: int, chance: random.Random) -> float:
        """How much later a frame of so many bytes arrives."""
        late_s = self._latency_s
        if self._jitter_s:
            late_s = max(0.0, late_s + chance.uniform(-self._jitter_s, self._jitter_s))
        if self._rate:
            late_s += size / self._rate
        if self._piece:
            late_s += size // self._piece * self._pause_s
        return late_s

    def cuts(self, size: int) -> bool:
        """Whether a frame of so many bytes arrives in pieces."""
        return 0 < self._piece < size


KNOWN = {"latency", "bandwidth", "slicer", "timeout", "slow_close", "reset_peer"}


def _nobody(frame: Any) -> None:
    """Nobody is at the far end."""


class Way:
    """The way of one node, with toxics as on a proxy of its own.

    Attributes:
        draw: Draws a number from 0 to 1.
        acting: What the toxics of each direction come to; None where there are none.
        channels: Those that are open, in the order in which they were.
    """

    def __init__(self, name: str, loop: VirtualLoop, chance: random.Random, upstream: str) -> None:
        self.name = name
        self.loop = loop
        self.chance = chance
        self.draw = chance.random
        self.address = f"{name}.way:1"
        self.channels: dict[Channel, None] = {}
        self._half_closed: list[Channel] = []
        self.acting: dict[Stream, _Acting | None] = {"upstream": None, "downstream": None}
        self._upstream = upstream
        self._toxics: dict[str, ToxicState] = {}
        self._is_enabled = True

    @property
    def is_open(self) -> bool:
        """Whether who connects is let through to the other end."""
        return self._is_enabled

    def dial(self, sink: Sink, far: Callable[[Channel], tuple[Sink, Context] | None]) -> Channel | None:
        """Connect the present process to what is at the other end; None if the connection is refused.

        Args:
            sink: Given what comes down.
            far: Given the channel, says who takes what goes up and in whose context; None if nobody does.
        """
        if not self._is_enabled:
            return None
        channel = Channel(self)
        channel.down = Pipe(self, "downstream", sink, copy_context())
        taken = far(channel)
        sink, context = taken if taken is not None else (_nobody, copy_context())
        channel.up = Pipe(self, "upstream", sink, context)
        if taken is None:
            channel.cut()  # a proxy takes the connection, finds nobody behind it, and ends it
        else:
            self.channels[channel] = None
        return channel

    def half_close(self, channel: Channel) -> None:
        """One side of a channel has closed it, and what was sent before may still be held on its way."""
        if self.channels.pop(channel, True) is None:
            self._half_closed = [each for each in self._half_closed if not each.is_over]
            self._half_closed.append(channel)

    def reset(self, pipe: Pipe) -> None:
        """Something was sent where connections are reset."""
        for channel in list(self.channels):
            if pipe in (channel.up, channel.down):
                channel.cut()

    def cuts(self, size: int) -> bool:
        """Whether a frame of so many bytes comes down in pieces."""
        acting = self.acting["downstream"]
        return acting is not None and acting.cuts(size)

    # What is asked of a proxy.

    async def add(self, toxic: Toxic) -> None:
        validate(toxic)
        state = ToxicState(toxic.name, toxic.type, toxic.stream, float(toxic.toxicity), toxic.attributes())
        self._toxics[toxic.name] = state
        self._act()

    update = add

    async def remove(self, toxic: Toxic) -> None:
        gone = self._toxics.pop(toxic.name, None)
        self._act()
        if gone is not None and gone.type == "timeout":
            self._cut_all()  # a stream with a hole must not go on

    async def enable(self) -> None:
        self._is_enabled = True

    async def disable(self) -> None:
        self._is_enabled = False
        self._cut_all()

    async def recreate(self) -> None:
        self._toxics.clear()
        self._act()
        self._is_enabled = True
        self._cut_all()

    async def state(self) -> ProxyState:
        toxics = tuple(self._toxics.values())
        return ProxyState(self.name, self.address, self._upstream, self._is_enabled, toxics)

    async def differences(self) -> list[str]:
        """How it is other than it was told to be: nobody else can reach it."""
        return []

    def closed(self, process: Process) -> None:
        """A process at an end has ended: the operating system closes its connections."""
        for channel in list(self.channels):
            if channel.near is process:
                channel.close()
            elif channel.far is process:
                channel.closed_by_far()

    def _act(self) -> None:
        for stream in self.acting:
            mine = [toxic for toxic in self._toxics.values() if toxic.stream == stream]
            self.acting[stream] = _Acting(mine) if mine else None
        for channel in (*self.channels, *self._half_closed):
            channel.up.changed()
            channel.down.changed()

    def _cut_all(self) -> None:
        for channel in (*self.channels, *self._half_closed):
            channel.cut()
        self._half_closed = []
