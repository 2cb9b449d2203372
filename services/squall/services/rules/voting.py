"""What a log of votes has decided: a fold over its records, in order. Pure.

    tasks ──────┐
    epochs ─────┤                ┌─► the proposals of each task, and what became of them
    proposals ──┼─► one by one ──┤
    votes ──────┤                └─► of each record that does not count, why
    closes ─────┤
    trims ──────┤
    decisions ──┘

Whoever reads the same prefix knows the same, so a decision needs no one who makes it. A proposal belongs to
the epoch in force at its place: the members of that epoch vote, under its rule, each once, and the first
valid vote is the one that counts. It is

    APPROVED where yes reaches the quorum        REJECTED where yes can reach it no more
    ABORTED  at the first close after its deadline, by the broker's own stamps, or after another epoch

and whatever comes later changes nothing. An aborted proposal may be made once more, as a further attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from squall.bus.vote_messages import Decided as Outcome
from squall.bus.vote_messages import Verdict
from squall.services.rules.quorum import Quorum

ATTEMPTS = 2
"""Proposals that a task may have. Higher lets more of them survive a time without a quorum, and takes longer
to say so where it lasts."""

MISLED_MAX = 64
"""Wrong decisions of a task that are known again where they come out of the queue."""

Ignored = Literal[
    "unreadable",
    "no-epoch",
    "stranger",
    "removed",
    "known-task",
    "unknown-task",
    "unknown-proposal",
    "out-of-turn",
    "stale-epoch",
    "forged",
    "doubled",
    "late",
    "premature",
    "wrong-decision",
    "wrong-epoch",
]
"""
Why a record does not count.
``unreadable``: it is none that this log may have.
``no-epoch``: nobody has been said to be a member yet.
``stranger``, ``removed``: its peer never was a member, or is none of the epoch that matters.
``known-task``: the task is there already. ``unknown-task``: it is not.
``unknown-proposal``: there is none at the place that it names.
``out-of-turn``: the task is not waiting for this attempt.
``stale-epoch``: a vote that names another epoch than its proposal's.
``forged``: a vote whose signature its member did not make.
``doubled``: a further vote of a member, a further proposal of an attempt, a decision that was told of before.
``late``: the proposal was decided, or the task settled, before.
``premature``: a close before the deadline, while the epoch is the same.
``wrong-decision``: it says something else than the log does.
``wrong-epoch``: its number does not follow the one in force.
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is stored, and when the broker stored it, in seconds since the epoch."""

    sequence: int
    stored_s: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """Who votes, and by which rule.

    Attributes:
        number: From 1; each follows the one before.
        keys: Of each member, what its signatures are verified by.
        quorum: The rule, and what the members' votes count.
    """

    number: int
    keys: Mapping[str, str]
    quorum: Quorum

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(sorted(self.keys))


@dataclass(frozen=True, slots=True)
class Tasked:
    """There is a task to decide."""

    task: str
    key: str


@dataclass(frozen=True, slots=True)
class Proposed:
    """What a peer would do about a task.

    Attributes:
        content: What it proposes. The rules do not look into it.
    """

    peer: str
    task: str
    attempt: int
    content: object = None


@dataclass(frozen=True, slots=True)
class Voted:
    """What a peer thinks of a proposal.

    Attributes:
        epoch: The proposal's, as the voter saw it.
        proposal: The proposal's place.
    """

    peer: str
    task: str
    attempt: int
    epoch: int
    proposal: int
    verdict: Verdict
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class Closed:
    """The time of a proposal is over."""

    peer: str
    task: str
    attempt: int
    proposal: int


@dataclass(frozen=True, slots=True)
class Decided:
    """What a peer saw decided of a proposal.

    Attributes:
        at: The place of the record that decided.
    """

    peer: str
    key: str
    task: str
    attempt: int
    outcome: Outcome
    epoch: int
    proposal: int
    at: int


@dataclass(frozen=True, slots=True)
class Trimmed:
    """All tasks that stand before a place are over: nobody counts them any more, and what is said of them."""

    below: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What is none of these."""


Record = Epoch | Tasked | Trimmed | Proposed | Voted | Closed | Decided | Unreadable


@dataclass(slots=True)
class Proposal:
    """A proposal that counts, and how it stands.

    Attributes:
        place: Where it is stored.
        epoch: Of its place.
        votes: Those that count, by member.
        outcome: What it has come to; None while it is open.
        at: The place of the record that decided it; 0 while it is open.
        told: The place of the first record that says so rightly; 0 without one.
    """

    task: str
    key: str
    attempt: int
    peer: str
    content: object
    place: Place
    epoch: Epoch
    votes: dict[str, Verdict] = field(default_factory=dict)
    outcome: Outcome | None = None
    at: int = 0
    told: int = 0

    def is_told_by(self, decided: Decided) -> bool:
        """Whether a record says what became of it."""
        said = (decided.key, decided.outcome, decided.epoch, decided.proposal, decided.at)
        return said == (self.key, self.outcome, self.epoch.number, self.place.sequence, self.at)


@dataclass(slots=True)
class Standing:
    """A task, and what was proposed for it, attempt by attempt.

    Attributes:
        told: By attempt, the place of the newest record that says, rightly or not, what was decided of it.
        misled: The places in what was to come then at which wrong decisions said that it was decided.
    """

    task: str
    key: str
    place: Place
    proposals: list[Proposal] = field(default_factory=list)
    told: dict[int, int] = field(default_factory=dict)
    misled: set[int] = field(default_factory=set)

    @property
    def open(self) -> Proposal | None:
        """The proposal that is being voted on; None while there is none."""
        return self.proposals[-1] if self.proposals and self.proposals[-1].outcome is None else None

    @property
    def final(self) -> Proposal | None:
        """The proposal by which the task is settled; None while it is not."""
        last = self.proposals[-1] if self.proposals else None
        if last is None or last.outcome is None:
            return None
        return None if last.outcome == "abort" and last.attempt < ATTEMPTS else last

    @property
    def awaited(self) -> int | None:
        """Which attempt may be proposed now; None if none may."""
        return len(self.proposals) + 1 if self.open is None and self.final is None else None


Verify = Callable[[str, Voted], bool]
"""Whether the holder of a key has signed a vote."""


class Fold:
    """What the records so far come to.

    Args:
        deadline_s: How long after it was stored a proposal may be closed undecided.
        verify: Whether the holder of a key has signed a vote.

    Attributes:
        epoch: The one in force; None before the first.
        tasks: Those that are known.
        sequence: The place of the last record.
        trimmed: The place before which all tasks are over; they are not among those that are known.
        ignored: How many records did not count, by reason.
        past: Who was a member in an epoch before.
    """

    def __init__(self, *, deadline_s: float, verify: Verify) -> None:
        self._deadline_s = deadline_s
        self._verify = verify
        self.epoch: Epoch | None = None
        self.tasks: dict[str, Standing] = {}
        self.sequence = 0
        self.trimmed = 0
        self._trimmed_at = 0
        self.ignored: Counter[str] = Counter()
        self.past: set[str] = set()

    def apply(self, place: Place, record: Record) -> Ignored | None:
        """Take in the next record.

        Returns:
            Why it does not count; None if it does.

        Raises:
            ValueError: It is not behind the last one.
        """
        if place.sequence <= self.sequence:
            raise ValueError(f"the record at {place.sequence} comes after that at {self.sequence}")
        self.sequence = place.sequence
        if ignored := self._count(place, record):
            self.ignored[ignored] += 1
        return ignored

    def _count(self, place: Place, record: Record) -> Ignored | None:
        match record:
            case Tasked():
                if record.task in self.tasks:
                    return "known-task"
                self.tasks[record.task] = Standing(record.task, record.key, place)
                return None
            case Epoch():
                return self._enter(record)
            case Trimmed():
                return self._trim(place, record)
            case Proposed():
                return self._propose(place, record)
            case Voted():
                return self._vote(place, record)
            case Closed():
                return self._close(place, record)
            case Decided():
                return self._told(place, record)
            case Unreadable():
                return "unreadable"

    def _enter(self, epoch: Epoch) -> Ignored | None:
        if self.epoch is not None:
            if epoch.number != self.epoch.number + 1:
                return "wrong-epoch"
            self.past |= self.epoch.keys.keys()
        self.epoch = epoch
        return None

    def _trim(self, place: Place, record: Trimmed) -> Ignored | None:
        if not self.trimmed < record.below <= place.sequence:
            return "late" if record.below <= self.trimmed else "premature"
        self.trimmed, self._trimmed_at = record.below, place.sequence
        for task in [task for task, at in self.tasks.items() if at.place.sequence < record.below]:
            del self.tasks[task]
        return None

    def _outside(self, peer: str, epoch: Epoch) -> Ignored | None:
        """Why a peer has no say in an epoch; None if it has."""
        if peer in epoch.keys:
            return None
        others = self.epoch.keys if self.epoch is not None else {}
        return "removed" if peer in self.past or peer in others else "stranger"

    def _propose(self, place: Place, record: Proposed) -> Ignored | None:
        if self.epoch is None:
            return "no-epoch"
        if outside := self._outside(record.peer, self.epoch):
            return outside
        at = self.tasks.get(record.task)
        if at is None:
            return "unknown-task"
        if at.awaited != record.attempt:
            again: Ignored = "doubled" if record.attempt <= len(at.proposals) else "out-of-turn"
            return "late" if at.final is not None else again
        at.proposals.append(
            Proposal(record.task, at.key, record.attempt, record.peer, record.content, place, self.epoch)
        )
        return None

    def _named(self, task: str, attempt: int, sequence: int) -> Proposal | Ignored:
        """The proposal that a record is about."""
        at = self.tasks.get(task)
        if at is None:
            return "unknown-task"
        if not 1 <= attempt <= len(at.proposals):
            return "unknown-proposal"
        proposal = at.proposals[attempt - 1]
        return proposal if proposal.place.sequence == sequence else "unknown-proposal"

    def _vote(self, place: Place, record: Voted) -> Ignored | None:
        proposal = self._named(record.task, record.attempt, record.proposal)
        if not isinstance(proposal, Proposal):
            return proposal
        if outside := self._outside(record.peer, proposal.epoch):
            return outside
        if record.epoch != proposal.epoch.number:
            return "stale-epoch"
        if record.peer in proposal.votes:
            return "doubled"
        if proposal.outcome is not None:
            return "late"
        if not self._verify(proposal.epoch.keys[record.peer], record):
            return "forged"
        proposal.votes[record.peer] = record.verdict
        if outcome := proposal.epoch.quorum.outcome(proposal.votes):
            proposal.outcome, proposal.at = outcome, place.sequence
        return None

    def _close(self, place: Place, record: Closed) -> Ignored | None:
        proposal = self._named(record.task, record.attempt, record.proposal)
        if not isinstance(proposal, Proposal):
            return proposal
        assert self.epoch is not None  # there is a proposal
        if outside := self._outside(record.peer, self.epoch):
            return outside
        if proposal.outcome is not None:
            return "late"
        if not self.may_close(proposal, place.stored_s):
            return "premature"
        proposal.outcome, proposal.at = "abort", place.sequence
        return None

    def is_forgotten(self, task: str, at: int) -> bool:
        """Whether nothing is left to be done about a decision of an unknown task: it is over, or never was.

        Args:
            at: Where the decision is said to have been made.
        """
        return task not in self.tasks and at <= self._trimmed_at

    def may_close(self, proposal: Proposal, stored_s: float) -> bool:
        """Whether a close that is stored then ends an open proposal."""
        changed = self.epoch is not None and self.epoch.number != proposal.epoch.number
        return changed or stored_s >= proposal.place.stored_s + self._deadline_s

    def _told(self, place: Place, record: Decided) -> Ignored | None:
        at = self.tasks.get(record.task)
        if at is None:
            return "unknown-task"
        proposal = self._named(record.task, record.attempt, record.proposal)
        if record.key == at.key and record.attempt <= ATTEMPTS:
            at.told[record.attempt] = place.sequence
        if isinstance(proposal, Proposal) and proposal.is_told_by(record):
            if proposal.told:
                return "doubled"
            proposal.told = place.sequence
            return None
        if record.at >= place.sequence and len(at.misled) < MISLED_MAX:
            at.misled.add(record.at)
        return "wrong-decision"
