"""What a log of votes must have come to, recounted from its records proposal by proposal. Pure.

    epochs ─► which was in force at a place
    tasks, proposals ─► the first proposal of each attempt, made while its task waits for it
    votes, closes ─► those that name it, one after the other ─► where it was decided, and how

It shares no code with the peers, who fold the log record by record: here each proposal is looked at alone,
with what is about it, as its definition reads. Signatures are verified by the same library, over the same
words.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from squall.bus.signing import statement, verify

ATTEMPTS = 2
"""Proposals that a task may have."""


class Epoch(NamedTuple):
    """Who votes from a place on.

    Attributes:
        weights: What each member's vote counts under the rule.
        needed: How much of it must say yes.
    """

    seq: int
    number: int
    keys: Mapping[str, str]
    weights: Mapping[str, int]
    needed: int


class Proposal(NamedTuple):
    """A proposal, as it is stored."""

    seq: int
    stored_s: float
    peer: str
    task: str
    attempt: int
    effects: tuple[bytes, ...] = ()
    dead: bool = False


class Vote(NamedTuple):
    """A vote, as it is stored."""

    seq: int
    stored_s: float
    peer: str
    task: str
    attempt: int
    epoch: int
    proposal: int
    verdict: str
    signature: bytes = b""


class Close(NamedTuple):
    """A close, as it is stored."""

    seq: int
    stored_s: float
    peer: str
    task: str
    attempt: int
    proposal: int


class Ruling(NamedTuple):
    """A proposal that counts, and what became of it.

    Attributes:
        outcome: ``approve``, ``reject`` or ``abort``; empty while it is open.
        at, at_s: Where and when it was decided; 0 while it is open.
        yes: Whose yes counted, up to there.
        votes: How many votes counted.
    """

    proposal: Proposal
    epoch: Epoch
    outcome: str = ""
    at: int = 0
    at_s: float = 0.0
    yes: tuple[str, ...] = ()
    votes: int = 0

    @property
    def is_final(self) -> bool:
        """Whether its task is settled by it."""
        return bool(self.outcome) and (self.outcome != "abort" or self.proposal.attempt == ATTEMPTS)


class Log(NamedTuple):
    """A log that was read back, each kind of record in the order of its places.

    Attributes:
        tasks: Where each task is first said to be.
    """

    epochs: Sequence[Epoch]
    tasks: Mapping[str, int]
    proposals: Sequence[Proposal]
    votes: Sequence[Vote]
    closes: Sequence[Close]


def needed(rule: str, weights: Sequence[int]) -> int:
    """The least weight of yes that a rule asks for: above its share of all, as each is defined."""
    all_ = sum(weights) if rule == "weighted" else len(weights)
    if rule == "all":
        return all_
    share = (2, 3) if rule == "two-thirds" else (1, 2)
    return next(yes for yes in range(1, all_ + 1) if yes * share[1] > all_ * share[0])


def chained(epochs: Iterable[Epoch]) -> list[Epoch]:
    """The epochs that count: each has the number after the one before."""
    found: list[Epoch] = []
    for epoch in epochs:
        if not found or epoch.number == found[-1].number + 1:
            found.append(epoch)
    return found


Signed = Callable[[str, Vote], bool]
"""Whether the holder of a key has signed a vote."""


def signed_for(swarm: str) -> Signed:
    """Whether a vote was signed for the log of this swarm."""

    def is_signed(key: str, vote: Vote) -> bool:
        said = statement(
            swarm,
            epoch=vote.epoch,
            proposal=vote.proposal,
            task=vote.task,
            attempt=vote.attempt,
            verdict=vote.verdict,  # type: ignore[arg-type]
        )
        return verify(key, said, vote.signature)

    return is_signed


def rulings(log: Log, *, deadline_s: float, is_signed: Signed) -> dict[str, list[Ruling]]:
    """What became of the proposals of each task, attempt by attempt."""
    epochs = chained(log.epochs)
    begins = [epoch.seq for epoch in epochs]

    def in_force(seq: int) -> Epoch | None:
        place = bisect.bisect_left(begins, seq)
        return epochs[place - 1] if place else None

    about: dict[int, list[Vote | Close]] = defaultdict(list)
    for vote in log.votes:
        about[vote.proposal].append(vote)
    for close in log.closes:
        about[close.proposal].append(close)
    made: dict[str, list[Proposal]] = defaultdict(list)
    for proposal in log.proposals:
        made[proposal.task].append(proposal)
    found: dict[str, list[Ruling]] = {task: [] for task in log.tasks}
    for task, begun in log.tasks.items():
        free_from = begun  # behind it the task waits for its next attempt
        for proposal in made[task]:
            of = found[task]
            epoch = in_force(proposal.seq)
            if proposal.attempt != len(of) + 1 or proposal.seq <= free_from or epoch is None:
                continue
            if proposal.peer not in epoch.keys or (of and (of[-1].is_final or not of[-1].outcome)):
                continue
            records = sorted(about[proposal.seq], key=lambda record: record.seq)
            same = [r for r in records if (r.task, r.attempt) == (task, proposal.attempt)]
            ruled = _ruled(proposal, epoch, same, epochs, is_signed=is_signed, deadline_s=deadline_s)
            of.append(ruled)
            free_from = ruled.at
    return found


def _ruled(
    proposal: Proposal,
    epoch: Epoch,
    records: Sequence[Vote | Close],
    epochs: Sequence[Epoch],
    *,
    is_signed: Signed,
    deadline_s: float,
) -> Ruling:
    """What became of one proposal by the votes and closes that name it."""
    verdicts: dict[str, str] = {}
    for record in records:
        if record.seq <= proposal.seq:
            continue
        if isinstance(record, Close):
            newest = max((e for e in epochs if e.seq < record.seq), key=lambda e: e.seq)
            over = record.stored_s >= proposal.stored_s + deadline_s or newest.number > epoch.number
            if record.peer in newest.keys and over:
                return _closed(proposal, epoch, verdicts, record)
            continue
        if record.peer not in epoch.keys or record.peer in verdicts or record.epoch != epoch.number:
            continue
        if not is_signed(epoch.keys[record.peer], record):
            continue
        verdicts[record.peer] = record.verdict
        yes = tuple(peer for peer, verdict in verdicts.items() if verdict == "yes")
        for_it = sum(epoch.weights[peer] for peer in yes)
        lost = sum(epoch.weights[peer] for peer, verdict in verdicts.items() if verdict != "yes")
        if for_it >= epoch.needed:
            return Ruling(proposal, epoch, "approve", record.seq, record.stored_s, yes, len(verdicts))
        if sum(epoch.weights.values()) - lost < epoch.needed:
            return Ruling(proposal, epoch, "reject", record.seq, record.stored_s, yes, len(verdicts))
    yes = tuple(peer for peer, verdict in verdicts.items() if verdict == "yes")
    return Ruling(proposal, epoch, yes=yes, votes=len(verdicts))


def _closed(proposal: Proposal, epoch: Epoch, verdicts: Mapping[str, str], close: Close) -> Ruling:
    yes = tuple(peer for peer, verdict in verdicts.items() if verdict == "yes")
    return Ruling(proposal, epoch, "abort", close.seq, close.stored_s, yes, len(verdicts))
