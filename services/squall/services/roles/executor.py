"""Carries out what was decided: from the pool of decisions to the registers.

    WK ──pull──► Decide ─► does my own count of the log say the same? ── not yet ─► wait
                                  │ yes                              └── no, ever ─► ended, and counted
                                  ▼
                        register: ok, dead or cancelled ─► acknowledged

Nothing of the user's runs here: the effects are the proposal's. Whoever may write a wrong decision to the log
gets nothing done by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from squall.bus import register
from squall.bus.codec import decode
from squall.bus.errors import BusError, DecodeError, MessageTooLargeError, RejectedError, RequestError
from squall.bus.messages import RunTask, TaskResult
from squall.bus.pull import Delivery, Puller
from squall.bus.queue import Queue
from squall.bus.subjects import lane_of, last_token
from squall.bus.tasks import Tasks
from squall.bus.vote_messages import Decide, Propose
from squall.services.node.service import Service
from squall.services.roles.counted_log import CountedLog
from squall.services.rules.voting import Proposal

log = logging.getLogger("squall")

COMMIT_S = 30.0
ACK_S = 5.0
LOOK_S = 0.02

PATIENCE_S = 2.0
LONGEST_S = 30.0
"""How long a decision waits here for this peer to read that far while it reads nothing, and in all; then it
is given back, for later. A peer that was away reads on from where it was, and is given meanwhile what comes
out of the queue: higher has it keep that, lower has others do it, who may have as much to read."""


class Patience:
    """How long a decision waits for its peer to read on: while it does, and not for ever. Pure.

    Args:
        read: The place up to which it has read.
        now_s: By a clock that never goes back.
    """

    def __init__(self, read: int, now_s: float) -> None:
        self._begun_s = self._read_s = now_s
        self._read = read

    def is_over(self, read: int, now_s: float) -> bool:
        """Whether it waits no more, now that the peer has read so far."""
        if read > self._read:
            self._read, self._read_s = read, now_s
        return now_s >= self._read_s + PATIENCE_S or now_s >= self._begun_s + LONGEST_S


class Executor:
    """One peer's hands.

    Args:
        queue: Where what was decided waits.
    """

    def __init__(self, service: Service, tasks: Tasks, counted: CountedLog, queue: Queue) -> None:
        self._service = service
        self._tasks = tasks
        self._counted = counted
        self._queue = queue
        self._held: dict[str, Delivery] = {}
        self._stopping = False
        slots = service.spec.slots
        self._slots = slots
        self.puller = Puller(
            service.connection,
            self._queue.stream,
            self._queue.consumer,
            self._take,
            self._room,
            chunk=max(1, slots // 4),
        )

    @property
    def in_flight(self) -> int:
        return len(self._held)

    async def keep_alive(self) -> None:
        """Tell the broker three times an ack wait that what is held is worked on."""
        while True:
            await asyncio.sleep(self._service.spec.ack_wait_s / 3)
            with contextlib.suppress(RequestError):
                for reply in list(self._held):
                    await self._service.connection.publish(reply, b"+WPI", confirm=False)

    async def stop(self, within_s: float) -> None:
        """Take nothing more, and finish what is held."""
        self._stopping = True
        until_s = time.monotonic() + within_s
        while self._held and time.monotonic() < until_s:
            await asyncio.sleep(LOOK_S)

    def _room(self) -> int:
        epoch = self._counted.fold.epoch
        is_member = epoch is not None and self._service.node in epoch.keys
        return self._slots - len(self._held) if is_member and not self._stopping else 0

    def _take(self, delivery: Delivery) -> None:
        if not self._queue.delivers(delivery.subject):
            self._service.counters["unasked"] += 1
            return
        if delivery.reply in self._held:
            return  # the network has repeated it
        self._held[delivery.reply] = delivery

        async def attempt() -> None:
            try:
                await self._attempt(delivery)
            finally:
                self._held.pop(delivery.reply, None)
                self.puller.wake()

        self._tasks.daemon(attempt())

    async def _attempt(self, delivery: Delivery) -> None:
        await self._service.at("agent.delivered")
        task = last_token(delivery.subject)
        try:
            told = decode(delivery.data, Decide)
        except DecodeError:
            await self._refuse(delivery, task, "it cannot be read")
            return
        proposal = await self._proven(task, told)
        if self._counted.fold.is_forgotten(task, told.at):
            await self._acknowledge(delivery)  # perhaps while it waited here
        elif proposal is None:
            await self._give_back(delivery)
        elif isinstance(proposal, str):
            await self._refuse(delivery, task, proposal)
        elif not self._counted.is_final(proposal):
            await self._acknowledge(delivery)  # it may be proposed once more
        elif await self._commit(delivery, proposal):
            await self._acknowledge(delivery)

    async def _proven(self, task: str, told: Decide) -> Proposal | str | None:
        """The proposal that a decision is about; why it is wrong; None if this peer has not read so far."""
        patience = Patience(self._counted.fold.sequence, time.monotonic())
        while True:
            at = self._counted.fold.tasks.get(task)
            for proposal in at.proposals if at is not None else ():
                said = (told.outcome, told.epoch, told.proposal, told.at)
                known = (proposal.outcome, proposal.epoch.number, proposal.place.sequence, proposal.at)
                if said == known:
                    return proposal
            if told.at <= self._counted.fold.sequence:
                return "the log says something else"
            if at is not None and told.at in at.misled:
                return "the log had not come so far"
            if patience.is_over(self._counted.fold.sequence, time.monotonic()):
                return None
            await asyncio.sleep(LOOK_S)

    def _result(self, delivery: Delivery, proposal: Proposal) -> TaskResult:
        said = proposal.content
        assert isinstance(said, Propose)
        task = self._counted.tasks.get(proposal.task)
        known = task or RunTask(task=proposal.task, key=proposal.key, job="unreadable")
        approved = proposal.outcome == "approve"
        status = "cancelled" if not approved else "dead" if said.dead else "ok"
        why = {"approve": said.reason, "reject": "the peers voted against it", "abort": "no quorum in time"}
        return TaskResult(
            task=proposal.task,
            key=proposal.key,
            job=known.job,
            number=known.number,
            submit_s=known.submit_s,
            deadline_s=known.deadline_s,
            trace=known.trace,
            lane=lane_of(delivery.subject),
            attempt=proposal.attempt,
            agent=self._service.node,
            status=status,  # type: ignore[arg-type]
            effects=said.effects if status == "ok" else (),
            value=said.value if status == "ok" else b"",
            reason="" if status == "ok" else why[proposal.outcome or "abort"],
        )

    async def _commit(self, delivery: Delivery, proposal: Proposal) -> bool:
        """Write the register; whether the task has one now."""
        service, result = self._service, self._result(delivery, proposal)
        facts = {"task": result.task, "attempt": delivery.attempt}
        service.history("run", "invoke", **facts)
        subject = self._queue.register(result.lane, result.task)
        try:
            writing = register.write(service.connection, subject, result, timeout_s=COMMIT_S)
            written, why = await service.at.asked("agent.asked", writing)
        except (MessageTooLargeError, RejectedError, DecodeError) as error:
            written, why = "unknown", str(error)
        except BaseException:
            service.history("attempt", "unknown", reason="its worker stopped before it ended", **facts)
            raise
        if written == "won":
            service.counters["done" if result.status == "ok" else result.status] += 1
            service.history("commit", "ok", status=result.status, **facts)
        elif written == "already":
            service.counters["suppressed"] += 1
            service.history("commit", "fail", reason="already", **facts)
        else:
            service.history("commit", "unknown", reason=why or "settled", **facts)
        return written != "unknown"

    async def _acknowledge(self, delivery: Delivery) -> None:
        await self._service.at("agent.committed")
        try:
            await self._service.connection.request(delivery.reply, b"+ACK", timeout_s=ACK_S)
        except RequestError:
            self._service.counters["unacknowledged"] += 1  # delivered again, and suppressed then
        await self._service.at("agent.acknowledged")

    async def _refuse(self, delivery: Delivery, task: str, why: str) -> None:
        """A decision that nobody made has come out of the queue: it goes no further."""
        self._service.counters["wrong_decisions"] += 1
        self._service.history("refuse-decision", "fail", task=task, reason=why)
        with contextlib.suppress(BusError):
            await self._service.connection.request(delivery.reply, b"+TERM", timeout_s=ACK_S)

    async def _give_back(self, delivery: Delivery) -> None:
        self._service.counters["given_back"] += 1
        with contextlib.suppress(RequestError):
            await self._service.connection.publish(
                delivery.reply, b'-NAK {"delay": 1000000000}', confirm=False
            )
