"""The keeper of a stage's shared breaker: part of the router that leads.

    heartbeats of the stage's instances ──► Breaker ──trips──► said, behind the fence ──► consumers are paused
    operator: force-open, disable, … ──────────┘ └──probes ended──► said

Once it is said that a breaker is open, and its consumers are paused until then, nobody is needed any more for
it to end: the broker delivers again by itself, and instances know from what is said that they are to probe.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from squall.bus import log as bus_log
from squall.bus.codec import decode, encode
from squall.bus.errors import RequestError
from squall.bus.jetstream import Entry
from squall.bus.lane_moves import pause
from squall.bus.lanes import LaneQueue
from squall.bus.log import Record
from squall.bus.messages import Heartbeat
from squall.services.node.service import Service
from squall.services.roles.guarded import standing
from squall.services.rules.breaker import VERBS, Breaker, Changed, Settings, Verb
from squall.services.rules.shared_breaker import Said, Totals

log = logging.getLogger("squall")

LOOK_S = 0.25
"""How often it is looked whether something has changed. Higher opens later for instances that still call."""

SAYING: tuple[str, ...] = ("trip", "passed", "failed", *VERBS)
"""What of a breaker is said anew; what time alone does follows from what was said before."""

FORCED_PAUSE_S = 3.0
"""For how long consumers are paused at a time where an operator has forced the breaker open. Higher delivers
later once that is over; and lower asks the broker oftener."""

RESUMED_S = 0.5
"""For how long one that was forced open is open by itself before it is probed, so that all know by then."""


class _Held(NamedTuple):
    """What was said last, and until when nothing is delivered by the broker's clock; 0 if it is not open.

    One that is forced open has no end of its own: that is put off again and again while somebody leads.
    """

    sequence: int
    until_s: float
    probers: tuple[str, ...] = ()
    is_forced: bool = False


class Keeper:
    """Of one stage, for one term.

    Args:
        stage: Its number.
        stream, subject: Where it is said how the breaker stands.
        store: Stores one entry behind the fence, and nothing if a newer term exists; whether it is stored.
        may_act: Whether this still leads.
        first: The instances that the swarm began with, who share probes until it is said otherwise.
    """

    def __init__(
        self,
        service: Service,
        stage: int,
        settings: Settings,
        *,
        stream: str,
        subject: str,
        store: Callable[[Entry], Awaitable[bool]],
        may_act: Callable[[], bool],
        first: Sequence[str],
    ) -> None:
        self._service = service
        self._stage = stage
        self._stream = stream
        self._subject = subject
        self._store = store
        self._may_act = may_act
        chance = random.Random(f"{service.spec.seed}/{service.node}/{service.start.incarnation}/{stage}")
        self._breaker = Breaker(settings, chance, asyncio.get_running_loop().time())
        self._totals = Totals()
        self._first = tuple(first)
        self._probers = self._first
        self._held = _Held(0, 0.0, self._first)
        self._unsaid: list[Changed] = []

    def share_among(self, instances: Sequence[str]) -> None:
        """These have lanes from now on, and share its probes; said with whatever is said next, or alone."""
        self._probers = tuple(instances)

    def paused_until_s(self) -> float:
        """Until when its consumers are to deliver nothing, by the broker's clock; 0 for not at all."""
        return self._held.until_s

    async def resume(self) -> None:
        """Take over as it was said last."""
        record = await self._newest()
        if record is None:
            return
        said, now_s = decode(record.data, Said), asyncio.get_running_loop().time()
        self._hold(record, said)
        state, until_s = standing(said, record.stored_s, now_s)
        self._tell(self._breaker.follow(now_s, state, until_s, said.opened))

    def operate(self, verb: Verb) -> None:
        """An operator says what the breaker is to do."""
        now_s = asyncio.get_running_loop().time()
        self._changed(self._breaker.look(now_s))
        self._changed(self._breaker.operate(now_s, verb))

    def heard(self, heartbeat: Heartbeat) -> None:
        """An instance of the stage has said what its calls came to."""
        now_s = asyncio.get_running_loop().time()
        more = self._totals.since(heartbeat.node, heartbeat.incarnation, heartbeat.counters)
        self._changed(self._breaker.look(now_s))
        self._changed(self._breaker.counted(now_s, more))

    async def keep(self, queue: LaneQueue) -> None:
        """Say what has changed, and have consumers be paused for as long as was said. Ends with its task."""
        while True:
            self._changed(self._breaker.look(asyncio.get_running_loop().time()))
            try:
                if self._unsaid and self._may_act():
                    await self._say(self._unsaid.pop(0))
                elif self._breaker.state == "closed" and self._probers != self._held.probers:
                    # While probes may be under way, nobody's share of them changes.
                    await self._store_said(Said(state="closed", opened=self._breaker.opened))
                if self._held.is_forced and self._held.until_s - time.time() < FORCED_PAUSE_S / 2:
                    self._held = self._held._replace(until_s=time.time() + FORCED_PAUSE_S)
                is_open = self._held.until_s - time.time() > LOOK_S and self._may_act()
                if is_open and await pause(self._service.connection, queue, self._held.until_s):
                    await self._service.at("router.paused")
            except RequestError as error:
                log.info("the breaker of stage %d: %s", self._stage, error)
            await asyncio.sleep(LOOK_S)

    async def _say(self, change: Changed) -> None:
        for_s = 0.0 if change.until_s is None else round(change.until_s - change.at_s, 3)
        said = Said(state=change.after, opened=change.opened, for_s=for_s, why=change.why)
        if change.event == "resume" and change.after == "half-open":
            # Open for a moment, so that probes begin when all know of it, each in its turn.
            said = replace(said, state="open", opened=max(1, change.opened), for_s=RESUMED_S)
        if await self._store_said(said):
            await self._service.at("router.broken")

    async def _store_said(self, said: Said) -> bool:
        """Say it, with who shares the probes; whether it is stored."""
        said = replace(said, probers=self._probers)
        stored = await self._store(Entry(self._subject, encode(said), self._held.sequence))
        record = await self._newest()
        if record is not None:
            self._hold(record, decode(record.data, Said))
        return stored

    async def _newest(self) -> Record | None:
        while True:
            try:
                return await bus_log.last(self._service.connection, self._stream, self._subject)
            except RequestError:
                await asyncio.sleep(LOOK_S)

    def _hold(self, record: Record, said: Said) -> None:
        until_s = record.stored_s + said.for_s if said.state == "open" else 0.0
        is_forced = said.state == "forced-open"
        self._held = _Held(record.sequence, until_s, said.probers or self._first, is_forced)

    def _changed(self, changes: list[Changed]) -> None:
        self._tell(changes)
        self._unsaid += [change for change in changes if change.event in SAYING]

    def _tell(self, changes: list[Changed]) -> None:
        for change in changes:
            facts = {"stage": self._stage, "event": change.event, "state": change.after, "why": change.why}
            for_s = None if change.until_s is None else round(change.until_s - change.at_s, 3)
            more = {"opened": change.opened, "for_s": for_s, "probers": self._probers}
            self._service.history("breaker", "ok", shared=True, **more, **facts)
