"""What a hub reads before it acts, what it writes, and what it removes.

    snapshot ─► decisions after it, up to our own term ─► submissions of tasks that are open ─► Standing
    decisions, dead letters, what is given out, and now and then a snapshot ─► one fenced batch

Of the log nothing is removed until it nears its bound: the requests and decisions of a run are what an oracle
replays. The ingress is trimmed all the time, and what stands in it is what holds producers back.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import secrets
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from squall.bus import log as bus_log
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection
from squall.bus.errors import DecodeError, RejectedError, RequestError
from squall.bus.fenced import CopiedTrim, FencedWriter, Stored, Taken, newest_snapshot, patiently, replay
from squall.bus.jetstream import Entry
from squall.bus.messages import DeadLetter, HubState, RunTask, TaskResult
from squall.bus.subjects import ANY, Seat, Subjects, lane_for, last_token
from squall.services.node.lead import Office
from squall.services.node.service import Service
from squall.services.roles.restore import restore_given
from squall.services.rules.dispatch import open_sequences
from squall.services.rules.hub import Standing, Submitted, open_places

log = logging.getLogger("squall")


class _Covered(NamedTuple):
    """What the newest snapshot of this term covers.

    Attributes:
        lease, snapshot: The places of the lease stored with it, and of itself.
        requests: All requests up to this place.
        decision: The place and the task of the newest decision; None if this term stored none before.
        gifts: From here on there are dispatches that it needs.
    """

    lease: int
    snapshot: int
    requests: int
    decision: tuple[int, str] | None
    gifts: int


class ConflictError(Exception):
    """The log holds what the fold of it does not know; it has to be read anew."""


def submission_at(subject: str, sequence: int) -> tuple[str, Submitted]:
    """The task that was submitted under a subject of the ingress, and what is known of it."""
    kind, key, task = subject.split(".")[-3:]
    return task, Submitted(sequence, kind, key)


async def restore(
    connection: Connection, swarm: Subjects, seat: Seat, *, through: int, addressed: bool = False
) -> tuple[Standing, int]:
    """Fold the hub's log, however long the broker takes to answer.

    Args:
        through: Where to end: at the record of our own term. Nothing of an older term can come after it.
        addressed: Whether tasks are given to spokes by name.

    Returns:
        What is known, and where the newest snapshot is stored; 0 if there is none.
    """
    stored = await newest_snapshot(connection, seat)
    state = decode(stored.data, HubState) if stored is not None else HubState(write="")
    sequence = stored.sequence if stored is not None else 0
    standing = Standing(state, addressed=addressed)
    if addressed:
        await restore_given(
            connection,
            standing.given,
            seat.stream,
            swarm.gifts,
            places=open_sequences(state.given),
            fresh=state.fresh,
            after=sequence,
            through=through,
        )
    decided = replay(connection, seat.stream, swarm.decision(ANY), after=sequence, through=through)
    async with contextlib.aclosing(decided) as records:
        async for record in records:
            standing.resume(decode(record.data, TaskResult))
    ingress = await patiently(functools.partial(bus_log.state, connection, swarm.stream("IN")))
    standing.read_again(await newest_submission(connection, swarm))
    standing.skip(ingress["first_seq"] - 1)  # what was trimmed was decided, perhaps after the snapshot
    places = open_places(state)
    waiting = replay(
        connection,
        swarm.stream("IN"),
        swarm.submissions_in(ANY),
        places=sorted(places),
        after=state.ingress,
        through=state.ingress,
    )
    async with contextlib.aclosing(waiting) as records:
        async for record in records:
            if record.sequence in places:
                standing.submitted(*submission_at(record.subject, record.sequence))
    return standing, sequence


class HubLog:
    """Writes for one term.

    Args:
        standing: What the hub knows; what is given to `store` counts as decided in it already.
        snapshot_sequence: Where the newest snapshot is stored.
        classes: All classes of tasks.
    """

    def __init__(
        self,
        service: Service,
        office: Office,
        standing: Standing,
        snapshot_sequence: int,
        classes: Sequence[str],
    ) -> None:
        self._service = service
        self._connection = service.connection
        self._swarm = service.swarm
        self._seat = office.seat
        self._term = office.term
        self._standing = standing
        self._classes = classes
        self._writer = FencedWriter(
            service.connection,
            office.seat,
            office.leadership,
            snapshot_sequence=snapshot_sequence,
            refused=self._refused,
        )
        self._letters = CopiedTrim(
            service.connection,
            office.seat,
            self._writer,
            service.swarm.hub_dead(ANY),
            copies=service.swarm.stream("DLQ"),
            copy_of=lambda record: service.swarm.dead_letter("hub", last_token(record.subject)),
        )
        self._request: bus_log.Record | None = None  # the newest of the spokes' at the last look
        self._newest: tuple[int, str] | None = None  # of the decisions: its place and its task
        self._covered: _Covered | None = None

    async def store(
        self,
        decisions: Sequence[TaskResult],
        letters: Sequence[DeadLetter] = (),
        gifts: Sequence[RunTask] = (),
        *,
        repeats: Mapping[str, int] = MappingProxyType({}),
        snapshot: bool,
    ) -> None:
        """Store decisions, the dead letters of those that are dead, gifts and a snapshot in one batch.

        Args:
            gifts: Tasks that are given to spokes; they count as dispatched already in what the hub knows.
            repeats: Where the last dispatch is stored of those of them that were given out before.

        Raises:
            DeposedError: A newer term exists.
            ConflictError: A task was decided before.
        """
        while True:
            entries = [Entry(self._swarm.decision(made.task), encode(made), 0) for made in decisions]
            entries += [Entry(self._swarm.hub_dead(each.task.task), encode(each), 0) for each in letters]
            entries += [self._gift(task, repeats.get(task.task, 0)) for task in gifts]
            if not entries and not snapshot:
                return
            state = self._standing.snapshot(secrets.token_hex(8)) if snapshot else None
            stored = await self._writer.store(entries, encode(state) if state is not None else None)
            if isinstance(stored, Stored):
                break
            gifts = await self._without(gifts, stored)
        self._letters.wrote()
        if decisions:
            self._newest = stored.first + len(decisions) - 1, decisions[-1].task
            self._tell(decisions, stored)
        first = stored.first + len(decisions) + len(letters)
        for place, task in enumerate(gifts):
            self._standing.given.stored(task.task, first + place)
        if gifts:
            count, again = len(gifts), sum(task.task in repeats for task in gifts)
            self._service.history("dispatch", "ok", term=self._term, tasks=count, first=first, again=again)
        if state is not None:
            lease = stored.first - 1  # each batch begins with one
            needed = min([stored.first, *state.given[:1]])
            self._covered = _Covered(lease, stored.last, state.requests, self._newest, needed)

    def _gift(self, task: RunTask, expected: int) -> Entry:
        at = functools.partial(self._swarm.gift, task.job, task.key, task.task)
        # To whomever it was given before: a task has one chain of dispatches.
        return Entry(at(task.addressed.to), encode(task), expected, among=at(ANY))

    async def _without(self, gifts: Sequence[RunTask], taken: Taken) -> list[RunTask]:
        """Of what could not be stored, the gifts that are left: some were given out and decided long ago.

        Such a task was submitted once more, as its producer had not heard that it was accepted.

        Raises:
            ConflictError: That is not why.
        """
        before = [task for task in gifts if self._gift(task, 0).subject in taken.records]
        is_why = len(before) == len(taken.records)
        for task in before:
            ask = functools.partial(decision_of, self._connection, self._swarm, task.task)
            is_why = is_why and not task.addressed.moved and await patiently(ask) is not None
        if not is_why:
            raise ConflictError(f"decided before: {', '.join(map(last_token, taken.records))}")
        for task in before:
            self._standing.given.undo(task)
            self._standing.close(task.task)
        return [task for task in gifts if task not in before]

    def _tell(self, decisions: Sequence[TaskResult], stored: Stored) -> None:
        counters = self._service.counters
        counters["decided"] += len(decisions)
        counters["denied"] += sum(bool(made.denied) for made in decisions)
        self._service.history(
            "decide",
            "ok",
            term=self._term,
            decisions=len(decisions),
            first=stored.first,
            last=stored.first + len(decisions) - 1,
        )

    async def task_of(self, task: str, at: Submitted) -> RunTask:
        """A task as it was submitted; it stays in the ingress until it is decided."""
        known = RunTask(task=task, key=at.key, job=at.job)
        if not at.sequence:
            return known
        ask = functools.partial(bus_log.at, self._connection, self._swarm.stream("IN"), at.sequence)
        record = await patiently(ask)
        with contextlib.suppress(DecodeError):
            return decode(record.data, RunTask) if record is not None else known
        return known

    async def trim_ingress(self, *, crowded: bool) -> None:
        """Free the ingress up to the oldest task that is open.

        Args:
            crowded: Whether one class may be holding up the others: then of each class up to its own.
        """
        ingress = self._swarm.stream("IN")
        await self._writer.trim(below=self._standing.kept_from(), stream=ingress)
        if crowded:
            for kind, below in self._standing.kept_from_by_class(self._classes):
                subject = self._swarm.submissions_in(kind)
                await self._writer.trim(below=below, stream=ingress, subject=subject)

    async def make_room(self) -> None:
        """Remove from the log what a stored snapshot covers and the broker has copied.

        Raises:
            DeposedError: A newer term exists.
        """
        self._standing.trimmed = self._standing.requests + 1  # for whoever reads the log, before it is so
        await self.store([], snapshot=True)
        await self._trim()

    async def skip_trimmed(self) -> None:
        """Know of all submissions before the first that is left: they were decided, or held no task.

        Raises:
            RequestError: The broker does not answer.
        """
        ingress = await bus_log.state(self._connection, self._swarm.stream("IN"))
        self._standing.skip(ingress["first_seq"] - 1)

    async def trim_requests(self) -> None:
        """Remove what spokes wrote, as far as the log has a copy.

        The broker copies in order, so what comes before one that is copied is, too.
        """
        requests, subject = self._swarm.stream("REQ"), self._swarm.request(ANY, ANY)
        with contextlib.suppress(RequestError):
            known = self._request
            if known is not None and await bus_log.last(self._connection, self._seat.stream, known.subject):
                await self._writer.trim(below=known.sequence + 1, stream=requests)
            self._request = await bus_log.last(self._connection, requests, subject)

    async def _refused(self, error: RejectedError) -> None:
        log.error("the hub's stream refuses a batch: %s", error)
        if self._covered is not None:
            self._standing.trimmed = max(self._standing.trimmed, self._covered.requests + 1)
        await self._trim()

    async def _trim(self) -> None:
        """Leave the newest lease and snapshot, requests that are not decided, and what was not copied."""
        await self._letters.trim()
        covered = self._covered
        if covered is None:
            return
        trim, swarm = self._writer.trim, self._swarm
        await trim(below=covered.lease, subject=self._seat.lease)
        await trim(below=covered.snapshot, subject=self._seat.snapshot)
        await trim(below=covered.requests + 1, subject=swarm.request(ANY, ANY))
        await trim(below=covered.gifts, subject=swarm.gifts)
        if covered.decision is not None:
            sequence, task = covered.decision
            with contextlib.suppress(RequestError):
                if await _register_of(self._connection, swarm, task) is not None:
                    await trim(below=sequence + 1, subject=swarm.decision(ANY))


async def newest_submission(connection: Connection, swarm: Subjects) -> int:
    """The place of the newest submission in the ingress, however long the broker takes; 0 if it is empty."""
    stream, subject = swarm.stream("IN"), swarm.submissions_in(ANY)
    newest = await patiently(functools.partial(bus_log.last, connection, stream, subject))
    return newest.sequence if newest is not None else 0


async def decision_of(connection: Connection, swarm: Subjects, task: str) -> bus_log.Record | None:
    """The decision on a task, or else the register that the broker copied it to; None if it has neither.

    Raises:
        RequestError: The broker does not answer.
    """
    decision = await bus_log.last(connection, swarm.hub_seat.stream, swarm.decision(task))
    return decision or await _register_of(connection, swarm, task)


async def _register_of(connection: Connection, swarm: Subjects, task: str) -> bus_log.Record | None:
    return await bus_log.last(connection, swarm.stream("RES"), swarm.register(lane_for(task), task))
