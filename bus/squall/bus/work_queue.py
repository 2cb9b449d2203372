"""Work queue: every task is tried until its register is written.

     tasks ──source──► work queue ──pull──► attempt ──► register ──► confirmed ack
                           ▲                   │            │
                           ├── nak, delayed ◄──┤ failed     └─ somebody was first: suppressed, acked
                           └── nak, uncounted ◄┘ not there

Which tasks there are, and where their registers are, is said by a `Queue`. The
order is fixed: compute, commit the register, acknowledge. Whatever dies in
between is delivered again, and the register refuses the second result. A task
whose attempts are used up gets a ``dead`` register; its dead letter follows from
that. The server's own ``max_deliver`` is off: it would hide the message.

All members of a consumer are one trust domain: whoever may acknowledge on it
may acknowledge what another member holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import msgspec

from squall.bus import register, subjects
from squall.bus.absence import Absence
from squall.bus.attempts import (
    ALONGSIDE,
    FIRST,
    Doubts,
    Mark,
    Marks,
    Quarantine,
    begin,
    first_counted,
    is_suspect,
)
from squall.bus.backoff import Backoff
from squall.bus.border import printable
from squall.bus.connection import Connection
from squall.bus.ended import WORKERS_DIED, Asked, Done, Failed, NotThere, Observer, Run, straight, told_of
from squall.bus.errors import DecodeError, MessageTooLargeError, RejectedError, RequestError
from squall.bus.jetstream import STORE_REFUSED
from squall.bus.lane_order import Turns
from squall.bus.messages import RunTask, TaskResult, TaskTried
from squall.bus.pull import Delivery, Puller
from squall.bus.queue import Pacing, Queue
from squall.bus.service_time import averaged_ms
from squall.bus.subjects import Subjects
from squall.bus.tasks import Tasks, task_group

T = TypeVar("T")

ABSENT_PAUSE_S = 0.2
"""After how long a task is given to another worker, whose handler may be there."""

COMMIT_TIMEOUT_S = 60.0
ACK_TIMEOUT_S = 5.0
REFUSED_PAUSE_S = (0.05, 1.0)
"""Of the pauses between two tries to write a result that the stream has no room for: base and cap."""

RECOUNT_PAUSE_S = (0.02, 1.0)
"""Of the pauses of a worker whose mark was overtaken, as its next look may be at a stale replica."""

UNHEARD_S = 1.0
"""How long it may take, when it is told to stop, to listen no more to what it asked for."""

RETURNED_MAX = 10_000
"""Tasks of which it is known how often they were given back because it was not their turn."""


class WorkQueue:
    """One worker on a queue.

    Args:
        run: Makes one attempt.
        agent: Whose results these are.
        slots: Attempts at a time; no more is pulled than there are free slots.
        observer: Told of each attempt and each commit.
        at: Told of each step that an attempt has reached: ``delivered``, ``executed``, ``committed``,
            ``acknowledged``.
        asked: Given the step ``asked`` and the writing of a result; returns what it returns.
        counters: Where ``done``, ``failed``, ``suppressed``, ``dead`` and ``unsettled`` attempts are counted.
        complete: Has the last word on each result before it is written.
        turns: When tasks in hand may begin, for instance each lane's in their order; None for at once.
        hands: How many may be in hand, if more than there are slots: who waits for a turn takes none.
        endless: Never give a task up: one that fails is tried again and again, and in a strict order holds up
            what comes after it.

    Attributes:
        service_ms: Moving average of what an attempt takes.
    """

    def __init__(
        self,
        connection: Connection,
        swarm: Subjects,
        queue: Queue,
        run: Run,
        *,
        agent: str,
        slots: int,
        pacing: Pacing,
        observer: Observer,
        at: Callable[[str], Awaitable[None]],
        counters: Counter[str],
        chance: random.Random,
        complete: Callable[[TaskResult], TaskResult] = lambda result: result,
        asked: Asked = straight,
        turns: Turns | None = None,
        hands: int = 0,
        endless: bool = False,
    ) -> None:
        self._hands = max(hands, slots)
        self._connection = connection
        self._swarm = swarm
        self._queue = queue
        self._complete = complete
        self._run = run
        self._agent = agent
        self._slots = slots
        self._free = asyncio.Semaphore(slots)
        self._pacing = pacing
        self._observer = observer
        self._at = at
        self._asked = asked
        self._chance = chance
        self._turns = turns
        self._endless = endless
        self._returned: OrderedDict[int, int] = OrderedDict()
        self._marks = Marks(connection, swarm, queue.marks or queue.consumer)
        self._doubts = Doubts()
        self._quarantine = Quarantine()
        self._absence = Absence()
        self._held: dict[str, Delivery] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self._taking = asyncio.Event()
        self._taking.set()
        self._wake: Callable[[], None] = lambda: None
        self._began_s = time.time()  # by the clock that the broker's stamps are compared with
        self._linked_s = float("-inf")  # when the newest link to the broker took over from one before
        self._last_order = 0
        self.counters = counters
        self.service_ms = 0.0

    @property
    def in_flight(self) -> int:
        return len(self._held)

    async def serve(self, stop: asyncio.Event, *, grace_s: float) -> None:
        """Work until asked to stop, then finish what is in flight.

        Args:
            stop: Set to stop; nothing new is taken then.
            grace_s: How long what is in flight may take; what is not finished is delivered again elsewhere.
        """
        async with task_group() as tasks, contextlib.AsyncExitStack() as stack:
            stack.callback(self._connection.on_link(self._link_changed))
            puller = Puller(
                self._connection,
                self._queue.stream,
                self._queue.consumer,
                lambda delivery: self._take(tasks, puller, delivery),
                self._room,
                chunk=max(1, self._slots // 4),
            )
            self._wake = puller.wake
            pulling = tasks.daemon(puller.run())
            tasks.daemon(self._keep_alive())
            await stop.wait()
            self._stopping = True
            pulling.cancel()
            # What is given back while a request of ours is open at the broker may come here again, to nobody.
            await asyncio.wait({pulling}, timeout=UNHEARD_S)
            self._taking.set()  # those that wait are given back
            try:
                async with asyncio.timeout(grace_s):
                    await self._idle.wait()
            except TimeoutError:
                self.counters["abandoned"] += len(self._held)

    def _link_changed(self) -> None:
        self._linked_s = time.monotonic()

    def hold(self, on: bool) -> None:
        """Take no more work, or go on. What has begun is finished, and what arrives meanwhile waits here."""
        if on:
            self._taking.clear()
        else:
            self._taking.set()
            self._wake()

    def _room(self) -> int:
        closed = self._stopping or self._quarantine.closed or not self._taking.is_set()
        if closed:
            return 0
        in_flight = len(self._held)
        return self._absence.room(self._hands - in_flight, in_flight, time.monotonic())

    def _take(self, tasks: Tasks, puller: Puller, delivery: Delivery) -> None:
        if not self._queue.delivers(delivery.subject):
            self._connection.counters["unasked"] += 1
            return
        if delivery.reply in self._held:
            return  # the network has repeated it: one attempt is under way, and two would pass the slots
        # It may be in hand, where its consumer was made anew meanwhile or it waits for its turn here; what is
        # said of either delivery counts.
        may_be_in_hand = delivery.attempt == 1 or self._turns is not None
        if may_be_in_hand and any(held.sequence == delivery.sequence for held in self._held.values()):
            return
        if self._queue.marks and not 0 < self._last_order < delivery.order:
            # The consumer was made anew: of what was stored by now, others may have made attempts.
            self._began_s = max(self._began_s, time.time(), delivery.stored_s)
        self._last_order = delivery.order
        self._held[delivery.reply] = delivery
        self._idle.clear()
        if self._turns is not None:
            self._turns.enter(delivery)

        async def attempt() -> None:
            try:
                await self._attempt_in_turn(delivery)
            finally:
                self._held.pop(delivery.reply, None)
                if self._turns is not None:
                    self._turns.leave(delivery)
                if not self._held:
                    self._idle.set()
                puller.wake()

        tasks.daemon(attempt())

    async def _attempt_in_turn(self, delivery: Delivery) -> None:
        wait_s = 0.0
        if self._turns is not None:
            try:
                wait_s = await self._turns.wait(delivery)
            except RequestError:
                wait_s = self._pacing.retry_base_s
        returned = self._returned.pop(delivery.sequence, 0)
        if not wait_s:
            # What came out of turn was no attempt, and is not counted as one by who knows of it.
            number = max(1, delivery.attempt - returned)
            # More than was asked for comes where a request was given up that the broker still answers.
            async with self._free:
                await self._attempt(msgspec.structs.replace(delivery, attempt=number))
            return
        self.counters["out_of_turn"] += 1
        self._returned[delivery.sequence] = returned + 1
        if len(self._returned) > RETURNED_MAX:
            self._returned.popitem(last=False)
        with contextlib.suppress(RequestError):
            await self._put_off(delivery, wait_s)

    async def _attempt(self, delivery: Delivery) -> None:
        if not self._taking.is_set():
            await self._taking.wait()
            if self._stopping:
                with contextlib.suppress(RequestError):
                    await self._connection.publish(delivery.reply, b"-NAK", confirm=False)
                return
        name = subjects.last_token(delivery.subject)
        try:
            task, ended = self._queue.read(delivery.data)
            if task.task != name:
                raise DecodeError(f"task {printable(task.task, 40)} lies where {name} should")
        except DecodeError as error:
            task, ended = RunTask(task=name, key=name, job="unreadable"), str(error)
        task = msgspec.structs.replace(task, lap=self._queue.lap(delivery.subject))
        if ended:
            await self._end(delivery, task, Failed(ended, final=True), delivery.attempt)
            return
        if delivery.attempt == 1 and delivery.stored_s >= self._began_s and not task.addressed.follows:
            await self._run_once(delivery, task, FIRST, expected=None)
            return
        try:
            pauses = Backoff(*RECOUNT_PAUSE_S)
            while not await self._repeat(delivery, task):
                await asyncio.sleep(pauses.pause_s())
        except RequestError as error:
            # Not counted, so not run; not acknowledged, so delivered again.
            self.counters["uncounted"] += 1
            self._observer("attempt", "unknown", reason=str(error), **told_of(task))

    async def _repeat(self, delivery: Delivery, task: RunTask) -> bool:
        """Make the next attempt of a task that may have been tried; False if somebody counts one as well.

        Raises:
            RequestError: It cannot be counted.
        """
        mark = await self._marks.read(self._queue.counted(delivery.subject), task.task)
        before = mark.tried or (ALONGSIDE if task.addressed.hedge else None)
        uncounted = before is None and delivery.attempt == 1 and not task.addressed.tried
        attempts = before.attempts + 1 if before and self._endless else self._pacing.attempts
        tried = first_counted() if uncounted else begin(before, attempts)
        if tried is None and (open_s := self._open_s(delivery, mark)):
            await self._put_off(delivery, open_s)
            return True
        if tried is None:
            lost = Failed(WORKERS_DIED, final=True)
            await self._end(delivery, task, lost, self._pacing.attempts)
            return True
        tried = msgspec.structs.replace(tried, order=delivery.order)
        return await self._run_once(delivery, task, tried, expected=mark.sequence)

    def _open_s(self, delivery: Delivery, mark: Mark) -> float:
        """How long the last attempt of a task may yet be under way, for all that is known; 0 if it is not."""
        ack_wait_s = self._pacing.ack_wait_s
        if open_s := mark.open_s(ack_wait_s, time.time()):
            return open_s
        # A broker that was started again delivers at once what it has not heard of while it was away.
        if time.monotonic() - self._linked_s < ack_wait_s:
            return ack_wait_s
        return ack_wait_s if self._doubts.has(delivery.sequence, delivery.order, mark) else 0.0

    async def _run_once(
        self, delivery: Delivery, task: RunTask, tried: TaskTried, *, expected: int | None
    ) -> bool:
        """Make one attempt: count it if it is a repeat, run it, commit or give back what came of it.

        A suspect is left alone until all of that is done: what its result does to the process must not look
        like the next one's doing.
        """
        number, alone = tried.attempts, is_suspect(tried, self._pacing.attempts)
        await self._quarantine.enter(alone=alone)
        try:
            if expected is not None and not await self._marks.write(
                self._queue.counted(delivery.subject), task.task, tried, expected
            ):
                return False
            started_s = time.monotonic()
            self._observer("run", "invoke", **told_of(task, number))
            with self._telling(task, number):
                await self._at("delivered")
                ended = await self._run(task, number)
                await self._at("executed")
                if isinstance(ended, NotThere):
                    await self._not_there(delivery, task, tried, ended)
                    return True
                self._absence.met()
                self.service_ms = averaged_ms(self.service_ms, (time.monotonic() - started_s) * 1e3)
                excused = isinstance(ended, Failed) and ended.excused
                last = number >= self._pacing.attempts or (isinstance(ended, Failed) and ended.final)
                may_end = last and not self._endless
                failed = isinstance(ended, Failed) and (excused or not may_end)
                settled = not failed and await self._commit(delivery, task, ended, number)
            if isinstance(ended, Failed) and failed:
                self.counters["failed"] += 1
                reason = printable(ended.reason)
                self._observer("attempt", "fail", reason=reason, **told_of(task, number))
                if excused:
                    await self._excuse(delivery, task, tried, ended)
                else:
                    await self._again(delivery, task, number, after_s=ended.after_s)
            elif settled:
                await self._acknowledge(delivery)
        finally:
            self._quarantine.leave(alone=alone)
        return True

    @contextlib.contextmanager
    def _telling(self, task: RunTask, number: int) -> Iterator[None]:
        """Tell of an attempt that is cut off: each has a line of its end, unless the process dies with it."""
        try:
            yield
        except BaseException:
            reason = "its worker stopped before it ended"
            self._observer("attempt", "unknown", reason=reason, **told_of(task, number))
            raise

    def _result(self, delivery: Delivery, task: RunTask, ended: Done | Failed, attempt: int) -> TaskResult:
        result = TaskResult(
            task=task.task,
            key=task.key,
            job=task.job,
            number=task.number,
            submit_s=task.submit_s,
            deadline_s=task.deadline_s,
            term=task.term,
            trace=task.trace,
            lane=subjects.lane_of(delivery.subject),
            attempt=attempt,
            agent=self._agent,
            status="ok" if isinstance(ended, Done) else "dead",
            effects=ended.effects if isinstance(ended, Done) else (),
            value=ended.value if isinstance(ended, Done) else b"",
            lap=task.lap,
            again=isinstance(ended, Done) and ended.again,
            hedge=task.addressed.hedge or msgspec.UNSET,
            reason="" if isinstance(ended, Done) else printable(ended.reason),
        )
        return self._complete(result)

    async def _end(self, delivery: Delivery, task: RunTask, ended: Done | Failed, attempt: int) -> None:
        if await self._commit(delivery, task, ended, attempt):
            await self._acknowledge(delivery)

    async def _commit(self, delivery: Delivery, task: RunTask, ended: Done | Failed, attempt: int) -> bool:
        """Write a task's register; whether it has one now, so that its delivery is done with."""
        result = self._result(delivery, task, ended, attempt)
        place = self._queue.place(result)
        facts = told_of(task, attempt) | ({"again": True} if isinstance(ended, Done) and ended.again else {})
        pauses, until_s = Backoff(*REFUSED_PAUSE_S), time.monotonic() + COMMIT_TIMEOUT_S
        while True:
            try:
                writing = register.write(
                    self._connection,
                    place.subject,
                    result,
                    timeout_s=COMMIT_TIMEOUT_S,
                    alone=place.alone,
                )
                written, why = await self._asked("asked", writing)
                break
            except (MessageTooLargeError, DecodeError) as error:
                # Of a failure only what we wrote ourselves is kept, and that fits and can be read.
                why = "is too large" if isinstance(error, MessageTooLargeError) else "cannot be read"
                refused = Failed(f"the result {why}: {error}", final=True)
                return await self._commit(delivery, task, refused, attempt)
            except RejectedError as error:
                # Where the stream is full another attempt would come to the same, and a task has not many.
                self.counters["refused"] += 1
                if error.code != STORE_REFUSED or time.monotonic() >= until_s:
                    self._observer("commit", "fail", reason=str(error), **facts)
                    await self._again(delivery, task, attempt)
                    return False
                await asyncio.sleep(pauses.pause_s())
        if written == "unknown":
            self.counters["unsettled"] += 1
            self._observer("commit", "unknown", reason=why, **facts)
            return False  # not acknowledged: it is delivered again, and the register decides
        if written == "won":
            self.counters["done" if result.status == "ok" else "dead"] += 1
            self._observer("commit", "ok", status=result.status, **facts)
        elif written == "already":
            self.counters["suppressed"] += 1
            self._observer("commit", "fail", reason="already", status=result.status, **facts)
        else:
            self._observer("commit", "unknown", reason="settled", **facts)
        return True

    async def _acknowledge(self, delivery: Delivery) -> None:
        await self._at("committed")
        try:
            await self._connection.request(delivery.reply, b"+ACK", timeout_s=ACK_TIMEOUT_S)
        except RequestError:
            self.counters["unacknowledged"] += 1  # delivered again, and suppressed then
        await self._at("acknowledged")

    async def _again(self, delivery: Delivery, task: RunTask, attempt: int, *, after_s: float = 0.0) -> None:
        """Have it delivered again after a pause. If this is lost, the ack wait sees to it."""
        pause_s = max(after_s, self._pacing.pause_s(attempt, self._chance))
        marking = self._marks.end(self._queue.counted(delivery.subject), task.task, attempt)
        await self._give_back(delivery, pause_s, marking)

    async def _not_there(self, delivery: Delivery, task: RunTask, tried: TaskTried, why: NotThere) -> None:
        """Give a task back that nobody began, and pull nothing for a while."""
        self.counters["absent"] += 1
        reason = printable(why.reason)
        self._observer("absent", "fail", reason=reason, **told_of(task, tried.attempts))
        pause_s = self._absence.missed(time.monotonic(), why.after_s)
        asyncio.get_running_loop().call_later(pause_s, self._wake)
        marking = self._marks.take_back(self._queue.counted(delivery.subject), task.task, tried)
        await self._give_back(delivery, ABSENT_PAUSE_S, marking)

    async def _excuse(self, delivery: Delivery, task: RunTask, tried: TaskTried, ended: Failed) -> None:
        """Have it delivered again after a pause, with as many attempts as before."""
        pause_s = max(ended.after_s, self._pacing.pause_s(tried.attempts, self._chance))
        marking = self._marks.take_back(self._queue.counted(delivery.subject), task.task, tried)
        await self._give_back(delivery, pause_s, marking)

    async def _give_back(self, delivery: Delivery, pause_s: float, marking: Awaitable[object]) -> None:
        """Have it delivered again after a pause, once it is marked what became of it."""
        try:
            await marking
            await self._put_off(delivery, pause_s)
        except RequestError:
            self.counters["unacknowledged"] += 1

    async def _put_off(self, delivery: Delivery, pause_s: float) -> None:
        refusal = b'-NAK {"delay": %d}' % int(pause_s * 1e9)
        await self._connection.publish(delivery.reply, refusal, reply="", confirm=False)

    async def _keep_alive(self) -> None:
        """Tell the broker three times an ack wait that what is held is worked on."""
        while True:
            await asyncio.sleep(self._pacing.ack_wait_s / 3)
            for reply in list(self._held):
                try:
                    await self._connection.publish(reply, b"+WPI", confirm=False)
                except RequestError:
                    break  # no connection: the broker will hear of it, or deliver it again
