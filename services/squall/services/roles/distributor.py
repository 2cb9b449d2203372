"""Distributor: to whom a leader gives tasks, and what it does about those that somebody does not end.

    heartbeats, open tasks ─► rules/distribution ─► the next task: to whom
                         └──► rules/hedging      ─► what takes too long: to one more
    a worker is silent ─► what it had goes to others ─► stored ─► its queue is emptied
    a worker is idle   ─► it is given what waits at another ─► stored ─► taken out there

A task is given to somebody else by one more dispatch of it, fenced as every other. Only when that is stored
is it taken out of the queue where it waited, so it is always in one; in both for a moment, and then the
register refuses the second result.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from msgspec.structs import replace

from squall.bus import log as bus_log
from squall.bus.codec import decode
from squall.bus.errors import RejectedError, RequestError
from squall.bus.jetstream import CONSUMER_NOT_FOUND, call
from squall.bus.messages import Address, Heartbeat, RunTask
from squall.bus.subjects import ANY, lane_for
from squall.bus.tasks import look_again
from squall.services.node.service import HEARTBEAT_S, Service
from squall.services.patterns.distributing import DistributedSpec
from squall.services.patterns.pattern import AGENT
from squall.services.rules.dispatch import Dispatched, Given
from squall.services.rules.distribution import PULL, Steal, Strategy, Worker, choose, steals
from squall.services.rules.hedging import Hedging
from squall.services.rules.placement import Presence

log = logging.getLogger("squall")

ABSENT_S = 3.5 * HEARTBEAT_S
"""Silence after which a worker is absent, if its ack wait is not longer. A reconnect can lose two heartbeats,
so the third one that is missing counts."""

LOOK_S = 0.25
"""How often it is looked for what is to be given to somebody else."""

Why = Literal["absent", "stolen", "hedge"]


class _Left(NamedTuple):
    """What stands where a task waited before it was given to somebody else."""

    to: str
    subject: str
    sequence: int


class Distributor:
    """Distributes for one term.

    Args:
        given: What the leader knows of the tasks that it has given out.
        stream: The leader's own, which holds the dispatches.
        spec: Who is given a task, and when one is tried once more.
        may_act: Whether the term still has a margin of its lease, for what the broker does not fence.
        again: Told of a task that is to be dispatched again, and where its last dispatch is stored.
    """

    def __init__(
        self,
        service: Service,
        given: Given,
        stream: str,
        spec: DistributedSpec,
        *,
        may_act: Callable[[], bool],
        again: Callable[[RunTask, int], None],
    ) -> None:
        now_s = time.monotonic()
        self._service = service
        self._queue = service.swarm.stream("WK")
        self._stream = stream
        self._strategy: Strategy = spec.distribution
        self._slots_max = spec.slots
        self._can = {name: frozenset(each) for name, each in spec.capabilities.items()}
        self._given = given
        self._may_act = may_act
        self._again = again
        self._names = {node.name for node in service.pattern.topology(spec).of_role(AGENT)}
        self._present = Presence(self._names, now_s, absent_s=max(ABSENT_S, spec.ack_wait_s))
        self._said: dict[str, Heartbeat] = {}
        self._heard_s = now_s
        self._ended_s = dict.fromkeys(self._names, now_s)
        self._given_s = dict.fromkeys(given.open, now_s)
        self._hedging = Hedging(spec.hedge_after)
        self._left: dict[str, _Left] = {}
        self._asked: dict[str, Dispatched] = {}
        self._turn = given.dispatched
        self._wake = asyncio.Event()
        self.is_needed = spec.distribution != PULL or spec.hedge_after > 0

    # What it hears.

    def heard(self, name: str, said: Heartbeat) -> None:
        """A worker has said that it lives."""
        now_s = time.monotonic()
        if now_s - self._heard_s >= 2 * HEARTBEAT_S:
            # Nobody was heard for a while: it is we who could not hear, so it says nothing of the others.
            for other in self._names:
                self._present.heard(other, now_s)
        self._heard_s = now_s
        self._names.add(name)
        self._present.heard(name, now_s)
        self._said[name] = said

    def stored(self) -> None:
        """Dispatches are stored, so what waited elsewhere can be taken out."""
        self._wake.set()

    def ended(self, task: str, at: Dispatched, *, hedge: bool) -> None:
        """An open task has a register.

        Args:
            hedge: Whether it came of a second try, by the word of whoever wrote it.
        """
        now_s = time.monotonic()
        self._ended_s[at.to] = now_s
        if self._strategy == "stealing":
            self._wake.set()
        self._asked.pop(task, None)
        given_s = self._given_s.pop(task, None)
        if given_s is not None:
            self._hedging.took(now_s - given_s)
        if at.hedge:
            self._service.counters["hedge_wins" if hedge else "hedge_losses"] += 1
            self._service.history("hedged", "ok", task=task, won=hedge)

    # What it decides.

    def address(self, task: RunTask) -> RunTask:
        """A task that is dispatched for the first time, with to whom."""
        if not self.is_needed:
            return task
        self._given_s[task.task] = time.monotonic()
        if self._strategy == PULL:
            return task
        return replace(task, address=Address(to=self._choose(task.key, task.job)))

    def _choose(self, key: str, needs: str, but: str = "") -> str:
        """Who is given a task; that one whom it is not to be, or nobody, if no other can be."""
        workers = [worker for worker in self._workers() if worker.name != but]
        if self._strategy == "specialised" and not any(needs in worker.can for worker in workers):
            # Whoever could is away, and is waited for.
            workers = [w for w in map(self._worker, sorted(self._names)) if needs in w.can] or workers
        if not workers:
            return ""
        self._turn += 1
        return choose(self._strategy, key, needs, self._turn, workers)

    def _workers(self) -> list[Worker]:
        """Those that are there, by their names; all, if nobody seems to be."""
        now_s = time.monotonic()
        names = sorted(self._names)
        return [self._worker(n) for n in names if self._present.is_present(n, now_s)] or [
            self._worker(n) for n in names
        ]

    def _worker(self, name: str) -> Worker:
        said = self._said.get(name)
        return Worker(
            name,
            load=self._given.loads[name],
            slots=min(self._slots_max, max(1, said.slots)) if said is not None else self._slots_max,
            service_ms=said.service_ms if said is not None else 0.0,
            idle_s=time.monotonic() - self._ended_s.get(name, 0.0),
            can=self._can.get(name, frozenset()),
        )

    # What it does.

    async def run(self) -> None:
        """Give to others what should not stay where it is, for as long as this is not cancelled."""
        due_s = time.monotonic()
        while self.is_needed:
            await look_again(self._wake, LOOK_S)
            self._wake.clear()
            try:
                await self._clear_up()
                if self._strategy == "stealing":
                    for steal in steals(self._workers()):
                        await self._steal(steal)
                if time.monotonic() >= due_s:
                    due_s = time.monotonic() + LOOK_S
                    if self._strategy != PULL:
                        await self._relieve()
                    await self._hedge()
            except RequestError as error:
                log.info("nothing was given to somebody else: %s", error)
                await asyncio.sleep(LOOK_S)

    async def _relieve(self) -> None:
        """What absent workers have goes to those that are there."""
        absent = self._present.absent(time.monotonic())
        if len(absent) < len(self._names):
            for name in sorted(absent):
                await self._take_back(name)

    async def _take_back(self, worker: str) -> None:
        """Give to others all that one has that is absent; empty its queue once it has nothing."""
        given = self._given_to(worker)
        if not given:
            await self._empty(worker)
            return
        delivered = await self._delivered(worker)
        for task, at in given:
            to = self._choose(at.key, at.job, but=worker)
            if to in ("", worker):  # who alone can do it is waited for
                continue
            waits = await self._waiting(task, at)
            if waits is not None:
                self._give(task, at, waits, to, "absent", tried=waits.sequence <= delivered)

    async def _steal(self, steal: Steal) -> None:
        """Give the newest of what waits at one worker to another."""
        newest = sorted(self._given_to(steal.victim), key=lambda each: each[1].sequence, reverse=True)
        delivered = await self._delivered(steal.victim)
        for task, at in newest[: steal.tasks]:
            waits = await self._waiting(task, at)
            if waits is not None and waits.sequence > delivered:
                self._left[task] = _Left(steal.victim, waits.subject, waits.sequence)
                self._give(task, at, waits, steal.thief, "stolen")

    async def _hedge(self) -> None:
        """Give what takes too long to one more, who has not had it."""
        late_s, now_s = self._hedging.late_s(), time.monotonic()
        if late_s is None:
            return
        late = [task for task, given_s in self._given_s.items() if now_s - given_s >= late_s]
        for task in late:
            at = self._given.open.get(task)
            if at is None or at.hedge or self._is_on_its_way(task, at) or not self._hedging.may():
                continue
            to = "" if self._strategy == PULL else self._choose(at.key, at.job, but=at.to)
            if self._strategy != PULL and to in ("", at.to):
                continue
            dispatch = await bus_log.at(self._service.connection, self._stream, at.sequence)
            if dispatch is not None and self._given.open.get(task) == at:
                self._hedging.hedged()
                self._service.counters["hedges"] += 1
                self._give(task, at, dispatch, to, "hedge")

    def _given_to(self, worker: str) -> list[tuple[str, Dispatched]]:
        """The open tasks of a worker that are to stay with it, for all that was said."""
        return [
            (task, at)
            for task, at in self._given.open.items()
            if at.to == worker and not self._is_on_its_way(task, at)
        ]

    def _is_on_its_way(self, task: str, at: Dispatched) -> bool:
        """Whether a dispatch of a task is not stored yet, this one or the next."""
        return not at.sequence or self._asked.get(task) == at

    async def _waiting(self, task: str, at: Dispatched) -> bus_log.Record | None:
        """Where a task waits, or is held; None if it ended meanwhile, or is not there."""
        subject = self._service.swarm.queued(lane_for(at.key), at.key, task, at.to)
        waits = await bus_log.last(self._service.connection, self._queue, subject)
        return waits if self._given.open.get(task) == at else None

    async def _delivered(self, worker: str) -> int:
        """Up to which place of the queue a worker was given what is there; all, if it has no consumer."""
        try:
            consumer = await call(self._service.connection, "CONSUMER", "INFO", self._queue, worker)
        except RejectedError as error:
            if error.code != CONSUMER_NOT_FOUND:
                raise
            return 2**63
        return int(consumer["delivered"]["stream_seq"])

    def _give(
        self, task: str, at: Dispatched, record: bus_log.Record, to: str, why: Why, *, tried: bool = False
    ) -> None:
        """Have a task dispatched once more."""
        given = decode(record.data, RunTask)
        address = Address(
            to=to,
            moved=at.moved + 1,
            tried=tried or given.addressed.follows,
            hedge=why == "hedge",
            had=at.holders,
        )
        self._given_s[task] = time.monotonic()
        self._asked[task] = at
        self._service.history("given", "ok", task=task, frm=at.to, to=to, why=why, tried=address.tried)
        self._again(replace(given, address=address), at.sequence)

    # What waits where it was before.

    async def _clear_up(self) -> None:
        """Take out what waited at one worker and is given to another."""
        for task, left in list(self._left.items()):
            at = self._given.open.get(task)
            if at is not None and (at.to == left.to or not at.sequence):
                continue  # not stored yet
            if not self._may_act():
                return
            await bus_log.trim(
                self._service.connection, self._queue, below=left.sequence + 1, subject=left.subject
            )
            self._left.pop(task, None)

    async def _empty(self, worker: str) -> None:
        """Take out all that waits for an absent worker, who has no open task: it ended, or others have it."""
        connection, waiting = self._service.connection, self._service.swarm.queued(ANY, ANY, ANY, worker)
        if not await bus_log.messages(connection, self._queue, waiting):
            return
        newest = (await bus_log.state(connection, self._queue))["last_seq"]
        # What is being given to somebody else is not stored yet, and a newer leader might refuse that.
        is_theirs = any(at.to == worker or (at.moved and not at.sequence) for at in self._given.open.values())
        if not is_theirs and self._may_act():
            await bus_log.trim(connection, self._queue, below=newest + 1, subject=waiting)
