"""Coordinator: a fenced leader and its warm standby.

    ingress ──read──► window ──► one writer ──fenced batch──► JOB ──sourced──► work queue
                        ▲            ▲
    registers ──read────┴─ open ─────┴─ dead letters, jobs done, snapshots
                            └── sweep: open for too long ──► dispatched again, or buried

The leader alone writes its stream, through one writer, in batches that the broker
refuses as a whole once a newer term exists. What it knows is a fold over that
stream and the registers, so a successor starts where the last stored batch ended.

Agents write the registers, so that there is one is all that is believed of it: the task is what its subject
says, the job what our own dispatch says, and one that cannot be read ends its task as dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from typing import Final, NamedTuple

import msgspec

from squall.bus import log as bus_log
from squall.bus.border import NAME_LENGTH_MAX, check_name, printable
from squall.bus.codec import SUBMISSION_BYTES_MAX, decode
from squall.bus.errors import DecodeError, InvalidNameError, RequestError
from squall.bus.fenced import patiently
from squall.bus.messages import (
    CloseJob,
    DeadLetter,
    RunTask,
    Status,
    TaskResult,
)
from squall.bus.pull import Delivery
from squall.bus.subjects import lane_for, lane_of, last_token
from squall.bus.tasks import look_again, task_group
from squall.services.node.lead import Office, stand
from squall.services.node.service import Service
from squall.services.patterns.hierarchical import HierarchicalSpec, seat
from squall.services.roles.distributor import Distributor
from squall.services.roles.job_writer import JobWriter
from squall.services.roles.pressed import Pressed
from squall.services.roles.restore import Restored, restore
from squall.services.roles.slots import Slots
from squall.services.roles.sweeper import Sweeper
from squall.services.rules.admission import Window
from squall.services.rules.dispatch import Dispatched, Progress
from squall.services.run.spec import spec_as

POINTS: Final = {
    "coordinator.claimed": "a term is claimed, what went before is not read",
    "coordinator.resumed": "what went before is read, nothing is dispatched",
    "coordinator.gathered": "submissions are taken, no dispatch is stored",
    "coordinator.asked": "the broker was asked to store a batch, and has not answered",
    "coordinator.dispatched": "dispatches are stored, the ingress is not trimmed",
    "coordinator.trimmed": "the ingress is trimmed",
}
"""Where a fault can strike it, and what has happened there."""

BATCH_MAX = 250
FINISHED_MAX = 200
"""Jobs whose end is stored in one batch. With as many tasks, jobs that they open and letters as there may be,
it stays below what the broker takes; see `bus.jetstream.BATCH_MAX`."""

BATCH_BYTES_MAX = 4 * 1024**2
"""Of the tasks and dead letters of one batch, which the broker keeps in memory until it is whole."""

FULL = 0.8
"""Share of the log's bound from which nothing more is dispatched until something was trimmed."""

SNAPSHOT_S = 1.0
ROOM_S = 0.5
BATCH_S = 1.0
"""How long a leader that is to leave finishes the batch that it has begun. One that the log refuses, or whose
outcome is not known by then, is for its successor, which finds what was stored of it."""

TRIM_S = 0.2
AGE_S_MAX = 2.0
"""A task that took longer from dispatch to register is a sign of overload."""

BUFFER = 1000
"""Submissions read ahead of the window."""


async def serve(service: Service) -> None:
    """Stand for the leadership until asked to stop."""
    await stand(service, seat(service.swarm), lambda office: Coordinator(service, office).lead())


class _Letter(NamedTuple):
    """What the register of a dead task says of why it is dead."""

    reason: str
    attempt: int = 0
    agent: str = ""


class Coordinator:
    """One term of leadership."""

    def __init__(self, service: Service, office: Office) -> None:
        self._service = service
        self._connection = service.connection
        self._swarm = service.swarm
        self._office = office
        self._leadership = office.leadership
        self._jobs = service.swarm.stream("JOB")
        self._progress = Progress()
        self._restored = Restored(Progress(), None, 0)
        self._submitted: asyncio.Queue[tuple[RunTask | CloseJob | None, int]] = asyncio.Queue(BUFFER)
        self._since: dict[str, float] = {}
        self._dead: dict[str, tuple[Dispatched, _Letter]] = {}
        self._again: dict[str, tuple[RunTask, int]] = {}
        self._full = False
        self._window = Window(
            service.spec.agents * service.spec.slots,
            limit_max=spec_as(service.spec, HierarchicalSpec).window_max,
            age_s_max=max(AGE_S_MAX, 2 * service.spec.ack_wait_s),
        )
        self._wake = asyncio.Event()
        self._pressed = Pressed(service)
        self._distributor = self._distributing()
        service.vitals = lambda: {"in_flight": len(self._progress.open), "slots": self._window.limit}

    async def lead(self) -> None:
        """Lead until asked to leave.

        Raises:
            DeposedError: A newer term exists.
        """
        await self._service.at("coordinator.claimed")
        await self._restore()
        self._office.caught_up()
        await self._service.at("coordinator.resumed")
        async with task_group() as tasks:
            tasks.daemon(self._pressed.listen())
            slots = Slots(self._service, self._leadership.term, self._resize, self._distributor.heard)
            tasks.daemon(slots.hear())
            tasks.daemon(self._distributor.run())
            tasks.daemon(self._follow_ingress())
            tasks.daemon(self._follow_registers())
            tasks.daemon(self._watch_room())
            tasks.daemon(self._sweeper().run())
            writing = tasks.daemon(self._write())
            leaving = asyncio.ensure_future(self._office.leave.wait())
            try:
                await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
                self._wake.set()
                await asyncio.wait({writing}, timeout=BATCH_S)
            finally:
                leaving.cancel()

    # What it knows when it begins.

    async def _restore(self) -> None:
        """Fold the log up to our own term record; nothing of an older term can come after it."""
        self._restored = await restore(self._connection, self._swarm, through=self._leadership.term)
        self._progress = self._restored.progress
        self._distributor = self._distributing()
        self._since = dict.fromkeys(self._progress.open, time.monotonic())
        self._service.history(
            "resume",
            "ok",
            term=self._leadership.term,
            open=len(self._progress.open),
            ingress=self._progress.ingress,
        )

    def _repeat(self, task: RunTask, sequence: int) -> None:
        """Have a task dispatched again, whose last dispatch is stored at a place."""
        self._again[task.task] = msgspec.structs.replace(task, term=self._leadership.term), sequence
        self._wake.set()

    def _distributing(self) -> Distributor:
        spec = spec_as(self._service.spec, HierarchicalSpec)
        return Distributor(
            self._service,
            self._progress,
            self._jobs,
            spec,
            may_act=self._leadership.may_act,
            again=self._repeat,
        )

    def _sweeper(self) -> Sweeper:
        return Sweeper(
            self._service,
            self._progress,
            self._since,
            may_act=self._leadership.may_act,
            ended=lambda record: self._take_register(record.subject, record.data, None),
            again=lambda task, at: self._repeat(msgspec.structs.replace(task, again=task.again + 1), at),
        )

    # What it hears.

    def _resize(self, slots: int) -> None:
        self._window.resize(slots)
        self._wake.set()

    async def _follow_ingress(self) -> None:
        records = bus_log.read(
            self._connection,
            self._swarm.stream("IN"),
            self._swarm.ingress,
            after=self._progress.ingress,
        )
        async with contextlib.aclosing(records):
            async for record in records:
                submitted: RunTask | CloseJob | None = None
                try:
                    submitted = self._submission(record)
                except (DecodeError, InvalidNameError) as error:
                    self._service.complaints("unreadable", f"submission {record.sequence}: {error}")
                await self._submitted.put((submitted, record.sequence))
                self._wake.set()

    def _submission(self, record: Delivery) -> RunTask | CloseJob:
        """What was submitted.

        Raises:
            DecodeError, InvalidNameError: It cannot be read, or cannot be dispatched.
        """
        if len(record.data) > SUBMISSION_BYTES_MAX:
            raise DecodeError(f"{len(record.data):,} bytes pass {SUBMISSION_BYTES_MAX:,}")
        if self._swarm.is_close(record.subject):
            closed = decode(record.data, CloseJob)
            check_name(closed.job, "job")
            return closed
        task = decode(record.data, RunTask)
        self._swarm.dispatch(task.job, task.key, task.task)
        if task.key != last_token(record.subject):
            raise DecodeError(f"task {task.task} was submitted for another key")
        return msgspec.structs.replace(task, again=0, address=msgspec.UNSET)

    async def _follow_registers(self) -> None:
        records = bus_log.read(
            self._connection,
            self._swarm.stream("RES"),
            self._swarm.registers,
            after=self._progress.results,
        )
        async with contextlib.aclosing(records):
            async for record in records:
                self._take_register(record.subject, record.data, record.sequence)

    def _take_register(self, subject: str, data: bytes, sequence: int | None) -> None:
        """A register ends the task that its subject names, if that one is open and of its lane.

        Args:
            sequence: Its place, where it comes in its turn; None for one that was passed before.
        """
        task = last_token(subject)
        at = self._progress.open.get(task)
        if at is not None and lane_of(subject) == lane_for(at.key):
            status, letter, is_hedge = self._read_register(subject, data)
            self._progress.end(task, status)
            self._again.pop(task, None)
            self._distributor.ended(task, at, hedge=is_hedge)
            since = self._since.pop(task, None)
            if since is not None:
                self._window.ended(time.monotonic() - since)
            if status == "dead":
                self._dead[task] = at, letter
            self._wake.set()
        if sequence is not None:
            self._progress.results = max(self._progress.results, sequence)

    def _read_register(self, subject: str, data: bytes) -> tuple[Status, _Letter, bool]:
        try:
            result = decode(data, TaskResult)
        except DecodeError as error:
            self._service.complaints("spoiled", f"register {subject}: {error}")
            return "dead", _Letter("its register cannot be read"), False
        # Cut as an honest agent's are: a letter that is to hold the largest task has no room for more.
        letter = _Letter(printable(result.reason), result.attempt, printable(result.agent, NAME_LENGTH_MAX))
        return result.status, letter, result.hedge is True

    async def _watch_room(self) -> None:
        """Dispatch no more while the log nears its bound; what has ended is trimmed meanwhile."""
        while True:
            with contextlib.suppress(RequestError):
                full = await bus_log.fullness(self._connection, self._jobs) >= FULL
                if full and not self._full:
                    self._service.complaints("nearly_full", f"{self._jobs} is {FULL:.0%} full")
                self._full = full
            await asyncio.sleep(ROOM_S)

    # What it does.

    async def _write(self) -> None:
        """The only writer: gathers what there is to write and has it stored in one batch, until it leaves."""
        writer = JobWriter(self._service, self._office, self._restored)
        snapshot_due = trim_due = time.monotonic()
        unsaved = False
        while not self._office.leave.is_set():
            self._wake.clear()
            letters = await self._letters()
            tasks, repeats, closed = self._gather(BATCH_BYTES_MAX - sum(len(a.task.body) for a in letters))
            finished = self._progress.finished()[:FINISHED_MAX]
            now = time.monotonic()
            unsaved = unsaved or closed
            urgent = bool(unsaved or letters or finished)
            if tasks or urgent or now >= snapshot_due:
                # A snapshot passes every register read so far, so it waits for their dead letters.
                snapshot = (urgent or now >= snapshot_due) and len(letters) == len(self._dead)
                if tasks:
                    await self._service.at("coordinator.gathered")
                saved = await self._service.at.asked(
                    "coordinator.asked",
                    writer.store(tasks, letters, finished, repeats=repeats, snapshot=snapshot),
                )
                if tasks:
                    self._on_their_way(tasks)
                    await self._service.at("coordinator.dispatched")
                for letter in letters:
                    self._dead.pop(letter.task.task, None)
                if saved:
                    snapshot_due = now + SNAPSHOT_S
                    unsaved = False
            # That a job was closed stands in the ingress until a snapshot says so.
            if now >= trim_due and not unsaved:
                await writer.trim()
                await self._service.at("coordinator.trimmed")
                trim_due = now + TRIM_S
            if tasks or self._dead:
                continue
            await look_again(self._wake, TRIM_S)

    def _on_their_way(self, tasks: list[RunTask]) -> None:
        """From now on they are on their way to the queue, however long it took to have them stored."""
        self._distributor.stored()
        for task in tasks:
            if self._since.pop(task.task, None) is not None:
                self._since[task.task] = time.monotonic()

    def _gather(self, bytes_max: int) -> tuple[list[RunTask], dict[str, int], bool]:
        """As many tasks as fit the window and a batch, up to the end of a job.

        Returns:
            The tasks; where the last dispatch is stored of those that are dispatched again; whether a job
            ended.
        """
        tasks: list[RunTask] = []
        repeats: dict[str, int] = {}
        size = 0
        while self._again and len(tasks) < BATCH_MAX and size < bytes_max:
            name, (task, sequence) = self._again.popitem()
            if name in self._progress.open and self._progress.dispatch(task):
                tasks.append(task)
                repeats[name] = sequence
                size += len(task.body)
        room = (
            0
            if self._full or self._pressed.is_behind
            else min(BATCH_MAX, self._window.limit - len(self._progress.open))
        )
        while len(tasks) < room and size < bytes_max and not self._submitted.empty():
            submitted, sequence = self._submitted.get_nowait()
            if isinstance(submitted, CloseJob):
                self._progress.close(submitted.job, sequence)
                return tasks, repeats, True
            if submitted is None or not self._progress.may_open(submitted.job):
                if submitted is not None:
                    self._service.complaints("unreadable", f"job {submitted.job} is one too many")
                self._progress.skip(sequence)
                continue
            task = msgspec.structs.replace(submitted, ingress=sequence, term=self._leadership.term)
            task = self._distributor.address(task)
            if self._progress.dispatch(task):
                self._since[task.task] = time.monotonic()
                tasks.append(task)
                size += len(task.body)
        return tasks, repeats, False

    async def _letters(self) -> list[DeadLetter]:
        """The dead letters of tasks that ended dead, as many as fit a batch; their tasks as dispatched."""
        letters = []
        size = 0
        for name, (at, letter) in list(self._dead.items())[:BATCH_MAX]:
            task = await self._dispatched(name, at)
            letters.append(DeadLetter(task=task, **letter._asdict()))
            size += len(task.body)
            if size >= BATCH_BYTES_MAX / 2:
                break
        return letters

    async def _dispatched(self, task: str, at: Dispatched) -> RunTask:
        subject = self._swarm.dispatch(at.job, at.key, task, at.to)
        record = await patiently(functools.partial(bus_log.last, self._connection, self._jobs, subject))
        return decode(record.data, RunTask) if record else RunTask(task=task, key=at.key, job=at.job)
