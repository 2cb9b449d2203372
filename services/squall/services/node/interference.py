"""Interference: what no network does to single messages, done in a node's own connection; and a wrong clock.

    delivery ──► every nth: twice, or late, or after the one that follows it ──► handler
    attempt ───► every nth: failed, or slow ──► the user's handler

These faults are *logical*: they act on messages that arrived. They are counted, not drawn, so the same
deliveries are struck whenever the same are made. Answers to requests are left alone: each has one caller, who
would never see a second. So are the broker's statuses of a pull request, which deliver nothing. What attempts
depend on is struck alike: an attempt that fails so never comes to the handler.

A wrong clock is `time.time` of the process. What decides does not ask it: leases, time-outs and pauses go by
the loop's own clock, terms and sequences by the broker, credentials are minted by the command. It reaches a
node's log, a handler that compares `deadline_s` with it, and the pace of a producer, which is therefore no
target. The history keeps the true one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from nats.aio.msg import Msg

Handler = Callable[[Msg], None]
Kind = Literal["duplicate", "late", "reorder", "clock", "errors", "slow", "none"]

OF_ATTEMPTS = ("errors", "slow")
"""Kinds that strike attempts, and let deliveries be."""

FAILED = "what it depends on answers with errors, by a fault"
"""Why an attempt failed that was struck."""

FOLLOW_S = 0.2
"""How long a delivery is held for one that follows it."""


class Interfere(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done from now on.

    Attributes:
        kind: ``none`` ends it.
        every: Which deliveries or attempts are struck: every nth. For ``reorder`` one that is overtaken, so
            at most every second of a subscription.
        delay_s: How late, for ``late``; what is still due when it ends is handed over then. How long
            an attempt takes, for ``errors``, or how much longer, for ``slow``.
        offset_s: How far the clock is off, for ``clock``.
        period_s: After how long it jumps there and back, for ``clock``; 0 is never.
    """

    kind: Kind
    every: Annotated[int, Meta(ge=1)] = 5
    delay_s: float = 0.0
    offset_s: float = 0.0
    period_s: float = 0.0


_true_time = time.time


def set_clock(offset_s: float) -> float:
    """Have this process's clock be off by so many seconds; by how many it is, as it is read then."""
    time.time = _true_time if not offset_s else lambda: _true_time() + offset_s
    return time.time() - _true_time()


@dataclass(slots=True, eq=False)
class _Held:
    """A delivery that waits for its time, or for one that overtakes it."""

    handler: Handler
    message: Msg
    timer: asyncio.TimerHandle | None = None


class Interference:
    """The interference in one node. Give it to its connection.

    Args:
        report: Told the kind, whether it is on, and how many deliveries it has struck: at the first one, and
            when it ends; of a clock by how many seconds it is off, rounded. One that was held to be
            overtaken and was not is not struck.
        set_clock: Has this node's clock be off by so many seconds; by how many it is then.
    """

    def __init__(
        self, report: Callable[[Kind, bool, int], None], set_clock: Callable[[float], float] = set_clock
    ) -> None:
        self._report = report
        self._set_clock = set_clock
        self._asked = Interfere(kind="none")
        self._seen = 0
        self._struck = 0
        self._held: list[_Held] = []
        self._jumps: asyncio.TimerHandle | None = None

    def begin(self, asked: Interfere) -> None:
        """Interfere like this from now on, and no more as before."""
        self._end()
        self._asked, self._seen, self._struck = asked, 0, 0
        if asked.kind == "clock":
            self._report("clock", True, round(self._move_clock(asked.offset_s)))

    def __call__(self, handler: Handler, message: Msg) -> None:
        """Hand a delivery over, or do worse."""
        asked = self._asked
        if asked.kind in ("none", "clock", *OF_ATTEMPTS) or (
            not message.reply and "Status" in (message.headers or {})
        ):
            handler(message)
            return
        self._seen += 1
        due = self._seen % asked.every == 0
        if asked.kind == "reorder":
            self._reorder(handler, message, due=due)
            return
        if due:
            self._strike()
        if due and asked.kind == "late":
            self._hold(handler, message, asked.delay_s)
            return
        handler(message)
        if due:
            handler(message)

    async def attempt(self) -> str:
        """An attempt begins: let it take longer. Why it has failed already, or nothing."""
        asked = self._asked
        if asked.kind not in OF_ATTEMPTS:
            return ""
        self._seen += 1
        if self._seen % asked.every:
            return ""
        self._strike()
        await asyncio.sleep(asked.delay_s)
        return FAILED if asked.kind == "errors" else ""

    def _reorder(self, handler: Handler, message: Msg, *, due: bool) -> None:
        """Hold a delivery, or let this one overtake the one that is held.

        Only within a subscription, which is what a handler stands for: between two there is no order.
        """
        overtaken = next((held for held in self._held if held.handler is handler), None)
        if overtaken is not None:
            handler(message)
            self._strike()
            self._let_go(overtaken)
        elif due:
            self._hold(handler, message, FOLLOW_S)
        else:
            handler(message)

    def _strike(self) -> None:
        self._struck += 1
        if self._struck == 1:
            self._report(self._asked.kind, True, 1)

    def _hold(self, handler: Handler, message: Msg, delay_s: float) -> None:
        held = _Held(handler, message)
        held.timer = asyncio.get_running_loop().call_later(delay_s, self._let_go, held)
        self._held.append(held)

    def _let_go(self, held: _Held) -> None:
        self._held.remove(held)
        if held.timer is not None:
            held.timer.cancel()
        held.handler(held.message)

    def _end(self) -> None:
        for held in list(self._held):
            self._let_go(held)
        if self._jumps is not None:
            self._jumps.cancel()
            self._jumps = None
        if self._asked.kind == "clock":
            self._set_clock(0.0)
        if self._asked.kind != "none":
            self._report(self._asked.kind, False, self._struck)

    def _move_clock(self, offset_s: float) -> float:
        """Set the clock, and see to its next jump; by how much it is off."""
        is_off_s = self._set_clock(offset_s)
        if self._asked.period_s:
            other_s = 0.0 if offset_s else self._asked.offset_s
            loop = asyncio.get_running_loop()
            self._jumps = loop.call_later(self._asked.period_s, self._move_clock, other_s)
        return is_off_s
