"""Turns that a circuit breaker may put off: what its stage depends on is left alone while it fails.

    task in hand ──► its lane's turn ──► may it be called? ── no ─► given back, until when it may be
                                               │ yes: a permit
                                            attempt ──► how it ended ──► the breaker

A task that is given back waits in its stream, and has made no attempt. So while a breaker is open no attempts
are used up, and nothing is held in memory.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from squall.bus import log as bus_log
from squall.bus.codec import decode
from squall.bus.connection import Connection
from squall.bus.ended import Done, Ended, Failed, NotThere, Run
from squall.bus.lane_order import LaneTurns
from squall.bus.messages import RunTask
from squall.bus.pull import Delivery
from squall.bus.subjects import last_token
from squall.services.rules.breaker import Breaker, Changed, End, Permit, Share, State
from squall.services.rules.shared_breaker import CALLS, Said

SOON_S = 0.25
"""For how long a task is given back while other probes are under way."""

LEFT_ALONE = "left alone: its stage's breaker has opened meanwhile"
"""Why an attempt was not made that had been let through before."""

FRESH_S = 0.4
"""How old what is known of the shared breaker may be as an attempt begins. Lower asks the broker oftener."""

LONG_S = 1.0
"""The same where an operator has forced the breaker open, and nobody knows for how long."""


def class_of(ended: Ended) -> End:
    """What an attempt says of what its stage depends on.

    A failure that another attempt might not meet may be that of something else; one that is final is the
    task's own. Where nobody was there to make it, the work queue leaves that be by itself.
    """
    if isinstance(ended, NotThere):
        return "shed"
    if isinstance(ended, Done):
        return "ok"
    return "poison" if ended.final else "transient"


def standing(said: Said, stored_s: float, now_s: float) -> tuple[State, float | None]:
    """How a breaker stands of which something was said, and until when it is open by a monotonic clock."""
    if said.state != "open":
        return said.state, None
    return "open", now_s + said.left_s(stored_s, time.time())


class Shared:
    """The breaker that all instances of a stage share, as one of them reads it.

    Args:
        stream, subject: Where it is said how it stands.
        share: This instance's share of probes, given who shares them.
        probe_s: How long a turn of probes lasts.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        subject: str,
        *,
        share: Callable[[Sequence[str]], Share],
        probe_s: float,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._subject = subject
        self._share = share
        self._probe_s = probe_s
        self._said = Said(state="closed")
        self._sequence = 0
        self._read_s = float("-inf")
        self._reading = asyncio.Lock()

    async def follow(self, breaker: Breaker, now_s: Callable[[], float]) -> list[Changed]:
        """Have an instance's own breaker stand as the shared one does, if there is news of it.

        Raises:
            RequestError: The broker does not say how it stands.
        """
        async with self._reading:
            if now_s() - self._read_s < FRESH_S:
                return []
            began_s = now_s()
            record = await bus_log.direct(self._connection, self._stream, self._subject)
            self._read_s = began_s
            if record is None or record.sequence <= self._sequence:
                return []
            self._sequence = record.sequence
            before, said = self._said, decode(record.data, Said)
            self._said = said
            mine = self._share(said.probers)
            if said.is_of_probers_only(before):
                breaker.probes = mine.probes
                return []
            state, until_s = standing(said, record.stored_s, now_s())
            if until_s is not None:
                until_s += mine.turn * self._probe_s
            breaker.probes = mine.probes
            return breaker.follow(now_s(), state, until_s, said.opened)


class Guarded:
    """The turns of one instance's tasks, behind a breaker.

    Args:
        turns: Those of its lanes; None where any order will do.
        now_s: A monotonic clock.
        changed: Told of each transition.
        shared: The breaker that all instances of the stage share; None if this one stands alone.
        counters: Where it is counted what calls came to.
    """

    def __init__(
        self,
        breaker: Breaker,
        turns: LaneTurns | None,
        *,
        now_s: Callable[[], float],
        changed: Callable[[Changed], None],
        shared: Shared | None = None,
        counters: Counter[str] | None = None,
    ) -> None:
        self._shared = shared
        self._counters: Counter[str] = Counter() if counters is None else counters
        self._breaker = breaker
        self._turns = turns
        self._now_s = now_s
        self._changed = changed
        self._permits: dict[str, Permit] = {}

    def enter(self, delivery: Delivery) -> None:
        """See `LaneTurns`."""
        if self._turns is not None:
            self._turns.enter(delivery)

    def leave(self, delivery: Delivery) -> None:
        """See `LaneTurns`. Leave that was not used is handed back."""
        if self._turns is not None:
            self._turns.leave(delivery)
        self._ended(last_token(delivery.subject), "shed", 0.0)

    async def wait(self, delivery: Delivery) -> float:
        """Wait for a task's turn; see `LaneTurns`."""
        if self._turns is not None and (wait_s := await self._turns.wait(delivery)):
            return wait_s
        if self._shared is not None:
            self._tell(await self._shared.follow(self._breaker, self._now_s))
        now_s = self._now_s()
        self._tell(self._breaker.look(now_s))
        permit = self._breaker.admit(now_s)
        if permit is not None:
            self._permits[last_token(delivery.subject)] = permit
            return 0.0
        return self._closed_for_s(now_s)

    @property
    def _is_shut(self) -> bool:
        return self._breaker.state in ("open", "half-open", "forced-open")

    def _closed_for_s(self, now_s: float) -> float:
        if self._breaker.until_s is not None:
            return max(self._breaker.until_s - now_s, SOON_S)
        return LONG_S if self._breaker.state == "forced-open" else SOON_S

    def around(self, run: Run) -> Run:
        """Attempts whose ends the breaker is told.

        One that fails while the breaker is not closed says nothing of its task, which has no attempt less.
        """

        async def guarded(task: RunTask, attempt: int) -> Ended:
            began_s = self._now_s()
            permit = self._permits.get(task.task)
            if permit is not None and self._is_shut and not self._breaker.is_current(permit):
                return Failed(LEFT_ALONE, after_s=self._closed_for_s(began_s), excused=True)
            ended = await run(task, attempt)
            self._ended(task.task, class_of(ended), self._now_s() - began_s)
            if isinstance(ended, Failed) and not ended.final and self._is_shut:
                after_s = max(ended.after_s, self._closed_for_s(self._now_s()))
                return msgspec.structs.replace(ended, excused=True, after_s=after_s)
            return ended

        return guarded

    def _ended(self, task: str, end: End, took_s: float) -> None:
        permit = self._permits.pop(task, None)
        if permit is not None:
            if self._breaker.is_current(permit):
                self._counters.update(dict(zip(CALLS, self._breaker.counts_of(end, took_s), strict=True)))
            self._tell(self._breaker.ended(self._now_s(), permit, end, took_s))

    def _tell(self, changes: list[Changed]) -> None:
        for change in changes:
            self._changed(change)
