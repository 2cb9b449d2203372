"""A peer's own opinion: what its handler comes to on each task, begun before anybody asks for it.

    tasks ─► those with an open proposal first, then in their order ─► handler ─► Done, Failed
                                                                          │
          failed, and not for good: again after a pause, a few times ◄────┘

A task that was open when this peer ended may be why it did. So how often it was begun is counted at the
broker, before it is begun once more, alone if it may be to blame; after a few deaths it is taken for dead,
and after one if another peer has found so.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Callable

from squall.bus.absence import Absence
from squall.bus.attempts import Marks, Quarantine, begin, first_counted, is_suspect
from squall.bus.border import printable
from squall.bus.ended import WORKERS_DIED, Done, Ended, Failed, NotThere
from squall.bus.errors import RequestError
from squall.bus.messages import RunTask, TaskTried
from squall.bus.subjects import lane_for
from squall.bus.tasks import Tasks
from squall.services.handlers.mistakes import Mistake
from squall.services.handlers.outcome import gone_round
from squall.services.handlers.port import Host
from squall.services.node.service import Service
from squall.services.roles.handler_told import HandlerTold
from squall.services.rules.log_room import too_large

log = logging.getLogger("squall")

GRACE_S = 5.0
"""How much longer than one attempt what is in flight may take once a handler cannot be ended."""

UNCOUNTED_PAUSE_S = 0.5
"""Before it is tried again to count how often a task was begun."""


class Opinion:
    """What one task has come to so far.

    Attributes:
        place: Where the task stands in the log.
        attempts: How often its handler was begun, by this start of the peer.
        latest: What the newest attempt came to; None before the first has ended.
        final: Whether there will be no further attempt.
    """

    def __init__(self, task: RunTask, place: int, *, is_old: bool) -> None:
        self.task = task
        self.place = place
        self.is_old = is_old
        self.attempts = 0
        self.latest: Done | Failed | None = None
        self.final = False
        self.changed = asyncio.Event()

    async def ended(self) -> Done | Failed:
        """What it came to in the end."""
        while self.latest is None or not self.final:
            self.changed.clear()
            await self.changed.wait()
        return self.latest


class Deciding:
    """The handler of a peer, at work on tasks of the log.

    Args:
        is_given_up: Whether the log has a proposal that a task is dead. Then this peer dies of it no further
            time to find that out.
        result_bytes_max: What a handler may return for one task.

    Attributes:
        told: Told what the handler does wrong.
        is_own: Which files are the handler's own.
    """

    def __init__(
        self,
        service: Service,
        tasks: Tasks,
        *,
        is_given_up: Callable[[str], bool],
        result_bytes_max: int,
    ) -> None:
        spec = service.spec
        assert service.handler is not None
        self.told = HandlerTold(spec.handler, service.history, service.handler.begins, orders=spec.has_venue)
        self.is_own = service.handler.is_own
        self._service = service
        self._tasks = tasks
        self._is_given_up = is_given_up
        self._result_bytes_max = result_bytes_max
        self._grace_s = spec.handler_timeout_s + GRACE_S
        self._handler = service.handler.open(
            Host(
                timeout_s=spec.handler_timeout_s,
                slots=spec.slots,
                threads=service.around.threads,
                stuck=self.stuck,
                running=self.told.running,
                connection=service.connection,
            )
        )
        self._absence = Absence()
        self._chance = random.Random(f"{spec.seed}/{service.node}/{service.start.incarnation}/retry")
        self._marks = Marks(service.connection, service.swarm, service.node)
        self._quarantine = Quarantine()
        self._began_s = time.time()
        self._opinions: dict[str, Opinion] = {}
        self._waiting: list[tuple[bool, int, str]] = []
        self._wake = asyncio.Condition()
        self.running = 0

    def work(self) -> None:
        """Begin."""
        for _ in range(self._service.spec.slots):
            self._tasks.daemon(self._keep_working())

    async def close(self) -> None:
        """End what the handler has running."""
        await self._handler.close()

    def stuck(self) -> None:
        """A handler cannot be ended but with the process."""
        self._service.history("end", "ok", reason="a handler outlived its time-out")
        log.warning("a handler does not end: this peer does")
        self._service.stop.set()
        self._service.around.end_within(self._grace_s + GRACE_S)

    def want(self, task: RunTask, place: int, stored_s: float, *, urgent: bool = False) -> Opinion:
        """Have an opinion on a task.

        Args:
            stored_s: When the broker stored the task.
            urgent: Before those that are not.
        """
        opinion = self._opinions.get(task.task)
        is_new = opinion is None
        if opinion is None:
            is_old = self._service.start.incarnation > 1 and stored_s < self._began_s
            opinion = self._opinions[task.task] = Opinion(task, place, is_old=is_old)
        if is_new or (urgent and opinion.latest is None):
            self._queue(opinion, urgent=urgent)
        return opinion

    def opinion(self, task: str) -> Opinion | None:
        """That on a task, if it is wanted."""
        return self._opinions.get(task)

    def forget(self, task: str) -> None:
        """Its task is settled: nobody waits for an opinion on it any more."""
        opinion = self._opinions.pop(task, None)
        if opinion is not None and not opinion.final:
            opinion.latest = opinion.latest or Failed("it was settled meanwhile", final=True)
            opinion.final = True
            opinion.changed.set()

    def _queue(self, opinion: Opinion, *, urgent: bool) -> None:
        heapq.heappush(self._waiting, (not urgent, opinion.place, opinion.task.task))
        self._tasks.daemon(self._notify())

    async def _notify(self) -> None:
        async with self._wake:
            self._wake.notify()

    async def _keep_working(self) -> None:
        begun: Opinion | None
        while True:
            async with self._wake:
                while not self._waiting:
                    await self._wake.wait()
                _, _, name = heapq.heappop(self._waiting)
            begun = self._opinions.get(name)
            if begun is None or begun.final or (begun.attempts and begun.latest is None):
                continue
            self.running += 1
            try:
                await self._attempt(begun)
            finally:
                self.running -= 1

    async def _attempt(self, opinion: Opinion) -> None:
        spec, task = self._service.spec, opinion.task
        opinion.attempts += 1
        ended = await (self._counted(opinion) if opinion.is_old else self._run(opinion, opinion.attempts))
        if isinstance(ended, NotThere):
            opinion.attempts -= 1
            pause_s = self._absence.missed(time.monotonic(), ended.after_s)
            self._tasks.daemon(self._later(task.task, pause_s))
            return
        self._absence.met()
        opinion.latest = ended
        opinion.final = isinstance(ended, Done) or ended.final or opinion.attempts >= spec.attempts
        opinion.changed.set()
        await self._service.at("agent.executed")
        if not opinion.final:
            pause_s = spec.pacing.pause_s(opinion.attempts, self._chance)
            self._tasks.daemon(self._later(task.task, pause_s))

    async def _later(self, task: str, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        opinion = self._opinions.get(task)
        if opinion is not None:
            self._queue(opinion, urgent=True)

    async def _run(self, opinion: Opinion, attempt: int) -> Ended:
        task = opinion.task
        await self._quarantine.enter(alone=False)
        try:
            return await self._call(task, attempt)
        finally:
            self._quarantine.leave(alone=False)

    async def _call(self, task: RunTask, attempt: int) -> Ended:
        tell, facts = self._service.history, {"task": task.task, "attempt": attempt}
        tell("consider", "invoke", **facts)
        try:
            ended = gone_round(await self._handler.run(task, attempt))
        except BaseException:
            tell("consider", "unknown", **facts)
            raise
        if isinstance(ended, Done) and (why := self._too_large(ended)):
            ended = Mistake(why, final=True, kind="returned", said=why)
        self.told.ended(task.task, attempt, ended)
        self.told.health(self._handler.health)
        if isinstance(ended, NotThere):
            self._service.counters["absent"] += 1
            tell("absent", "fail", what="consider", reason=printable(ended.reason), **facts)
            return ended
        tell("consider", "ok" if isinstance(ended, Done) else "fail", **facts)
        return ended

    def _too_large(self, done: Done) -> str:
        return too_large(len(done.value) + sum(map(len, done.effects)), self._result_bytes_max)

    async def _counted(self, opinion: Opinion) -> Ended:
        """One attempt of a task that may have been what this peer died of: counted before it is begun."""
        task, lane = opinion.task, lane_for(opinion.task.key)
        most = self._service.spec.attempts
        while True:
            try:
                before, sequence, _ = await self._marks.read(lane, task.task)
            except RequestError as error:
                await self._uncounted(task.task, error)
                continue
            tried = begin(before, most) if before is not None else first_counted()
            if tried is None or (tried.deaths and self._is_given_up(task.task)):
                return Failed(WORKERS_DIED, final=True)
            alone = is_suspect(tried, most)
            await self._quarantine.enter(alone=alone)
            try:
                # While it waited, others may have ended this peer: only now is it there to be blamed.
                if await self._marks.write(lane, task.task, tried, sequence):
                    ended = await self._call(task, tried.attempts)
                    await self._mark_end(task, tried, ended)
                    return ended
            except RequestError as error:
                await self._uncounted(task.task, error)
            finally:
                self._quarantine.leave(alone=alone)

    async def _mark_end(self, task: RunTask, tried: TaskTried, ended: Ended) -> None:
        """Count that an attempt ended, while what runs alone still does: the next may end this peer."""
        lane = lane_for(task.key)
        try:
            if isinstance(ended, Done):  # if it is begun once more, this peer died of something else
                await self._marks.clear(lane, task.task, tried.attempts)
            elif isinstance(ended, NotThere):
                await self._marks.take_back(lane, task.task, tried)
            elif not ended.final:
                await self._marks.end(lane, task.task, tried.attempts)
        except RequestError as error:
            log.info("it is not counted that %s ended: %s", task.task, error)

    async def _uncounted(self, task: str, error: RequestError) -> None:
        log.info("it is not known how often %s was tried: %s", task, error)
        await asyncio.sleep(UNCOUNTED_PAUSE_S)
