"""Has effects carried out one by one or in batches, each until it is known what became of it.

    deliver ─► waiting ─► as many at a time as may be ─► sink ─┬─ carried, refused ─► told of
                  ▲                                            ├─ parted ─► again, each alone
                  │                                            ├─ unknown ─► again, alone, ever later
                  └────────────────────────────────────────────┴─ wait, away ─► nobody asks until then

Whatever is sent again has the same key. None waits for another that fails: what has no answer is left behind
after a moment, and its register is acknowledged when it has one. Only where very many have none does
everybody wait, which presses back on whoever hands effects over.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from squall.bus.border import printable
from squall.bus.tasks import task_group
from squall.services.effects.port import BatchSink, Effect, Register, Sink, Ties
from squall.services.rules.effects import (
    ASIDE_PAUSE_S_MAX,
    BATCH_BYTES_MAX,
    PAUSE_FIRST_S,
    PAUSE_S_MAX,
    pause_s,
    why_unsendable,
)
from squall.services.rules.sinks import Away, Carried, Outcome, Parted, Refused, Unknown, Wait

log = logging.getLogger("squall")

LEAVE_S = 0.25
"""How long a batch is waited for before what has no answer is left behind. Higher delays who comes next
behind slow answers; lower leaves more behind."""

OPEN_MAX = 512
"""Effects that may have no answer while others are handed over. Higher lets more pass a sink that answers on
some only; lower takes less memory."""

LOOK_S = 0.2
"""How often it is looked whether what was sent before may be sent again."""


@dataclass(order=True, slots=True)
class _Item:
    """An effect that waits, or is on its way.

    Attributes:
        tries: How often it was sent.
        failures: After how many of them it was not known what became of it.
        is_alone: It is not sent with others any more: one of them may have stopped all.
        is_recalled: It was taken back, so that nobody waits for it.
    """

    due_s: float
    place: int
    effect: Effect = field(compare=False)
    tries: int = field(compare=False, default=0)
    failures: int = field(compare=False, default=0)
    is_alone: bool = field(compare=False, default=False)
    is_recalled: bool = field(compare=False, default=False)


class OneByOne:
    """A sink that takes one effect at a time, as one that takes batches of one."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def send_all(self, effects: Sequence[Effect]) -> Sequence[Outcome]:
        """See `BatchSink`."""
        return [await self._sink.send(effect.order_id, effect.body) for effect in effects]


class Each:
    """Has effects carried out by a sink.

    Args:
        together: How many requests are on their way at most.
        batch: How many effects each may have.
        pause_first_s: The first pause before a repeat; see `rules.effects.pause_s`.
    """

    def __init__(
        self,
        sink: BatchSink,
        ties: Ties,
        *,
        together: int,
        batch: int = 1,
        pause_first_s: float = PAUSE_FIRST_S,
    ) -> None:
        self._sink = sink
        self._ties = ties
        self._together = together
        self._batch = batch
        self._pause_first_s = pause_first_s
        self._places = itertools.count()
        self._waiting: list[_Item] = []
        self._on_way: set[int] = set()
        self._items: dict[int, _Item] = {}
        self._behind: set[Register] = set()
        self._changed = asyncio.Event()
        self._told = asyncio.Event()
        self._shut_until_s = 0.0
        self._aways = 0

    @property
    def open(self) -> int:
        """Effects of which it is not known what became of them."""
        return len(self._items)

    async def deliver(self, registers: Sequence[tuple[Register, Sequence[tuple[str, bytes]]]]) -> bool:
        """See `Carrier`."""
        loop = asyncio.get_running_loop()
        for register, intended in registers:
            register.open = len(intended)
            for order_id, body in intended:
                effect = Effect(register, order_id, body)
                if reason := why_unsendable(body):
                    self._refuse(effect, "unsendable", reason)
                else:
                    self._await(_Item(0.0, next(self._places), effect))
        mine = {register for register, _ in registers}
        leave_s = loop.time() + LEAVE_S
        while any(self._is_asked(item) for item in self._items.values() if item.effect.register in mine) or (
            self.open > OPEN_MAX
        ):
            if self._ties.keeps_back():
                self._let_go(mine)
                return False
            left_s = leave_s - loop.time()
            if left_s <= 0 and self.open <= OPEN_MAX:
                break
            self._told.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.001, min(LOOK_S, left_s) if left_s > 0 else LOOK_S)):
                    await self._told.wait()
        self._behind.update(register for register in mine if register.open)
        return True

    def _is_asked(self, item: _Item) -> bool:
        """Whether an effect has had no answer yet, whatever that is."""
        return not item.tries or item.place in self._on_way

    def recall(self) -> set[Register]:
        """See `Carrier`."""
        recalled = {item.effect.register for item in self._waiting}
        self._let_go(recalled)
        return recalled

    def _let_go(self, registers: set[Register]) -> None:
        """Send nothing more of some tasks; what is on its way is waited for by nobody."""
        for item in [item for item in self._items.values() if item.effect.register in registers]:
            item.is_recalled = True
            if item.place not in self._on_way:
                del self._items[item.place]
        self._waiting = [item for item in self._waiting if not item.is_recalled]
        heapq.heapify(self._waiting)
        self._behind -= registers

    async def run(self) -> None:
        """See `Carrier`."""
        async with task_group() as tasks:
            for _ in range(self._together):
                tasks.daemon(self._send())
            await asyncio.Event().wait()

    # One after the other, by as many as there may be together.

    async def _send(self) -> None:
        while True:
            items = self._with_others(await self._next())
            for item in items:
                item.tries += 1
                self._on_way.add(item.place)
            try:
                outcomes = await self._sink.send_all([item.effect for item in items])
            finally:
                self._on_way.difference_update(item.place for item in items)
            for item, outcome in zip(items, outcomes, strict=True):
                item.is_alone |= len(items) > 1 and isinstance(outcome, Unknown | Parted)
                await self._conclude(item, outcome)

    def _with_others(self, first: _Item) -> list[_Item]:
        """An effect, and what else is due and may be sent with it."""
        items, size = [first], len(first.effect.body)
        now_s = asyncio.get_running_loop().time()
        while not first.is_alone and len(items) < self._batch and self._waiting:
            item = self._waiting[0]
            size += len(item.effect.body)
            is_kept_back = item.tries and self._ties.keeps_back()
            if item.due_s > now_s or item.is_alone or is_kept_back or size > BATCH_BYTES_MAX:
                break
            items.append(heapq.heappop(self._waiting))
        return items

    async def _next(self) -> _Item:
        """The effect that is due, as soon as one is."""
        while True:
            self._changed.clear()
            now_s = asyncio.get_running_loop().time()
            if now_s < self._shut_until_s:
                wait_s: float | None = self._shut_until_s - now_s
            elif self._ties.keeps_back():
                # What was sent before is not sent again as it was: it may not be due any more.
                fresh = min((item for item in self._waiting if not item.tries), default=None)
                if fresh is not None:
                    self._waiting.remove(fresh)
                    heapq.heapify(self._waiting)
                    return fresh
                wait_s = LOOK_S
            else:
                wait_s = self._waiting[0].due_s - now_s if self._waiting else None
                if wait_s is not None and wait_s <= 0:
                    return heapq.heappop(self._waiting)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    def _await(self, item: _Item) -> None:
        self._items[item.place] = item
        heapq.heappush(self._waiting, item)
        self._changed.set()

    # What became of it.

    async def _conclude(self, item: _Item, outcome: Outcome) -> None:
        """Record what is definite; what is not waits to be sent again."""
        effect = item.effect
        if isinstance(outcome, Away):
            self._aways += asyncio.get_running_loop().time() >= self._shut_until_s
            self._shut(pause_s(self._aways, self._pause_first_s, PAUSE_S_MAX, random), outcome.reason)
        else:
            self._aways = 0
        match outcome:
            case Carried(before):
                kind = "duplicate" if before else "filled"
                self._ties.counters[kind] += 1
                facts = {"filled": int(not before), "duplicate": int(before), "rejected": 0}
                self._tell("deliver", "ok", item, orders=1, **facts)
                effect.register.open -= 1
            case Refused(reason):
                self._refuse(effect, "declined", reason, tries=item.tries)
            case Unknown(reason):
                item.failures += 1
                self._ties.counters["venue_errors"] += 1
                self._tell("deliver", "unknown", item, reason=printable(reason))
                log.warning("it is not known what became of %s: %s", effect.order_id, printable(reason))
                pause = pause_s(item.failures, self._pause_first_s, ASIDE_PAUSE_S_MAX, random)
                item.due_s = asyncio.get_running_loop().time() + pause
            case Parted(reason):
                self._tell("deliver", "fail", item, what="parted", reason=printable(reason))
            case Wait(for_s, reason):
                self._ties.counters["venue_waits"] += 1
                self._tell("deliver", "fail", item, what="wait", reason=printable(reason))
                self._shut(for_s, reason)
            case Away():
                self._ties.counters["venue_errors"] += 1
        del self._items[item.place]
        if isinstance(outcome, Carried | Refused):
            await self._told_of(effect.register)
        elif not item.is_recalled:
            self._await(item)
        self._told.set()

    async def _told_of(self, register: Register) -> None:
        if not register.open and register in self._behind:
            self._behind.discard(register)
            await self._ties.settled(register)

    def _shut(self, for_s: float, reason: str) -> None:
        """Have nobody ask anything for so long."""
        until_s = asyncio.get_running_loop().time() + for_s
        if until_s > self._shut_until_s:
            self._shut_until_s = until_s
            log.warning("nothing is sent for %.1f s: %s", for_s, printable(reason))

    def _refuse(self, effect: Effect, what: str, reason: str, *, tries: int = 0) -> None:
        """An effect that will never be carried out, and why; that is an end as good as any."""
        effect.register.open -= 1
        self._ties.counters["refused"] += 1
        facts = {"task": effect.register.task, "order_id": effect.order_id, "tries": tries}
        self._ties.record("refuse", "fail", what=what, reason=printable(reason), **facts)

    def _tell(self, op: str, kind: str, item: _Item, **facts: object) -> None:
        named = {"task": item.effect.register.task, "order_id": item.effect.order_id, "tries": item.tries}
        self._ties.record(op, kind, **named, **facts)
