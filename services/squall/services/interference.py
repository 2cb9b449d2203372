"""Interference: what no network does to single messages, done in a node's own connection; and a wrong clock.

    delivery ──► every nth: twice, or late, or after the one that follows it ──► handler

These faults are *logical*: they act on messages that arrived. They are counted, not drawn, so the same
deliveries are struck whenever the same are made. Answers to requests are left alone: each has one caller, who
would never see a second.

A wrong clock is `time.time` of the process. Nothing that decides asks it: leases, time-outs and pauses go by
the loop's own clock, terms and sequences by the broker. The history keeps the true one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from nats.aio.msg import Msg

Handler = Callable[[Msg], None]
Kind = Literal["duplicate", "late", "reorder", "clock", "none"]

FOLLOW_S = 0.2
"""How long a delivery is held for one that follows it."""


class Interfere(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done from now on.

    Attributes:
        kind: ``none`` ends it.
        every: Which deliveries are struck: every nth.
        delay_s: How late, for ``late``.
        offset_s: How far the clock is off, for ``clock``.
        period_s: After how long it jumps there and back, for ``clock``; 0 is never.
    """

    kind: Kind
    every: Annotated[int, Meta(ge=1)] = 5
    delay_s: float = 0.0
    offset_s: float = 0.0
    period_s: float = 0.0


class Interference:
    """The interference in one node. Give it to its connection.

    Args:
        report: Told the kind, whether it is on, and how many deliveries it has struck: at the first one, and
            when it ends; of a clock by how many seconds it is off, rounded.
    """

    def __init__(self, report: Callable[[Kind, bool, int], None]) -> None:
        self._report = report
        self._asked = Interfere(kind="none")
        self._seen = 0
        self._struck = 0
        self._held: tuple[Handler, Msg] | None = None
        self._true_time = time.time
        self._jumps: asyncio.TimerHandle | None = None

    def begin(self, asked: Interfere) -> None:
        """Interfere like this from now on, and no more as before."""
        self._end()
        self._asked, self._seen, self._struck = asked, 0, 0
        if asked.kind == "clock":
            self._set_clock(asked.offset_s)
            self._struck = 1
            self._report("clock", True, round(time.time() - self._true_time()))

    def __call__(self, handler: Handler, message: Msg) -> None:
        """Hand a delivery over, or do worse."""
        asked = self._asked
        if asked.kind in ("none", "clock"):
            handler(message)
            return
        self._seen += 1
        held, self._held = self._held, None
        struck = self._seen % asked.every == 0
        if struck:
            self._struck += 1
            if self._struck == 1:
                self._report(asked.kind, True, 1)
        if struck and asked.kind == "late":
            asyncio.get_running_loop().call_later(asked.delay_s, handler, message)
        elif struck and asked.kind == "reorder":
            self._held = (handler, message)
            asyncio.get_running_loop().call_later(FOLLOW_S, self._let_go, message)
        else:
            handler(message)
            if struck:
                handler(message)
        if held is not None:
            held[0](held[1])

    def _let_go(self, message: Msg) -> None:
        """Hand over what was held, if nothing followed it."""
        if self._held is not None and self._held[1] is message:
            (handler, held), self._held = self._held, None
            handler(held)

    def _end(self) -> None:
        if self._held is not None:
            self._let_go(self._held[1])
        if self._jumps is not None:
            self._jumps.cancel()
            self._jumps = None
        time.time = self._true_time
        if self._asked.kind != "none":
            self._report(self._asked.kind, False, self._struck)

    def _set_clock(self, offset_s: float) -> None:
        true_time = self._true_time
        time.time = lambda: true_time() + offset_s
        if self._asked.period_s:
            other_s = 0.0 if offset_s else self._asked.offset_s
            loop = asyncio.get_running_loop()
            self._jumps = loop.call_later(self._asked.period_s, self._set_clock, other_s)
