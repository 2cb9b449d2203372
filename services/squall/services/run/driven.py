"""A driven run: a swarm, its workload, and whatever is done to it, as one block.

    async with driven(spec, directory, progress=tell) as run:
        await run.steady()
        ...                            # whatever it is to survive
        await run.finish(bound_s)      # the load ends, the swarm drains, the broker is read

What is found goes into the run's directory as it is found. The verdict comes from the
directory alone, so that anybody can come to it again; see `result.judge`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from squall.bus.errors import RequestError
from squall.bus.tasks import task_group
from squall.services import jsonl
from squall.services.errors import HandlerError, NothingOfferedError, SteadyStateError
from squall.services.node.history import History
from squall.services.node.service import Origin
from squall.services.patterns import reading
from squall.services.patterns.pattern import Backlog
from squall.services.rules.blocking import ADVICE
from squall.services.run import hints
from squall.services.run.directory import RunDirectory
from squall.services.run.handled import Handled, handled_in
from squall.services.run.nodes import Route, straight
from squall.services.run.progress import Counted, Done, Leads, Left, Phase, Progress, Waiting
from squall.services.run.running import running
from squall.services.run.spec import Spec, is_own
from squall.services.run.swarm import PRODUCER_STOP_S, Swarm

LOOK_S = 0.25
DRAIN_LOOK_S = 0.05

LEFT_ACK_WAITS = 3
LEFT_S = 10.0
"""After everything has ended: how many ack waits what was lost on its way may take to come again, and how
long a handler may take with it once more."""

STEADY_S = 3.0
"""How long the swarm must keep up before anything is done to it."""

STEADY_SHARE = 0.8
"""Of the tasks offered in that time, how many must have ended."""

STEADY_PATIENCE_S = 30.0

BROKER_S = 60.0
"""How long a broker that nobody strikes any more may take to answer."""

DURABILITY = "dev"
"""How much of what was accepted outlives a power loss; in words among a run's limits."""

FAILING_ROUNDS = 2
"""After how many looks at whether it keeps up a handler is to blame by attempts that failed, though its tasks
have more of them; before, by tasks that came to nothing."""


@dataclass(frozen=True)
class _Finished:
    """How a run ended, as its last line in the history says it."""

    registers: int
    drained: bool
    drained_s: float
    bound_s: float
    took_s: float


class Run:
    """A swarm under load. Made by `driven`.

    Attributes:
        swarm: The swarm.
        directory: Where all that is found goes.
        history: The command's.
    """

    def __init__(self, swarm: Swarm, directory: RunDirectory, history: History, progress: Progress) -> None:
        self.swarm = swarm
        self.directory = directory
        self.history = history
        self._progress = progress
        self._finished: _Finished | None = None
        self._showing: asyncio.Task[None] | None = None
        self._submitted: tuple[int, int] | None = None

    async def begin(self, tools: Mapping[str, str], interrupt: asyncio.Event | None = None) -> None:
        """Note what this run is, and let the load begin.

        Args:
            tools: Versions of what works against the swarm, for the report.
            interrupt: Set if the user wants an end already, while the swarm was being started.

        Raises:
            NothingOfferedError: The user does.
        """
        self.history(
            "note",
            "ok",
            limits=_limits(self.swarm),
            environment=_environment(self.swarm, tools),
            durability=DURABILITY,
            handler=self.swarm.spec.handler,  # whose mistakes the agents of this run tell
        )
        if interrupt is not None and interrupt.is_set():
            self.history("interrupted", "ok")
            raise NothingOfferedError("interrupted while it was being started; nothing was offered")
        await self.swarm.start_producer()

    async def steady(self, for_s: float = STEADY_S) -> float:
        """Wait until the swarm has kept up with what it is offered for so long; over how many seconds it did.

        Raises:
            HandlerError: It keeps up, or does not, with what comes to nothing by its handler's doing.
            SteadyStateError: It does not, or its load was over before it was seen to.
        """
        rate = self.swarm.spec.rate_per_s
        self._progress(Phase(stage="steady state", at_most_s=STEADY_PATIENCE_S))
        deadline = time.monotonic() + STEADY_PATIENCE_S
        gained, rounds, handled = 0, 0, Handled()
        while time.monotonic() < deadline:
            before = await self.swarm.ended()
            await asyncio.sleep(for_s)
            gained, rounds = await self.swarm.ended() - before, rounds + 1
            handled = handled_in(self.directory.history)
            self._blame_handler(handled, at_last=rounds >= FAILING_ROUNDS)
            if gained >= STEADY_SHARE * for_s * rate:
                return for_s
            if rounds >= FAILING_ROUNDS:
                self._blame_slowness(handled, at_last=False)
            if self.swarm.producer.done():
                raise SteadyStateError(
                    f"all {self.swarm.spec.tasks:,} tasks had been offered before the swarm was seen to keep "
                    f"up with {rate:g} a second: {gained} ended in {for_s:g} s",
                    "raise tasks, or leave it out; or lower the rate",
                )
        self._blame_slowness(handled, at_last=gained == 0)
        unending = handled.unending(self.swarm.spec.handler)
        raise SteadyStateError(
            f"the swarm does not keep up with {rate:g} tasks a second: {gained} ended in {for_s:g} s"
            + (f", and {unending}" if unending else ""),
            "lower the rate; what does not work undisturbed proves nothing under faults",
        )

    def _blame_handler(self, handled: Handled, *, at_last: bool) -> None:
        """End it if next to nothing comes to good, by the handler's doing."""
        if handled.is_at_fault(at_last=at_last):
            task, said = min(handled.spoiled or handled.mistaken), handled.sentence(self.swarm.spec.handler)
            self._note_blame(said)
            raise HandlerError(
                said,
                "mend it, as there is nothing else to see; "
                f"`{hints.trace(task, self.directory.path)}` tells more",
            )

    def _blame_slowness(self, handled: Handled, *, at_last: bool) -> None:
        """End it if the handler is why the swarm does not keep up.

        Args:
            at_last: Whether no task ended any more, and that is not waited for.
        """
        name = self.swarm.spec.handler
        if not is_own(name):
            return
        if said := handled.blocking(name):
            self._note_blame(said)
            raise HandlerError(f"{said}, and the swarm does not keep up", ADVICE)
        if at_last and (said := handled.unending(name)):
            task = max(handled.running, key=lambda each: handled.running[each][0])
            self._note_blame(said)
            raise HandlerError(
                f"{said}; and no other task ended any more",
                "have it return, or raise when it has waited in vain; "
                f"`{hints.trace(task, self.directory.path)}` tells more",
            )

    def _note_blame(self, said: str) -> None:
        """Leave why it ends so early to whoever judges the directory."""
        self.history("blamed", "fail", reason=said)

    async def open_tasks(self) -> int:
        """How many tasks were accepted and have not ended, once the broker says so.

        Raises:
            RequestError: It has not in `BROKER_S`, which only somebody else's does.
        """
        until_s = time.monotonic() + BROKER_S
        while True:
            try:
                backlog = await self.swarm.backlog()
            except RequestError:
                if time.monotonic() > until_s:
                    raise
                await asyncio.sleep(LOOK_S)
            else:
                return max(0, backlog.submitted - backlog.registers)

    async def finish(self, bound_s: float | None = None) -> bool:
        """End the load, drain, and write what the broker holds into the history; whether all has drained.

        Done once; asked again, it says what came of it.

        Args:
            bound_s: How long draining may take; the spec's bound, if None.
        """
        if self._finished is None:
            if not self.swarm.producer.done():
                self._progress(Waiting(what="the producer to have its answers", at_most_s=PRODUCER_STOP_S))
            await self.swarm.stop_producer()
            await self.swarm.producer
            await self._stop_showing()
            self._submitted = await asyncio.to_thread(submitted, self.directory.history)
            bound_s = self.swarm.spec.drain_bound_s if bound_s is None else bound_s
            self._progress(Phase(stage="draining", at_most_s=bound_s))
            begun_s = time.monotonic()
            drained = await self._drain(bound_s)
            took_s = time.monotonic() - begun_s
            self._progress(Phase(stage="reading back"))
            registers = await self.swarm.pattern.read_back(self.swarm, self.history)
            await reading.submissions(self.swarm, self.history)
            patience_s = LEFT_ACK_WAITS * self.swarm.spec.ack_wait_s + LEFT_S if drained else 0.0
            await reading.consumers(self.swarm, self.history, patience_s=patience_s)
            await reading.places(self.swarm, self.history, patience_s=patience_s)
            self._finished = _Finished(registers, drained, time.time(), bound_s, took_s)
        return self._finished.drained

    async def show(self) -> None:
        """Say how far it has come and who leads, for as long as this is not cancelled."""
        self._showing = asyncio.current_task()
        while True:
            try:
                await self._look()
                self._progress(Done("broker"))
            except RequestError:
                self._progress(Waiting(key="broker", what="the broker to answer"))
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> Backlog:
        """Tell what the broker and the producer say, and how far it has come.

        Raises:
            RequestError: The broker does not answer.
        """
        swarm = self.swarm
        backlog = await swarm.backlog()
        self._count(backlog)
        if swarm.pattern.seat is not None:
            leading = await swarm.leader()
            self._progress(Leads(leading[0] if leading else ""))
        return backlog

    def _count(self, backlog: Backlog) -> None:
        """Tell how far it has come."""
        if self._submitted is None:
            accepted = min(backlog.submitted, self.swarm.spec.tasks)  # the rest are ends of jobs
            offered = max(accepted, self.swarm.offered() or 0)
        else:
            offered, accepted = self._submitted
        self._progress(Counted(offered=offered, accepted=accepted, ended=backlog.registers))

    async def _stop_showing(self) -> None:
        if self._showing is not None:
            self._showing.cancel()
            await asyncio.wait({self._showing})

    async def _drain(self, bound_s: float) -> bool:
        """Wait until everything accepted has ended and been delivered; False if the bound passed first."""
        deadline = time.monotonic() + bound_s
        while time.monotonic() < deadline:
            try:
                backlog = await self._look()
            except RequestError:
                self._progress(Waiting(what="the broker to answer"))
            else:
                if backlog.drained:
                    return True
                self._progress(Waiting(what=self._left_of(backlog)))
            await asyncio.sleep(DRAIN_LOOK_S)
        return False

    async def note_interruption(self, interrupt: asyncio.Event) -> None:
        """Write into the history that the user wants an end, at once: it may be the last that is written."""
        await interrupt.wait()
        self.history("interrupted", "ok")

    def _left_of(self, backlog: Backlog) -> str:
        """What draining waits for."""
        assert self._submitted is not None
        open_tasks = self._submitted[1] - backlog.registers
        if open_tasks > 0:
            return f"{open_tasks:,} accepted task{'' if open_tasks == 1 else 's'} to end"
        return "the last effects to be delivered"

    def close(self, took_s: float) -> None:
        """Write the last line. Nobody else writes any more: how many lines each writer wrote is what lets a
        reader notice a missing one."""
        assert self._finished is not None
        self.history(
            "final",
            "ok",
            what="complete",
            registers=self._finished.registers,
            drained=self._finished.drained,
            drained_s=self._finished.drained_s,
            bound_s=self._finished.bound_s,
            took_s=self._finished.took_s,
            interrupted=self.swarm.load_cut_short,
            duration_s=took_s,
            lines=_lines(self.directory.history),
            starts=len(self.directory.nodes.read_bytes().splitlines()),
        )


@contextlib.asynccontextmanager
async def driven(
    spec: Spec,
    directory: RunDirectory,
    *,
    progress: Progress,
    url: str | None = None,
    interrupt: asyncio.Event | None = None,
    route: Route = straight,
    preload: str = "",
    origin: Origin | None = None,
    tools: Mapping[str, str] | None = None,
) -> AsyncIterator[Run]:
    """A swarm under load inside the block, finished as it ends, if it was not before; see `Run`.

    If something is raised, the swarm ends at once and the directory holds what there was.

    Args:
        progress: Told what is learned of the run as it goes.
        url: An outside broker, or None for one of our own.
        interrupt: Set when the user wants an end, which is noted; to end the load then is the block's to do.
        route: Says where a node is to reach the broker; asked before each start of a node.
        preload: A module that each node loads before its role; see `NodeStart`.
        origin: Where the spec's handler comes from; see `Origin`.
        tools: Versions of what works against the swarm, for the report.

    Raises:
        ServiceError, BusError: It could not be run.
    """
    started_s = time.monotonic()
    with History(directory.history, "squall", 1) as history:
        starting = running(
            spec,
            directory,
            url=url,
            route=route,
            preload=preload,
            origin=origin,
            history=history,
            progress=progress,
        )
        async with starting as swarm:
            run = Run(swarm, directory, history, progress)
            async with under_load(run, interrupt=interrupt, tools=tools):
                yield run
        shutil.rmtree(directory.broker, ignore_errors=True)  # all of it was read back
        run.close(time.monotonic() - started_s)


@contextlib.asynccontextmanager
async def under_load(
    run: Run, *, interrupt: asyncio.Event | None = None, tools: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """Load on a swarm inside the block; as it ends, the swarm is finished with, if it was not before.

    Args:
        interrupt, tools: See `driven`.
    """
    await run.begin(tools or {}, interrupt)
    async with task_group() as tasks:
        tasks.daemon(run.show())
        if interrupt is not None:
            tasks.daemon(run.note_interruption(interrupt))
        yield
        await run.finish()


async def run_once(
    spec: Spec, directory: RunDirectory, *, url: str | None, interrupt: asyncio.Event, progress: Progress
) -> None:
    """What `squall run` does: offer the whole workload, show what the pattern survives, drain.

    Args:
        interrupt: Set when the user wants no more tasks offered.

    Raises:
        ServiceError, BusError: It could not be run.
    """
    async with driven(spec, directory, url=url, interrupt=interrupt, progress=progress) as run:
        progress(Phase(stage="load"))
        await unless(interrupt, _offer_all(run))


async def _offer_all(run: Run) -> None:
    """Wait until all of the workload was offered, and its pattern was shown."""
    swarm = run.swarm
    async with task_group() as tasks:
        opening = tasks.daemon(swarm.pattern.opening(swarm, run.directory))
        while not swarm.producer.done():
            offered = swarm.offered()
            if offered is not None:
                swarm.tell(Left(max(0, swarm.spec.tasks - offered) / swarm.spec.rate_per_s))
            await asyncio.wait({swarm.producer}, timeout=LOOK_S)
        # With the load over, what waits for more of it would wait for ever.
        await asyncio.wait({opening}, timeout=run.swarm.spec.drain_bound_s)


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do something to its end, or until an event is set, which cancels it."""
    async with task_group() as tasks:
        working, waiting = tasks.start(work), tasks.daemon(event.wait())
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()


def _limits(swarm: Swarm) -> list[str]:
    return [
        *swarm.limits,
        f"durability {DURABILITY}: one server, synced to disk every two minutes; "
        "a power loss may lose accepted tasks",
    ]


def _environment(swarm: Swarm, tools: Mapping[str, str]) -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "nats_server": swarm.server_version,
        "toxiproxy": tools.get("toxiproxy"),
        "cpus": os.cpu_count(),
        "platform": platform.platform(),
    }


def _lines(history: Path) -> dict[str, int]:
    """Lines by writer, a writer being a node and its incarnation."""
    counts: Counter[str] = Counter()
    with history.open("rb") as file:
        for line in jsonl.lines(file):
            with contextlib.suppress(msgspec.DecodeError):
                writer = jsonl.decode(_writer, line or b"")
                counts[f"{writer.node}/{writer.inc}"] += 1
    return dict(counts)


def submitted(history: Path) -> tuple[int, int]:
    """How many tasks were offered, and how many of them accepted, by the producer's lines."""
    offered: set[str] = set()
    accepted: set[str] = set()
    with history.open("rb") as file:
        for line in jsonl.lines(file):
            if line is not None and b'"op":"submit"' in line:
                with contextlib.suppress(msgspec.DecodeError):
                    said = jsonl.decode(_submit, line)
                    offered.add(said.task)
                    if said.type == "ok":
                        accepted.add(said.task)
    return len(offered), len(accepted)


class _Submit(msgspec.Struct):
    task: str
    type: str


_submit = msgspec.json.Decoder(_Submit)


class _Writer(msgspec.Struct):
    node: str
    inc: int


_writer = msgspec.json.Decoder(_Writer)
