"""A clock that stands still until it is moved."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Any


class Call:
    """A call that is to come."""

    def __init__(self, when: float, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.when = when
        self.callback = callback
        self.args = args
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class VirtualClock:
    """What the model asks of time."""

    def __init__(self) -> None:
        self._now = 0.0
        self._made = 0
        self._calls: list[tuple[float, int, Call]] = []

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[..., object], /, *args: Any) -> Call:
        call = Call(max(when, self._now), callback, args)
        self._made += 1
        heapq.heappush(self._calls, (call.when, self._made, call))
        return call

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> Call:
        return self.call_at(self._now + delay, callback, *args)

    def advance(self, to: float) -> None:
        """Let the time come, and make all calls until then."""
        while self._calls and self._calls[0][0] <= to:
            when, _, call = heapq.heappop(self._calls)
            self._now = max(self._now, when)
            if not call.is_cancelled:
                call.callback(*call.args)
        self._now = max(self._now, to)

    def to_come(self) -> Iterator[Call]:
        """All calls that are to come, in no order."""
        return (call for _, _, call in self._calls if not call.is_cancelled)
