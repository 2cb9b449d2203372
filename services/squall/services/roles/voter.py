"""What a peer writes to the log: proposals, votes, closes, and what it saw decided.

    its own log, record by record ─► for each task that is not settled:
        no open proposal, and it is my turn ─► propose
        an open one, and I am a member      ─► vote
        its time is over                    ─► close
        decided, and nobody said so         ─► say so

Each is looked at anew whenever the log has changed, so it is all the same where this peer began to read, and
what it did before it was last started. What two write at a time, the log counts once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any

from squall.bus.border import printable
from squall.bus.ended import Done, Failed
from squall.bus.errors import MessageTooLargeError
from squall.bus.subjects import ANY
from squall.bus.tasks import Tasks
from squall.bus.vote_messages import Close, Decide, Propose, Vote
from squall.services.node.service import Service
from squall.services.roles.counted_log import CountedLog
from squall.services.roles.deciding import Deciding
from squall.services.roles.judging import Judging
from squall.services.roles.writing import write, write_new
from squall.services.rules.proposing import Due, Turns, ranking
from squall.services.rules.vote_records import signed_by_voter
from squall.services.rules.voting import (
    Epoch,
    Proposal,
    Proposed,
    Record,
    Standing,
    Tasked,
    Trimmed,
    Unreadable,
    Voted,
)

log = logging.getLogger("squall")

CLOSE_GRACE_S = 0.05
STAGGER_S = 0.1
"""How much later than the deadline a proposal is closed, by who made it; and how much later than the one
before each further peer does what one of them has to do. Higher means fewer records that come too late."""

AGAIN_S = 1.0
"""After how long what a peer wrote, and does not find in the log, is written again."""


class Voter:
    """One peer's part in the votes.

    Args:
        counted: The log as it has read it.
        deciding: Its own opinions.
        deadline_s: How long a proposal waits for votes.
        open_max: Proposals of its own that may be open.
    """

    def __init__(
        self,
        service: Service,
        tasks: Tasks,
        counted: CountedLog,
        deciding: Deciding,
        *,
        deadline_s: float,
        open_max: int,
    ) -> None:
        assert service.start.signing is not None
        self._service = service
        self._tasks = tasks
        self._counted = counted
        self._deciding = deciding
        self._judging = Judging(service, deciding)
        self._signing = service.start.signing
        self._deadline_s = deadline_s
        self._most = open_max
        self._turns = Turns(service.node, deadline_s)
        self._suspects: frozenset[str] = frozenset()
        self._touched: dict[str, None] = {}
        self._unsettled: dict[str, None] = {}  # in their order, the same in every process
        self._mine: set[tuple[str, int]] = set()
        self._seen: set[tuple[str, int]] = set()
        self._doing: dict[tuple[str, str, int], asyncio.Task[None]] = {}
        self._news = asyncio.Event()

    @property
    def open(self) -> int:
        """Proposals that it makes or has open."""
        return len(self._mine)

    # What it learns.

    def learned(self, record: Record) -> None:
        """The log has one record more that counts."""
        if isinstance(record, Tasked):
            self._unsettled[record.task] = None
        if isinstance(record, Trimmed):
            self._forget()
        elif not isinstance(record, Epoch | Unreadable):
            self._touched[record.task] = None
        else:  # another epoch: who proposes, votes and closes is another question now
            self._touched.update(self._unsettled)
            for (step, task, _), doing in list(self._doing.items()):
                if step == "close":
                    doing.cancel()
                    self._touched[task] = None
        if isinstance(record, Proposed):
            self._mine -= {(record.task, record.attempt)} if record.peer != self._service.node else set()
        self._news.set()

    def _forget(self) -> None:
        """What is over, and was not done when that was said, nobody waits for."""
        there = self._counted.fold.tasks
        for task in [task for task in self._unsettled if task not in there]:
            self._unsettled.pop(task)
            self._turns.remove(task)
            self._deciding.forget(task)
        self._mine = {(task, attempt) for task, attempt in self._mine if task in there}
        self._seen = {(task, attempt) for task, attempt in self._seen if task in there}
        for (_, task, _), doing in list(self._doing.items()):
            if task not in there:
                doing.cancel()

    def suspects(self, names: frozenset[str]) -> None:
        """These are not taken to be there."""
        self._suspects = names
        self._news.set()

    async def attend(self) -> None:
        """Do what there is to do, for ever."""
        while True:
            self._news.clear()
            epoch = self._counted.fold.epoch
            self._turns.among(epoch.members if epoch is not None else (), self._suspects)
            touched, self._touched = self._touched, {}
            for task in touched:
                if (at := self._counted.fold.tasks.get(task)) is not None:
                    self._look_at(at)
            now_s = time.monotonic()
            while len(self._mine) < self._most and (due := self._turns.next(now_s)) is not None:
                self._mine.add((due.task, due.attempt))
                self._do("propose", due.task, due.attempt, self._propose(due))
            next_s = self._turns.next_s() if len(self._mine) < self._most else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if next_s is None else max(0.001, next_s - now_s)):
                    await self._news.wait()

    def _look_at(self, at: Standing) -> None:
        proposal = at.proposals[-1] if at.proposals else None
        for each in at.proposals:
            if each.outcome is not None:
                self._mine.discard((each.task, each.attempt))
                self._note(each)
                if not each.told:
                    self._do("tell", each.task, each.attempt, self._tell(each))
        if at.final is not None:
            self._unsettled.pop(at.task, None)
            self._turns.remove(at.task)
            self._deciding.forget(at.task)
            self._counted.settle(at.task)
        elif at.awaited is not None:
            self._turns.add(Due(at.place.sequence, at.task, at.key, at.awaited, time.monotonic()))
            if self._is_member(None) and not self._judging.has_own_vote:
                self._want(at, urgent=False)
        elif proposal is not None:
            self._turns.remove(at.task)
            if self._is_member(proposal) and self._service.node not in proposal.votes:
                self._do("vote", at.task, proposal.attempt, self._vote(at, proposal))
            if self._is_member(None):
                self._do("close", at.task, proposal.attempt, self._close(proposal))

    def _note(self, proposal: Proposal) -> None:
        """Write down, once, what this peer counted a proposal to have come to."""
        name = (proposal.task, proposal.attempt)
        if name not in self._seen:
            self._seen.add(name)
            facts = {"outcome": proposal.outcome, "at": proposal.at}
            self._service.history("decided", "ok", task=name[0], attempt=name[1], **facts)

    def _do(self, step: str, task: str, attempt: int, work: Coroutine[Any, Any, None]) -> None:
        """Do a step of a proposal, unless it is being done."""
        name = (step, task, attempt)
        if name in self._doing:
            work.close()
            return

        async def step_of() -> None:
            try:
                await work
            finally:
                self._doing.pop(name, None)

        self._doing[name] = self._tasks.daemon(step_of())

    def _is_member(self, proposal: Proposal | None) -> bool:
        epoch = proposal.epoch if proposal is not None else self._counted.fold.epoch
        return epoch is not None and self._service.node in epoch.keys

    def _want(self, at: Standing, *, urgent: bool) -> Any:
        task = self._counted.tasks.get(at.task)
        if task is None:
            return None
        return self._deciding.want(task, at.place.sequence, at.place.stored_s, urgent=urgent)

    # What it writes.

    async def _propose(self, due: Due) -> None:
        at = self._counted.fold.tasks[due.task]
        opinion = self._want(at, urgent=True)
        ended = (
            await opinion.ended() if opinion is not None else Failed("its input cannot be read", final=True)
        )
        is_written = False
        if at.awaited == due.attempt and self._is_member(None):
            subject = self._counted.subjects.proposal(self._service.node, due.task, due.attempt)
            await self._service.at("agent.proposing")
            try:
                is_written = await write_new(self._service.connection, subject, self._proposal(ended))
            except MessageTooLargeError as error:
                refused = self._proposal(Failed(f"the result is too large: {error}", final=True))
                is_written = await write_new(self._service.connection, subject, refused)
            if is_written:
                await self._service.at("agent.proposed")
                await self._found(lambda: at.awaited != due.attempt)
        if at.awaited == due.attempt:  # not there, or not by a member any more
            self._mine.discard((due.task, due.attempt))
            self._touched[due.task] = None
            self._news.set()
        elif at.proposals[due.attempt - 1].peer != self._service.node:
            self._mine.discard((due.task, due.attempt))

    def _proposal(self, ended: Done | Failed) -> Propose:
        epoch = self._counted.fold.epoch
        number = epoch.number if epoch is not None else 0
        wait_ms = int(self._deadline_s * 1e3)
        if isinstance(ended, Failed):
            return Propose(epoch=number, reason=printable(ended.reason), deadline_ms=wait_ms, dead=True)
        return Propose(epoch=number, effects=ended.effects, value=ended.value, deadline_ms=wait_ms)

    async def _vote(self, at: Standing, proposal: Proposal) -> None:
        if not self._judging.has_own_vote:
            self._want(at, urgent=True)
        task = self._counted.tasks.get(at.task)
        thought = await self._judging.verdict(task, proposal)
        await self._service.at("agent.judged")
        vote = Voted(
            peer=self._service.node,
            task=at.task,
            attempt=proposal.attempt,
            epoch=proposal.epoch.number,
            proposal=proposal.place.sequence,
            verdict=thought.verdict,
        )
        record = Vote(
            epoch=vote.epoch,
            proposal=vote.proposal,
            verdict=thought.verdict,
            reason=printable(thought.reason),
            confidence=thought.confidence,
            signature=self._signing.sign(signed_by_voter(self._service.spec.swarm, vote)),
        )
        subject = self._counted.subjects.vote(self._service.node, at.task, proposal.attempt)
        while proposal.outcome is None and self._service.node not in proposal.votes:
            if await write_new(self._service.connection, subject, record):
                facts = {"task": at.task, "attempt": proposal.attempt, "verdict": thought.verdict}
                self._service.history("vote", "ok", **facts)
                await self._service.at("agent.voted")
                return
            await asyncio.sleep(AGAIN_S)

    async def _close(self, proposal: Proposal) -> None:
        """Close a proposal whose time is over. Whether it was, the broker's clock decides."""
        fold = self._counted.fold
        changed = fold.epoch is not None and fold.epoch.number != proposal.epoch.number
        wait_s = 0.0 if changed else self._deadline_s + CLOSE_GRACE_S
        await asyncio.sleep(wait_s + STAGGER_S * self._rank(proposal))
        record = Close(
            proposal=proposal.place.sequence, why="another epoch" if changed else "its deadline is over"
        )
        subject = self._counted.subjects.closing(self._service.node, proposal.task, proposal.attempt)
        while proposal.outcome is None and self._is_member(None):
            await self._service.at("agent.closing")
            outcome = await write(self._service.connection, subject, record, {})
            if outcome.accepted:
                await self._service.at("agent.closed")
                await self._found(lambda: proposal.outcome is not None)
            else:
                await asyncio.sleep(AGAIN_S)

    async def _tell(self, proposal: Proposal) -> None:
        """Write down what was decided, unless somebody has. Who made the proposal is the first to."""
        await asyncio.sleep(STAGGER_S * self._rank(proposal))
        assert proposal.outcome is not None
        record = Decide(
            outcome=proposal.outcome,
            epoch=proposal.epoch.number,
            proposal=proposal.place.sequence,
            at=proposal.at,
        )
        subjects, at = self._counted.subjects, self._counted.fold.tasks[proposal.task]
        named = (proposal.key, proposal.task, proposal.attempt)
        while not proposal.told and self._is_member(None):
            await self._service.at("agent.counted")
            # Behind whatever was told of it before, rightly or not, so that of those who know the first wins.
            headers = {
                "Nats-Expected-Last-Subject-Sequence": str(at.told.get(proposal.attempt, 0)),
                "Nats-Expected-Last-Subject-Sequence-Subject": subjects.decision(ANY, *named),
            }
            subject = subjects.decision(self._service.node, *named)
            outcome = await write(self._service.connection, subject, record, headers)
            if outcome.accepted:
                await self._service.at("agent.told")
            await self._found(lambda: bool(proposal.told))

    def _rank(self, proposal: Proposal) -> int:
        """How many of the members are to do first what one has to do."""
        epoch = self._counted.fold.epoch
        ranked = ranking(proposal.key, epoch.members) if epoch is not None else ()
        others = [name for name in ranked if name != proposal.peer and name not in self._suspects]
        if self._service.node == proposal.peer:
            return 0
        return 1 + (others.index(self._service.node) if self._service.node in others else len(others))

    async def _found(self, is_there: Any) -> None:
        """Wait until the log shows something, at most for a while."""
        until_s = time.monotonic() + AGAIN_S
        while not is_there() and time.monotonic() < until_s:
            await asyncio.sleep(0.02)
