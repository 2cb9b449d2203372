"""What a hub gives to spokes by name, where its swarm says who is given what.

    ingress ──► what is open ──► window ──► to whom? ──► the hub's next batch ──sourced──► work queue
                                   ▲           ▲
    spokes ── heartbeats ──────────┴───────────┘
    distributor ──► given once more: to another, or to one more ──► the hub's next batch

Tasks are given out in the order of their submission. Of what waits its input is kept for a part only; the
rest is fetched from the ingress, where a task stays until it is decided.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from squall.bus import log as bus_log
from squall.bus.codec import decode
from squall.bus.errors import DecodeError
from squall.bus.fenced import patiently
from squall.bus.messages import RunTask
from squall.bus.tasks import task_group
from squall.services.node.lead import Office
from squall.services.node.service import Service
from squall.services.patterns.distributing import DistributedSpec
from squall.services.roles.distributor import Distributor
from squall.services.roles.slots import Slots
from squall.services.rules.admission import Window
from squall.services.rules.dispatch import Dispatched
from squall.services.rules.hub import UNREADABLE, Standing, Submitted

WINDOW_MAX = 4000
"""Tasks given out and not decided, at most, if slots do not need more. What waits in the ingress can still go
to whom it suits best; what is given out has to be taken back for that."""

GIFTS_MAX = 250
"""Of one batch, beside as many decisions and letters as it may hold; see `bus.jetstream.BATCH_MAX`."""

KEPT_MAX = 1000
KEPT_BYTES_MAX = 8 * 1024**2
"""Inputs of tasks that wait, which are kept."""

FETCHED_TOGETHER = 32
"""Inputs that are fetched at a time, each of up to half a MiB."""

AGE_S_MAX = 2.0
"""A task that took longer from being given out to its decision is a sign of overload."""


class Gifts(NamedTuple):
    """What is to be given out with the next batch.

    Attributes:
        tasks: Each with to whom.
        repeats: Where the last dispatch is stored of those that were given out before.
    """

    tasks: list[RunTask]
    repeats: dict[str, int]


class Giving:
    """Gives tasks out for one term; where they are not given by name, nothing.

    Args:
        standing: What the hub knows.
        wake: Has the hub look for what there is to give.
        lost: Told of a task that cannot be given to anybody, and why.
    """

    def __init__(
        self,
        service: Service,
        office: Office,
        spec: DistributedSpec,
        standing: Standing,
        wake: Callable[[], None],
        lost: Callable[[str, Submitted, str], None],
    ) -> None:
        self._service = service
        self._term = office.term
        self._standing = standing
        self._given = given = standing.given
        self._wake = wake
        self._lost = lost
        before = standing.open if spec.is_addressed else {}
        self._waiting = {task: at for task, at in before.items() if task not in given.open}
        self._kept: dict[str, bytes] = {}
        self._kept_bytes = 0
        self._again: dict[str, tuple[RunTask, int]] = {}
        self._since_s = dict.fromkeys(given.open, time.monotonic())
        self._window = Window(
            spec.agents * spec.slots,
            limit_max=max(WINDOW_MAX, 2 * spec.agents * spec.slots),
            age_s_max=max(AGE_S_MAX, 2 * spec.ack_wait_s),
        )
        self._distributor = Distributor(
            service,
            given,
            office.seat.stream,
            spec,
            may_act=office.leadership.may_act,
            again=self._repeat,
        )

    async def run(self) -> None:
        """Hear spokes, and give to others what should not stay where it is, until this is cancelled."""
        slots = Slots(self._service, self._term, self._resize, self._distributor.heard, tells=False)
        async with task_group() as tasks:
            tasks.daemon(slots.hear())
            await self._distributor.run()

    @property
    def is_due(self) -> bool:
        """Whether there is something to give out now."""
        return bool(self._again or (self._waiting and self._room() > 0))

    def came(self, task: str, at: Submitted, data: bytes) -> None:
        """An open task was read, which the hub before may have given out."""
        if task in self._given.open or self._standing.open.get(task) != at:
            return
        self._waiting[task] = at
        if len(self._kept) < KEPT_MAX and self._kept_bytes + len(data) <= KEPT_BYTES_MAX:
            self._kept[task] = data
            self._kept_bytes += len(data)
        self._wake()

    def ended(self, task: str, at: Dispatched, *, hedge: bool) -> None:
        """A task that was given out is decided.

        Args:
            hedge: Whether its request came of a second try, by the word of whoever made it.
        """
        self._again.pop(task, None)
        self._distributor.ended(task, at, hedge=hedge)
        since_s = self._since_s.pop(task, None)
        if since_s is not None:
            self._window.ended(time.monotonic() - since_s)

    def stored(self) -> None:
        """What was to be given out is stored."""
        self._distributor.stored()

    async def gather(self, *, bytes_max: int, full: bool) -> Gifts:
        """As many tasks as fit the window and a batch, those that are given out again first.

        Args:
            full: Whether the log has no room for first dispatches.
        """
        gifts = Gifts([], {})
        size = 0
        while self._again and len(gifts.tasks) < GIFTS_MAX and size < bytes_max:
            name, (task, sequence) = self._again.popitem()
            if name in self._given.open and self._given.dispatch(task):
                gifts.tasks.append(task)
                gifts.repeats[name] = sequence
                size += len(task.body)
        while not full and self._waiting and size < bytes_max:
            room = min(FETCHED_TOGETHER, GIFTS_MAX - len(gifts.tasks), self._room())
            if room <= 0:
                break
            chosen = [(task, self._waiting.pop(task)) for task in list(self._waiting)[:room]]
            for task in await self._inputs(chosen):
                addressed = self._distributor.address(task)
                if self._given.dispatch(addressed):
                    self._since_s[task.task] = time.monotonic()
                    gifts.tasks.append(addressed)
                    size += len(task.body)
        return gifts

    def _room(self) -> int:
        return self._window.limit - len(self._given.open)

    def _resize(self, slots: int) -> None:
        self._window.resize(slots)
        self._wake()

    def _repeat(self, task: RunTask, sequence: int) -> None:
        self._again[task.task] = replace(task, term=self._term), sequence
        self._wake()

    async def _inputs(self, chosen: Iterable[tuple[str, Submitted]]) -> list[RunTask]:
        """Tasks as they were submitted, of those that are still open."""
        found = await asyncio.gather(*(self._input(task, at) for task, at in chosen))
        return [task for task in found if task is not None and task.task in self._standing.open]

    async def _input(self, task: str, at: Submitted) -> RunTask | None:
        data = self._kept.pop(task, None)
        if data is not None:
            self._kept_bytes -= len(data)
        else:
            service = self._service
            ask = functools.partial(bus_log.at, service.connection, service.swarm.stream("IN"), at.sequence)
            record = await patiently(ask)
            data = record.data if record is not None else None
        with contextlib.suppress(DecodeError):
            submitted = decode(data, RunTask) if data is not None else None
            if submitted is not None and (submitted.task, submitted.key) == (task, at.key):
                return replace(
                    submitted, job=at.job, ingress=at.sequence, term=self._term, again=0, address=UNSET
                )
        if self._standing.open.get(task) == at:
            self._lost(task, at, UNREADABLE)
        return None
