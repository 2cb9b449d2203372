"""What is read back of a log of votes, what peers say of it, and the log recounted. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from squall.chaos.evidence.facts import Count, Operation, Time
from squall.chaos.evidence.model import History
from squall.chaos.judge import votes
from squall.chaos.judge.votes import Ruling


class Member(msgspec.Struct, frozen=True):
    """A member of an epoch."""

    name: str
    key: str
    weight: int


class EpochRead(Operation, frozen=True, kw_only=True):
    """An epoch in the log."""

    seq: int
    epoch: int
    members: tuple[Member, ...]
    rule: str


class TaskRead(Operation, frozen=True, kw_only=True):
    """A task in the log."""

    seq: int
    task: str
    key: str


class TrimRead(Operation, frozen=True, kw_only=True):
    """All tasks before a place of the log are over, and what stands of them may be gone."""

    seq: int
    below: int


class ProposalRead(Operation, frozen=True, kw_only=True):
    """A proposal in the log."""

    seq: int
    agent: str
    task: str
    attempt: int
    effects: tuple[bytes, ...] = ()
    dead: bool = False
    stored_s: Time = msgspec.field(name="time_s_stored", default=0.0)


class VoteRead(Operation, frozen=True, kw_only=True):
    """A vote in the log."""

    seq: int
    agent: str
    task: str
    attempt: int
    epoch: int
    proposal: int
    verdict: str
    signature: str = ""
    stored_s: Time = msgspec.field(name="time_s_stored", default=0.0)


class CloseRead(Operation, frozen=True, kw_only=True):
    """A close in the log."""

    seq: int
    agent: str
    task: str
    attempt: int
    proposal: int
    stored_s: Time = msgspec.field(name="time_s_stored", default=0.0)


class DecisionRead(Operation, frozen=True, kw_only=True):
    """What a peer wrote into the log that it saw decided."""

    seq: int
    agent: str
    task: str
    attempt: int
    outcome: str
    epoch: int
    proposal: int
    at: int
    stored_s: Time = msgspec.field(name="time_s_stored", default=0.0)


class Seen(Operation, frozen=True, kw_only=True):
    """What a peer counted by itself: a proposal was decided at this place."""

    task: str
    attempt: int
    outcome: str
    at: int


class EpochCounted(Operation, frozen=True, kw_only=True):
    """A peer has read an epoch, and counts by it from now on."""

    epoch: Count


class Standing(Operation, frozen=True, kw_only=True):
    """A peer takes another to be alive, suspect, failed, or gone."""

    agent: str
    standing: str


class Ignored(Operation, frozen=True, kw_only=True):
    """A record that a peer did not count, and why."""

    seq: Count
    reason: str
    subject: str = ""


OPERATIONS: Mapping[str, type[Operation]] = {
    "decided": Seen,
    "epoch": EpochCounted,
    "presence": Standing,
    "ignored": Ignored,
    "final/epoch": EpochRead,
    "final/tasked": TaskRead,
    "final/trimmed": TrimRead,
    "final/proposal": ProposalRead,
    "final/vote": VoteRead,
    "final/close": CloseRead,
    "final/decision": DecisionRead,
}


class Recount(NamedTuple):
    """A log, recounted.

    Attributes:
        rulings: Of each task that is not over and forgotten, what became of its proposals.
        decisions: What peers wrote that they saw decided, of these.
        trimmed: The place before which all tasks are over; 0 while none is.
        epochs: Those that count.
    """

    rulings: Mapping[str, Sequence[Ruling]]
    decisions: Sequence[DecisionRead]
    epochs: Sequence[votes.Epoch]
    trimmed: int = 0

    @property
    def every(self) -> list[Ruling]:
        """All proposals that count."""
        return [ruling for of in self.rulings.values() for ruling in of]

    def is_forgotten(self, task: str) -> bool:
        """Whether what the log said of a task may be gone, as it is over."""
        return self.trimmed > 0 and task not in self.rulings

    def of(self, task: str, attempt: int) -> Ruling | None:
        """The proposal of an attempt that counts, if there is one."""
        of = self.rulings.get(task, ())
        return of[attempt - 1] if 1 <= attempt <= len(of) else None

    def final(self, task: str) -> Ruling | None:
        """The one by which a task is settled, if it is."""
        of = self.rulings.get(task, ())
        return of[-1] if of and of[-1].is_final else None


def recount(history: History) -> Recount:
    """Recount a run's log."""
    tasks: dict[str, int] = {}
    trimmed = max((trim.below for trim in history.of(TrimRead) if trim.below <= trim.seq), default=0)
    for each in history.of(TaskRead):
        if each.seq >= trimmed:
            tasks.setdefault(each.task, each.seq)
    epochs = [
        votes.Epoch(
            e.seq,
            e.epoch,
            {member.name: member.key for member in e.members},
            {member.name: member.weight if e.rule == "weighted" else 1 for member in e.members},
            votes.needed(e.rule, [member.weight for member in e.members]),
        )
        for e in history.of(EpochRead)
    ]
    log = votes.Log(
        epochs,
        tasks,
        [
            votes.Proposal(p.seq, p.stored_s, p.agent, p.task, p.attempt, p.effects, p.dead)
            for p in history.of(ProposalRead)
        ],
        [
            votes.Vote(
                v.seq,
                v.stored_s,
                v.agent,
                v.task,
                v.attempt,
                v.epoch,
                v.proposal,
                v.verdict,
                _signature(v.signature),
            )
            for v in history.of(VoteRead)
        ],
        [
            votes.Close(c.seq, c.stored_s, c.agent, c.task, c.attempt, c.proposal)
            for c in history.of(CloseRead)
        ],
    )
    deadline_s, swarm = history.spec.get("deadline_s"), history.spec.get("swarm")
    found = votes.rulings(
        log,
        is_signed=votes.signed_for(swarm if isinstance(swarm, str) else ""),
        deadline_s=float(deadline_s) if isinstance(deadline_s, int | float) else 0.0,
    )
    told = [each for each in history.of(DecisionRead) if not trimmed or each.task in tasks]
    return Recount(found, told, votes.chained(epochs), trimmed)


def _signature(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""
