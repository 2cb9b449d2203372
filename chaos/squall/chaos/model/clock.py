"""What the model needs of time, and timers that end with the server's process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Handle(Protocol):
    """A call that is to come."""

    def cancel(self) -> object: ...


class Clock(Protocol):
    """Time in seconds, from any origin. An asyncio loop is one, and so is a loop on virtual time."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> Handle: ...

    def call_at(self, when: float, callback: Callable[..., object], /, *args: Any) -> Handle: ...


class Alarms:
    """The timers of one process of the server, and its idea of the date.

    Args:
        epoch_s: What is added to the clock to get seconds since the epoch.
    """

    __slots__ = ("_clock", "_epoch_ns", "_life", "time")

    def __init__(self, clock: Clock, epoch_s: float) -> None:
        self._clock = clock
        self._epoch_ns = int(epoch_s * 1e9)
        self._life = 0
        self.time = clock.time

    def stamp_ns(self) -> int:
        """Now, in nanoseconds since the epoch."""
        return self._epoch_ns + int(self.time() * 1e9)

    def stamp_of(self, time_s: float) -> int:
        """A time of the clock, in nanoseconds since the epoch."""
        return self._epoch_ns + int(time_s * 1e9)

    def time_of(self, stamp_ns: int) -> float:
        """A date, in seconds of the clock."""
        return (stamp_ns - self._epoch_ns) / 1e9

    def after(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Handle:
        return self._clock.call_later(delay_s, self._fire, self._life, callback, args)

    def at(self, time_s: float, callback: Callable[..., object], *args: Any) -> Handle:
        return self._clock.call_at(time_s, self._fire, self._life, callback, args)

    def silence(self) -> None:
        """The process has ended: nothing that it meant to do is done."""
        self._life += 1

    def _fire(self, life: int, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        if life == self._life:
            callback(*args)
