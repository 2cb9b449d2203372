"""Hub: a fenced leader and its standby, which decides on what the spokes ask for.

    ingress ────read──► which tasks there are ─┬─► given to spokes by name, if the spec says so
    requests ──in order of the log──► gather ──┴─► decide ──► one fenced batch of decisions ──► registers
                                                   ▲   │
                                                   └───┘ positions

    every third of a lease ──► every spoke and the gateway: who leads, and in which term

A decision rests on nothing but the requests before it in the hub's own log, so that whoever replays the log
comes to the same one. What a deposed hub still wants to write the broker refuses; what it still says carries
its term, and is refused by whoever has heard of a newer one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Final

from squall.bus import log as bus_log
from squall.bus.border import NAME_LENGTH_MAX, printable
from squall.bus.codec import SUBMISSION_BYTES_MAX, decode
from squall.bus.errors import DecodeError, RequestError
from squall.bus.fenced import patiently
from squall.bus.messages import DeadLetter, HubState, TaskResult
from squall.bus.pull import Delivery
from squall.bus.subjects import ANY
from squall.bus.tasks import look_again, task_group
from squall.services.node.lead import Office, stand
from squall.services.node.service import Service
from squall.services.patterns.star import StarSpec, owners
from squall.services.roles.announced import announce
from squall.services.roles.hub_giving import Giving
from squall.services.roles.hub_log import (
    ConflictError,
    HubLog,
    decision_of,
    newest_submission,
    restore,
    submission_at,
)
from squall.services.roles.hub_sweeper import Sweeper
from squall.services.roles.pressed import Pressed
from squall.services.rules.exposure import Positions
from squall.services.rules.hub import UNREQUESTED, Request, Standing, Submitted, dead, decision
from squall.services.run.spec import spec_as

log = logging.getLogger("squall")

POINTS: Final = {
    "hub.claimed": "a term is claimed, what went before is not read",
    "hub.resumed": "what went before is read, nothing is decided",
    "hub.gathered": "requests are taken, no decision on them is stored",
    "hub.asked": "the broker was asked to store a batch, and has not answered",
    "hub.decided": "decisions are stored, the ingress is not trimmed",
    "hub.trimmed": "the ingress is trimmed",
}

BATCH_MAX = 100
BATCH_S = 0.005
"""A batch of decisions has so many at most, and is not waited for any longer. More and longer means fewer
batches, each of which costs the broker a write that is safe, and a later answer."""

BATCH_BYTES_MAX = 4 * 1024**2
"""Of the decisions and dead letters of one batch, which the broker keeps in memory until it is whole."""

BUFFER = 2 * BATCH_MAX
"""Requests read ahead of the decisions, each of up to half a MiB."""

FULL = 0.8
"""Share of the log's bound from which it is trimmed, and nothing leaves the ingress until it was."""

CROWDED = 0.5
"""Share of the ingress that may lie behind its oldest open task before each class is trimmed by itself."""

SNAPSHOT_S = 0.5
TRIM_S = 0.2
ROOM_S = 0.5
IGNORED_TOLD_MAX = 1000
"""Requests that are not decided and have a line of the history each; further ones are only counted."""


async def serve(service: Service) -> None:
    """Stand for the leadership until asked to stop."""

    async def lead(office: Office) -> None:
        await Hub(service, office).lead()

    await stand(service, service.swarm.hub_seat, lead)


class Hub:
    """One term of leadership."""

    def __init__(self, service: Service, office: Office) -> None:
        self._service = service
        self._spec = spec_as(service.spec, StarSpec)
        self._connection = service.connection
        self._swarm = service.swarm
        self._office = office
        self._standing = Standing()
        self._owners = owners(self._spec)
        self._requests: asyncio.Queue[Request] = asyncio.Queue(BUFFER)
        self._lost: dict[str, tuple[Submitted, str]] = {}
        self._wake = asyncio.Event()
        self._pressed = Pressed(service)
        self._read = asyncio.Event()
        self._full = False
        self._giving = self._gives()
        service.vitals = lambda: {"in_flight": len(self._standing.open)}

    async def lead(self) -> None:
        """Lead until asked to leave.

        Raises:
            DeposedError: A newer term exists.
        """
        service, office = self._service, self._office
        await service.at("hub.claimed")
        self._standing, snapshot = await restore(
            self._connection,
            self._swarm,
            office.seat,
            through=office.term,
            addressed=self._spec.is_addressed,
        )
        standing = self._standing
        self._giving = self._gives()
        service.history(
            "resume",
            "ok",
            term=office.term,
            open=len(standing.open),
            ingress=standing.ingress,
            requests=standing.requests,
            decided=standing.decided,
        )
        await service.at("hub.resumed")
        office.caught_up()
        writer = HubLog(service, office, standing, snapshot, tuple(self._owners))
        async with task_group() as tasks:
            tasks.daemon(self._pressed.listen())
            tasks.daemon(announce(service, office.term, self._spec.lease_s))
            tasks.daemon(self._follow_ingress())
            tasks.daemon(self._follow_requests())
            tasks.daemon(self._watch_room(writer))
            if self._spec.is_addressed:
                tasks.daemon(self._giving.run())
            tasks.daemon(Sweeper(service, standing, self._owners, office.term, self._unrequested).run())
            tasks.daemon(self._wake_to_leave())
            try:
                await self._write(writer)
            except ConflictError as error:
                # Not deposed, but wrong: whoever leads next reads all of it anew.
                service.complaints("conflicts", str(error))

    async def _wake_to_leave(self) -> None:
        await self._office.leave.wait()
        self._wake.set()

    def _gives(self) -> Giving:
        return Giving(self._service, self._office, self._spec, self._standing, self._wake.set, self._give_up)

    # What it hears.

    async def _follow_ingress(self) -> None:
        records = bus_log.read(
            self._connection,
            self._swarm.stream("IN"),
            self._swarm.submissions_in(ANY),
            after=self._standing.ingress,
        )
        async with contextlib.aclosing(records):
            async for record in records:
                await self._take_submission(record)
                self._read.set()

    async def _take_submission(self, record: Delivery) -> None:
        task, at = submission_at(record.subject, record.sequence)
        if at.job not in self._owners or len(record.data) > SUBMISSION_BYTES_MAX:
            self._service.complaints("unreadable", f"submission {at.sequence}: of the class {at.job}")
            self._standing.skip(at.sequence)
        elif self._standing.trimmed and await self._is_decided(task):
            self._standing.skip(at.sequence)  # its request may be gone, and be made again
        else:
            self._standing.submitted(task, at)
            if self._spec.is_addressed:
                self._giving.came(task, at, record.data)

    async def _is_decided(self, task: str) -> bool:
        return await patiently(lambda: decision_of(self._connection, self._swarm, task)) is not None

    async def _follow_requests(self) -> None:
        records = bus_log.read(
            self._connection,
            self._office.seat.stream,
            self._swarm.request(ANY, ANY),
            after=self._standing.requests,
        )
        async with contextlib.aclosing(records):
            async for record in records:
                agent, task = record.subject.split(".")[-2:]
                result: TaskResult | str
                try:
                    result = decode(record.data, TaskResult)
                except DecodeError as error:
                    self._service.complaints("unreadable", f"request {record.sequence} of {agent}: {error}")
                    result = printable(str(error))
                await self._requests.put(Request(record.sequence, agent, task, result))
                self._wake.set()

    def _unrequested(self, task: str, at: Submitted) -> None:
        self._give_up(task, at, UNREQUESTED)

    def _give_up(self, task: str, at: Submitted, reason: str) -> None:
        self._lost[task] = at, reason
        self._wake.set()

    async def _watch_room(self, writer: HubLog) -> None:
        """Notice that the log nears its bound, and trim what it was copied from when that does.

        Not while the log is nearly full: what waits to be copied there would take the rest of it.

        And notice what the hub before trimmed from the end of the ingress, which this one will never read.
        """
        requests = self._swarm.stream("REQ")
        while True:
            with contextlib.suppress(RequestError):
                full = await bus_log.fullness(self._connection, self._office.seat.stream) >= FULL
                if full and not self._full:
                    self._service.complaints("nearly_full", f"the hub's log is {FULL:.0%} full")
                self._full = full
                if not full and await bus_log.fullness(self._connection, requests) >= FULL:
                    await writer.trim_requests()
                await writer.skip_trimmed()
            await asyncio.sleep(ROOM_S)

    # What it does.

    async def _write(self, writer: HubLog) -> None:
        """The only writer: takes requests in their order, decides them, and has the decisions stored."""
        standing = self._standing
        snapshot_due = trim_due = time.monotonic() + TRIM_S
        saved: HubState | None = None  # so that one is stored of what was read
        since_snapshot = 0
        while not self._office.leave.is_set():
            self._wake.clear()
            batch = await self._gather()
            if batch:
                await self._until_read(batch)
                await self._service.at("hub.gathered")
            decisions, letters = await self._decide(writer, batch)
            gifts, repeats = await self._giving.gather(bytes_max=BATCH_BYTES_MAX, full=self._full)
            now = time.monotonic()
            since_snapshot += len(decisions)
            due = since_snapshot >= self._spec.snapshot_every or now >= snapshot_due
            due = due and standing.is_caught_up
            # What is stored is how things stand now: while it is, further submissions are read.
            state = standing.snapshot("") if due else saved
            snapshot = state != saved
            if decisions or gifts or snapshot:
                storing = writer.store(decisions, letters, gifts, repeats=repeats, snapshot=snapshot)
                await self._service.at.asked("hub.asked", storing)
            if gifts:
                self._giving.stored()
            if decisions:
                await self._service.at("hub.decided")
            if snapshot:
                saved = state
                since_snapshot = 0
            if now >= snapshot_due:
                snapshot_due = now + SNAPSHOT_S
            if now >= trim_due:
                if self._full:
                    await writer.make_room()
                elif not self._pressed.is_behind:
                    behind = standing.ingress - standing.kept_from()
                    await writer.trim_ingress(crowded=behind > CROWDED * self._spec.ingress_max)
                    await self._service.at("hub.trimmed")
                trim_due = now + TRIM_S

    async def _gather(self) -> list[Request]:
        """Requests of one batch, in their order; none if none came for a while, or there is else to do."""
        is_due = bool(self._lost) or self._giving.is_due
        if self._requests.empty() and not is_due and not self._office.leave.is_set():
            await look_again(self._wake, TRIM_S)
        batch: list[Request] = []
        size = 0
        deadline = asyncio.get_running_loop().time() + BATCH_S
        while len(batch) < BATCH_MAX and size < BATCH_BYTES_MAX:
            if self._requests.empty():
                if not batch:
                    break
                try:
                    async with asyncio.timeout_at(deadline):
                        request = await self._requests.get()
                except TimeoutError:
                    break
            else:
                request = self._requests.get_nowait()
            batch.append(request)
            size += _size(request)
        return batch

    async def _until_read(self, batch: list[Request]) -> None:
        """Wait until the submissions of all requests are read that there can be.

        A spoke has its tasks from the ingress, so a task that is not known once all of that is read was never
        submitted, or is decided.
        """
        if all(request.task in self._standing.open for request in batch):
            return
        while True:
            # Asked again each time: a hub that is deposed and does not know it may remove what is waited for.
            self._read.clear()
            if self._standing.ingress >= await newest_submission(self._connection, self._swarm):
                return
            await look_again(self._read, TRIM_S)

    async def _decide(
        self, writer: HubLog, batch: list[Request]
    ) -> tuple[list[TaskResult], list[DeadLetter]]:
        """Decide requests one after the other, and tasks that no request will come for."""
        standing = self._standing
        decisions: list[TaskResult] = []
        letters: list[DeadLetter] = []

        async def decided(at: Submitted, made: TaskResult) -> None:
            decisions.append(made)
            if made.status == "dead":
                task = await writer.task_of(made.task, at)
                letters.append(
                    DeadLetter(task=task, reason=made.reason, attempt=made.attempt, agent=made.agent)
                )

        for request in batch:
            at = standing.asked(request, self._owners, self._office.term)
            if isinstance(at, str):
                self._ignore(request, at)
                continue
            made, positions = decision(
                request, at, standing.positions, term=self._office.term, bound=self._spec.exposure_max
            )
            self._settle(made, positions)
            await decided(at, made)
        size = sum(map(_size, batch))
        while self._lost and len(decisions) < BATCH_MAX and size < BATCH_BYTES_MAX:
            task, (at, reason) = self._lost.popitem()
            size += SUBMISSION_BYTES_MAX
            if task in standing.open:
                self._service.complaints("buried", f"task {task}: {reason}")
                self._service.history("bury", "ok", task=task, reason=reason)
                made = dead(task, at, reason, None, term=self._office.term)
                self._settle(made, standing.positions)
                await decided(at, made)
        return decisions, letters

    def _settle(self, made: TaskResult, positions: Positions) -> None:
        given = self._standing.given.open.get(made.task)
        self._standing.decide(made, positions)
        if given is not None:
            self._giving.ended(made.task, given, hedge=made.hedge is True)

    def _ignore(self, request: Request, why: str) -> None:
        self._standing.passed(request.sequence)
        agent, task = printable(request.agent, NAME_LENGTH_MAX), printable(request.task, NAME_LENGTH_MAX)
        self._service.complaints(
            "requests_ignored", f"request {request.sequence} of {agent} for {task}: {why}"
        )
        if self._service.counters["requests_ignored"] <= IGNORED_TOLD_MAX:
            self._service.history("ignore", "fail", what=why, agent=agent, task=task, seq=request.sequence)


def _size(request: Request) -> int:
    """How many bytes are stored on a request, at most: its decision, or a letter with its task's input."""
    asked = request.result
    if isinstance(asked, TaskResult) and asked.status == "ok":
        return sum(map(len, asked.effects)) + len(asked.value)
    return SUBMISSION_BYTES_MAX
