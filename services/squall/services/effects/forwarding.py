"""Carries effects to the venue so that none stops another.

    registers ─► effects ─┬─ no JSON value ──────────────────────────────► refused, with its reason
                          └─► batch ─► venue ─┬─ answered ───────────────► filled | duplicate | refused
                                 ▲            ├─ declined ─► halves … one ► refused, with its reason
                                 │            ├─ absent ──► wait, repeat
                                 └────────────┴─ unknown ─► wait, repeat; set aside if the venue is well
                                                                           │
                         venue ◄── halves, one by one, ever more slowly ───┘

A definite refusal is cut down to the order it is about, and never repeated. What
is not known is repeated with the same ids until it is. Where a batch stays unknown,
an empty one tells whose fault that is: if the venue does not answer that either,
everybody waits; if it does, the batch is set aside, cut in halves, and the next one
goes on. An order that fails alone stays aside, unacknowledged, for as long as the
venue gives no definite answer. While whoever hands effects over keeps some back,
nothing is repeated: what has no answer yet is given back to be looked at anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from squall.bus.border import printable
from squall.services.effects.port import Effect, Register
from squall.services.effects.venue import Answered, Outcome, VenueClient
from squall.services.rules.effects import (
    ASIDE_PAUSE_S_MAX,
    PAUSE_FIRST_S,
    PAUSE_S_MAX,
    batches,
    halves,
    pause_s,
    why_unsendable,
)
from squall.services.rules.sinks import Away, Refused, Unknown

log = logging.getLogger("squall")

REPEATS = 3
"""How often a batch is sent before it may be set aside. Higher delays everybody behind a bad order; lower
sets more aside when the venue fails for a moment."""

LOOK_S = 0.2
"""How often it is looked whether what was set aside may be repeated again."""

ASIDE_MAX = 512
"""Orders set aside at a time. The next one that the venue gives no answer on makes everybody wait."""


@dataclass(order=True, slots=True)
class _Aside:
    due_s: float
    place: int
    effects: Sequence[Effect] = field(compare=False)
    failures: int = field(compare=False, default=0)


class Forwarder:
    """Sends effects until the venue has told what became of each.

    Args:
        venue: Where they go.
        record: Writes a line of the history.
        counters: Counts what happened.
        settled: Called with a register that was set aside, once all its effects are told of.
        keeps_back: Whether effects are kept back just now, so that nothing is to be repeated.
        pause_first_s: The first pause before a repeat; see `rules.effects.pause_s`.
        in_order: Nothing is set aside; all wait for the first that has no answer.
    """

    def __init__(
        self,
        venue: VenueClient,
        record: Callable[..., None],
        counters: Counter[str],
        settled: Callable[[Register], Awaitable[None]],
        *,
        keeps_back: Callable[[], bool] = lambda: False,
        pause_first_s: float = PAUSE_FIRST_S,
        in_order: bool = False,
    ) -> None:
        self._venue = venue
        self._keeps_back = keeps_back
        self._record = record
        self._counters = counters
        self._settled = settled
        self._pause_first_s = pause_first_s
        self._in_order = in_order
        self._items: list[_Aside] = []
        self._places = itertools.count()
        self._changed = asyncio.Event()

    @property
    def aside(self) -> int:
        """Orders set aside now."""
        return sum(len(item.effects) for item in self._items)

    async def deliver(self, registers: Sequence[tuple[Register, Sequence[tuple[str, bytes]]]]) -> bool:
        """Have effects carried out; returns when each is told of or set aside, and whether they are.

        Args:
            registers: Each with the ids and bodies of its effects. Its ``open`` is 0 once all are told of.
        """
        sendable = []
        for register, intended in registers:
            register.open = len(intended)
            for order_id, body in intended:
                effect = Effect(register, order_id, body)
                if reason := why_unsendable(body):
                    self._refuse(effect, "unsendable", reason)
                else:
                    sendable.append(effect)
        for batch in batches(sendable):
            if not await self._deliver(batch):
                return False
        return True

    def recall(self) -> set[Register]:
        """Take back what is set aside; returns whose effects these are."""
        recalled = {effect.register for item in self._items for effect in item.effects}
        self._items.clear()
        return recalled

    async def run(self) -> None:
        """Repeat what was set aside, for ever: cut in halves until one order stands alone."""
        while True:
            item = await self._next_aside()
            outcome = await self._venue.post(item.effects)
            parts, failures = self._conclude(item.effects, outcome), 1
            if isinstance(outcome, Unknown):
                if len(item.effects) == 1:
                    log.warning("no answer on %s alone: %s", item.effects[0].order_id, outcome.reason)
                    failures = item.failures + 1
                elif not await self._venue_is_well():
                    parts, failures = (item.effects,), item.failures + 1
            for part in parts:
                self._put_aside(part, failures)
            for register in {effect.register for effect in item.effects}:
                if not register.open:
                    await self._settled(register)

    # What is sent for the first time.

    async def _deliver(self, batch: Sequence[Effect]) -> bool:
        parts = [batch]
        while parts:
            part = parts.pop()
            outcome = await self._repeated(part)
            if outcome is None:
                return False
            left = self._conclude(part, outcome)
            if isinstance(outcome, Unknown) and self._has_room(part):
                log.warning("%d orders set aside: %s", len(part), outcome.reason)
                self._counters["set_aside"] += len(part)
                for half in left:
                    self._put_aside(half, 1)
            else:
                parts += reversed(left)
        return True

    async def _repeated(self, batch: Sequence[Effect]) -> Outcome | None:
        """What the venue says at last; unknown only of what can be set aside, or be cut.

        None if it says nothing, and is not to be asked again.
        """
        unknown = 0
        for failures in itertools.count(1):
            outcome = await self._venue.post(batch)
            if isinstance(outcome, Answered | Refused):
                return outcome
            self._counters["venue_errors"] += 1
            log.warning("the venue did not take %d orders: %s", len(batch), outcome.reason)
            if isinstance(outcome, Unknown):
                unknown += 1
                may_part = unknown >= REPEATS and (len(batch) > 1 or self._has_room(batch))
                if may_part and await self._venue_is_well():
                    return outcome
            await asyncio.sleep(pause_s(failures, self._pause_first_s, PAUSE_S_MAX, random))
            if self._keeps_back():
                return None
        raise AssertionError("counting does not end")

    async def _venue_is_well(self) -> bool:
        """Whether the venue answers on a batch that holds nothing."""
        return isinstance(await self._venue.post(()), Answered | Refused)

    # What is set aside.

    def _has_room(self, effects: Sequence[Effect]) -> bool:
        return not self._in_order and self.aside + len(effects) <= ASIDE_MAX

    def _put_aside(self, effects: Sequence[Effect], failures: int) -> None:
        wait_s = pause_s(failures, self._pause_first_s, ASIDE_PAUSE_S_MAX, random)
        item = _Aside(time.monotonic() + wait_s, next(self._places), effects, failures)
        heapq.heappush(self._items, item)
        self._changed.set()

    async def _next_aside(self) -> _Aside:
        """The item that is due, as soon as one is."""
        while True:
            self._changed.clear()
            wait_s = self._items[0].due_s - time.monotonic() if self._items else None
            if self._keeps_back():
                wait_s = LOOK_S
            elif wait_s is not None and wait_s <= 0:
                return heapq.heappop(self._items)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    # What became of it.

    def _conclude(self, effects: Sequence[Effect], outcome: Outcome) -> Sequence[Sequence[Effect]]:
        """Record what is definite; what is left is to be sent again, in these parts."""
        match outcome:
            case Answered(answers):
                kinds = Counter(answer.outcome for answer in answers)
                facts = {kind: kinds[kind] for kind in ("filled", "duplicate", "rejected")}
                if kinds["passed"]:
                    facts["passed"] = kinds["passed"]
                self._counters.update(facts)
                self._record("deliver", "ok", orders=len(answers), **facts)
                for effect, answer in zip(effects, answers, strict=True):
                    if answer.outcome == "rejected":
                        self._refuse(effect, "rejected", answer.reason or "the venue gave no reason")
                    else:
                        effect.register.open -= 1
                return ()
            case Refused(reason) if len(effects) == 1:
                self._refuse(effects[0], "declined", reason)
                return ()
            case Away():
                return (effects,)
        return halves(effects) if len(effects) > 1 else (effects,)

    def _refuse(self, effect: Effect, what: str, reason: str) -> None:
        """An effect that will never be carried out, and why; that is an end as good as any."""
        effect.register.open -= 1
        self._counters["refused"] += 1
        self._record(
            "refuse",
            "fail",
            what=what,
            task=effect.register.task,
            order_id=effect.order_id,
            reason=printable(reason),
        )
