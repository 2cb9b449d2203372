"""Coordinator: a fenced leader and its warm standby.

    ingress ──read──► window ──► one writer ──fenced batch──► JOB ──sourced──► work queue
                        ▲            ▲
    registers ──read────┴─ open ─────┴─ dead letters, jobs done, snapshots

The leader alone writes its stream, through one writer, in batches that the broker
refuses as a whole once a newer term exists. What it knows is a fold over that
stream and the registers, so a successor starts where the last stored batch ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time

import msgspec
from nats.aio.msg import Msg

from squall.bus import log as bus_log
from squall.bus.codec import decode, encode
from squall.bus.errors import DecodeError, RequestError
from squall.bus.messages import (
    AnnounceLeader,
    CloseJob,
    CoordinatorState,
    Heartbeat,
    LeaderAccepted,
    RunTask,
    TaskResult,
)
from squall.bus.tasks import task_group
from squall.bus.term import Event, Leadership, Seat, campaign
from squall.services.job_writer import JobWriter
from squall.services.rules.admission import Window
from squall.services.rules.dispatch import Progress
from squall.services.service import Service

log = logging.getLogger("squall")

BATCH_MAX = 250
SNAPSHOT_S = 1.0
TRIM_S = 0.2
AGENT_SILENT_S = 5.0
"""An agent not heard of for this long has no slots."""

AGE_S_MAX = 2.0
"""A task that took longer from dispatch to register is a sign of overload."""

BUFFER = 1000
"""Submissions read ahead of the window."""


async def serve(service: Service) -> None:
    """Stand for the leadership until asked to stop."""
    seat = Seat(service.swarm.stream("JOB"), service.swarm.term, service.swarm.lease)

    def observe(event: Event, term: int, code: int) -> None:
        if event == "fenced":
            service.counters["fenced_writes"] += 1
            service.history("fenced", "fail", term=term, code=code)
        else:
            service.history(event, "ok", term=term)
        log.info("%s term=%d code=%d", event, term, code)

    async def lead(leadership: Leadership) -> None:
        await Coordinator(service, leadership).lead()

    service.ready()
    await campaign(
        service.connection,
        seat,
        service.node,
        lease_s=service.spec.lease_s,
        lead=lead,
        observer=observe,
        stop=service.stop,
    )


class Coordinator:
    """One term of leadership."""

    def __init__(self, service: Service, leadership: Leadership) -> None:
        self._service = service
        self._connection = service.connection
        self._swarm = service.swarm
        self._leadership = leadership
        self._jobs = service.swarm.stream("JOB")
        self._progress = Progress()
        self._state_sequence = 0
        self._submitted: asyncio.Queue[tuple[RunTask | CloseJob, int]] = asyncio.Queue(BUFFER)
        self._since: dict[str, float] = {}
        self._dead: dict[str, TaskResult] = {}
        self._slots: dict[str, tuple[int, float]] = {}
        self._window = Window(
            service.spec.agents * service.spec.slots,
            limit_max=service.spec.window_max,
            age_s_max=max(AGE_S_MAX, 2 * service.spec.ack_wait_s),
        )
        self._wake = asyncio.Event()
        service.vitals = lambda: {"in_flight": len(self._progress.open), "slots": self._window.limit}

    async def lead(self) -> None:
        """Lead until asked to stop.

        Raises:
            DeposedError: A newer term exists.
        """
        self._service.at("coordinator.claimed")
        await self._restore()
        self._service.at("coordinator.resumed")
        async with task_group() as tasks:
            stops = [
                await self._connection.subscribe(self._swarm.heartbeats, self._on_heartbeat),
                await self._connection.subscribe(self._swarm.reply("*", "*"), self._on_reply),
            ]
            tasks.daemon(self._announce())
            tasks.daemon(self._follow_ingress())
            tasks.daemon(self._follow_registers())
            writing = tasks.daemon(self._write())
            stopping = asyncio.ensure_future(self._service.stop.wait())
            try:
                await asyncio.wait({writing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                for stop in stops:
                    await stop()

    # What it knows when it begins.

    async def _restore(self) -> None:
        """Fold the log up to our own term record; nothing of an older term can come after it."""
        while True:
            try:
                stored = await bus_log.last(self._connection, self._jobs, self._swarm.state)
                break
            except RequestError:
                await asyncio.sleep(0.1)
        if stored is not None:
            self._progress = Progress(decode(stored.data, CoordinatorState))
            self._state_sequence = stored.sequence
        records = bus_log.read(
            self._connection,
            self._jobs,
            self._swarm.dispatches,
            after=self._state_sequence,
            until=self._leadership.term,
        )
        async with contextlib.aclosing(records):
            async for record in records:
                task = decode(record.data, RunTask)
                self._progress.dispatch(task, record.sequence)
        now = time.monotonic()
        self._since = dict.fromkeys(self._progress.open, now)
        self._service.history(
            "resume",
            "ok",
            term=self._leadership.term,
            open=len(self._progress.open),
            ingress=self._progress.ingress,
        )

    # What it hears.

    def _on_heartbeat(self, message: Msg) -> None:
        try:
            heartbeat = decode(message.data, Heartbeat)
        except DecodeError as error:
            log.warning("heartbeat ignored: %s", error)
            return
        # The subject is what the sender's credentials allow; what the body says of itself is not.
        role, node = message.subject.split(".")[-2:]
        if role == "agent":
            self._note_slots(node, heartbeat.slots)

    def _on_reply(self, message: Msg) -> None:
        try:
            answer = decode(message.data, LeaderAccepted)
        except DecodeError as error:
            log.warning("answer ignored: %s", error)
            return
        self._note_slots(message.subject.split(".")[-2], answer.slots)

    def _note_slots(self, node: str, slots: int) -> None:
        now = time.monotonic()
        self._slots[node] = (slots, now)
        self._window.resize(sum(slots for slots, seen in self._slots.values() if now - seen < AGENT_SILENT_S))
        self._wake.set()

    async def _announce(self) -> None:
        """Tell every agent who leads; its answer tells its slots without waiting for a heartbeat."""
        command = AnnounceLeader(
            holder=self._service.node, term=self._leadership.term, token=secrets.token_hex(8)
        )
        for number in range(1, self._service.spec.agents + 1):
            with contextlib.suppress(RequestError):
                await self._connection.publish(
                    self._swarm.command(f"agent-{number}", "lead"), encode(command), confirm=False
                )

    async def _follow_ingress(self) -> None:
        records = bus_log.read(
            self._connection,
            self._swarm.stream("IN"),
            self._swarm.ingress,
            after=self._progress.ingress,
        )
        async with contextlib.aclosing(records):
            async for record in records:
                submitted: RunTask | CloseJob
                try:
                    if self._swarm.is_close(record.subject):
                        submitted = decode(record.data, CloseJob)
                    else:
                        submitted = decode(record.data, RunTask)
                except DecodeError as error:
                    log.warning("submission %d ignored: %s", record.sequence, error)
                    self._service.counters["unreadable"] += 1
                    continue
                await self._submitted.put((submitted, record.sequence))
                self._wake.set()

    async def _follow_registers(self) -> None:
        records = bus_log.read(
            self._connection,
            self._swarm.stream("RES"),
            self._swarm.registers,
            after=self._progress.results,
        )
        async with contextlib.aclosing(records):
            async for record in records:
                try:
                    result = decode(record.data, TaskResult)
                except DecodeError as error:
                    log.warning("register %s ignored: %s", record.subject, error)
                    continue
                if self._progress.result(result, record.sequence):
                    since = self._since.pop(result.task, None)
                    if since is not None:
                        self._window.ended(time.monotonic() - since)
                if result.status == "dead":
                    self._dead[result.task] = result
                self._wake.set()

    # What it does.

    async def _write(self) -> None:
        """The only writer: gathers what there is to write and has it stored in one batch."""
        writer = JobWriter(self._service, self._leadership, self._progress, self._state_sequence)
        snapshot_due = trim_due = time.monotonic()
        unsaved = False
        while True:
            self._wake.clear()
            tasks, closed = self._gather()
            finished = self._progress.finished()
            dead = list(self._dead.values())[:BATCH_MAX]
            now = time.monotonic()
            unsaved = unsaved or closed
            urgent = bool(unsaved or dead or finished)
            if tasks or urgent or now >= snapshot_due:
                # A snapshot passes every register read so far, so it waits for their dead letters.
                snapshot = (urgent or now >= snapshot_due) and len(dead) == len(self._dead)
                if tasks:
                    self._service.at("coordinator.gathered")
                await writer.store(tasks, dead, finished, snapshot=snapshot)
                if tasks:
                    self._service.at("coordinator.dispatched")
                for result in dead:
                    self._dead.pop(result.task, None)
                if snapshot:
                    snapshot_due = now + SNAPSHOT_S
                    unsaved = False
            # That a job was closed stands in the ingress until a snapshot says so.
            if now >= trim_due and not unsaved:
                await writer.trim()
                self._service.at("coordinator.trimmed")
                trim_due = now + TRIM_S
            if tasks or self._dead:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TRIM_S):
                    await self._wake.wait()

    def _gather(self) -> tuple[list[RunTask], bool]:
        """As many submissions as fit the window, up to the end of a job; whether one ended."""
        tasks: list[RunTask] = []
        room = min(BATCH_MAX, self._window.limit - len(self._progress.open))
        while len(tasks) < room and not self._submitted.empty():
            submitted, sequence = self._submitted.get_nowait()
            if isinstance(submitted, CloseJob):
                self._progress.close(submitted.job, sequence)
                return tasks, True
            task = msgspec.structs.replace(submitted, ingress=sequence, term=self._leadership.term)
            if self._progress.dispatch(task):
                self._since[task.task] = time.monotonic()
                tasks.append(task)
        return tasks, False
