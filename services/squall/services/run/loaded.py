"""A swarm under load: seen to keep up, looked at while it works, drained, and read back.

    begin ─► steady ─► … ─► finish: the load ends, it drains, what the broker holds is written down ─► close

Made by `driven`.
"""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass

from squall.bus import absence
from squall.bus.errors import RequestError
from squall.services.effects import kinds as sinks
from squall.services.effects.journal import FETCH_S, JournalError, keep
from squall.services.errors import HandlerError, NothingOfferedError, SteadyStateError
from squall.services.handlers import kinds
from squall.services.node.history import History
from squall.services.patterns import reading
from squall.services.patterns.pattern import Backlog
from squall.services.rules.blocking import ADVICE
from squall.services.run import hints
from squall.services.run.directory import RunDirectory
from squall.services.run.handled import Handled, handled_in
from squall.services.run.progress import Counted, Done, Leads, Phase, Progress, Waiting
from squall.services.run.results import Results
from squall.services.run.spec import is_own
from squall.services.run.swarm import PRODUCER_STOP_S, Swarm
from squall.services.run.written import lines_by_writer, submitted

LOOK_S = 0.25
DRAIN_LOOK_S = 0.05

STEADY_S = 3.0
"""How long the swarm must keep up before anything is done to it."""

STEADY_SHARE = 0.8
"""Of the tasks offered in that time, how many must have ended."""

STEADY_PATIENCE_S = 30.0

BROKER_S = 60.0
"""How long a broker that nobody strikes any more may take to answer."""

DURABILITY = "dev"
"""How much of what was accepted outlives a power loss; in words among a run's limits."""

MISSED_S = 2 * absence.CAP_S
"""So long after an agent has missed its handler it counts as there, if none misses it meanwhile."""

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

    def __init__(
        self,
        swarm: Swarm,
        directory: RunDirectory,
        history: History,
        progress: Progress,
        results: Results | None = None,
    ) -> None:
        self.swarm = swarm
        self.directory = directory
        self.history = history
        self._progress = progress
        self._finished: _Finished | None = None
        self._showing: asyncio.Task[None] | None = None
        self._results = results
        self._following: asyncio.Task[None] | None = None
        self._submitted: tuple[int, int] | None = None
        self._absences = 0
        self._missed_s: float | None = None

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
        if at_last and (said := handled.missing(name)):
            self._note_blame(said)
            raise HandlerError(f"{said}; and no task ended any more", "start it, and begin again")
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
            await self._write_results()
            await self._keep_journal()
            registers = await self.swarm.pattern.read_back(self.swarm, self.history)
            await reading.submissions(self.swarm, self.history)
            patience_s = (
                reading.LEFT_ACK_WAITS * self.swarm.spec.ack_wait_s + reading.LEFT_S if drained else 0.0
            )
            await reading.consumers(self.swarm, self.history, patience_s=patience_s)
            await reading.places(self.swarm, self.history, patience_s=patience_s)
            self._finished = _Finished(registers, drained, time.time(), bound_s, took_s)
        return self._finished.drained

    @property
    def offered(self) -> int:
        """How many tasks were offered, once it is finished."""
        return self._submitted[0] if self._submitted is not None else 0

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

    async def follow_results(self) -> None:
        """Write results as they come, for as long as this is not cancelled, where they are wanted."""
        if self._results is not None:
            self._following = asyncio.current_task()
            await self._results.follow(self.swarm)

    async def _write_results(self) -> None:
        """Write the results that are left, and follow no more, as a node reads a stream once at a time."""
        if self._results is None:
            return
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        await self._results.rest(self.swarm)

    async def _keep_journal(self) -> None:
        """Keep what the journal of a sink that is not the swarm's tells, where it has one."""
        sending = self.swarm.spec.sending
        if not sending.journal:
            return
        self._progress(Waiting(what=f"the journal {sending.journal} to be read", at_most_s=FETCH_S))
        try:
            rows = await keep(sending, self.directory.venue)
        except JournalError as error:
            self.history("journal", "fail", reason=str(error))
        else:
            self.history("journal", "ok", rows=rows)

    async def _look(self) -> Backlog:
        """Tell what the broker and the producer say, and how far it has come.

        Raises:
            RequestError: The broker does not answer.
        """
        swarm = self.swarm
        backlog = await swarm.backlog()
        self._count(backlog)
        self._tell_of_handler()
        if swarm.pattern.seat is not None:
            leading = await swarm.leader()
            self._progress(Leads(leading[0] if leading else ""))
        return backlog

    def _tell_of_handler(self) -> None:
        """Tell that tasks wait for a handler that is not there, for as long as agents miss it."""
        absences, now_s = self.swarm.absences(), time.monotonic()
        if absences > self._absences:
            self._absences, self._missed_s = absences, now_s
            self._progress(Waiting(key="handler", what=f"the handler {self.swarm.spec.handler} to be there"))
        elif self._missed_s is not None and now_s - self._missed_s > MISSED_S:
            self._missed_s = None
            self._progress(Done("handler"))

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
            without = "" if self._missed_s is None else ", for which the handler is not there"
            return f"{open_tasks:,} accepted task{'' if open_tasks == 1 else 's'} to end{without}"
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
            lines=lines_by_writer(self.directory.history),
            starts=len(self.directory.nodes.read_bytes().splitlines()),
        )


def _limits(swarm: Swarm) -> list[str]:
    return [
        *swarm.limits,
        *kinds.limits_of(swarm.spec.handling),
        *sinks.limits_of(swarm.spec.sending),
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
