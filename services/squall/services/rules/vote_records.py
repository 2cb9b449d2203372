"""What stands in a log of votes, as the rules of voting take it: subjects and bytes in, records out. Pure.

Whose word a record is, and which task and attempt it is about, its subject says, which the broker guards.
"""

from __future__ import annotations

from typing import NamedTuple

from squall.bus.codec import decode
from squall.bus.errors import DecodeError
from squall.bus.messages import RunTask
from squall.bus.signing import statement, verify
from squall.bus.vote_messages import Close, Decide, EpochRecord, Propose, Trim, Vote
from squall.bus.vote_subjects import VoteSubjects, Written
from squall.services.rules.quorum import Quorum
from squall.services.rules.voting import (
    Closed,
    Decided,
    Epoch,
    Proposed,
    Record,
    Tasked,
    Trimmed,
    Unreadable,
    Verify,
    Voted,
)


class Entry(NamedTuple):
    """What a subject and its bytes come to.

    Attributes:
        record: As the rules take it.
        task: The task itself, where the record is one that can be read.
    """

    record: Record
    task: RunTask | None = None


def verifier(swarm: str) -> Verify:
    """Whether a vote was signed for this swarm's log by the holder of a key."""

    def is_signed(key: str, vote: Voted) -> bool:
        return verify(key, signed_by_voter(swarm, vote), vote.signature)

    return is_signed


def signed_by_voter(swarm: str, vote: Voted) -> bytes:
    """What the voter signs of a vote."""
    return statement(
        swarm,
        epoch=vote.epoch,
        proposal=vote.proposal,
        task=vote.task,
        attempt=vote.attempt,
        verdict=vote.verdict,
    )


def entry(subjects: VoteSubjects, subject: str, data: bytes) -> Entry:
    """Read a record. What cannot be read is one, too."""
    said = subjects.read(subject)
    if said is None:
        return Entry(Unreadable())
    if said.kind == "task":
        return Entry(Tasked(said.task, said.key), _task(said, data))
    try:
        return Entry(_record(said, data))
    except DecodeError:
        return Entry(Unreadable())


def _task(said: Written, data: bytes) -> RunTask | None:
    """The task, if it is the one that its subject names."""
    try:
        task = decode(data, RunTask)
    except DecodeError:
        return None
    return task if (task.task, task.key) == (said.task, said.key) else None


def _record(said: Written, data: bytes) -> Record:
    match said.kind:
        case "cfg":
            made = decode(data, EpochRecord)
            weights = {member.name: member.weight for member in made.members}
            keys = {member.name: member.key for member in made.members}
            return Epoch(made.epoch, keys, Quorum.of(made.rule, weights))
        case "trim":
            return Trimmed(decode(data, Trim).below)
        case "prop":
            return Proposed(said.peer, said.task, said.attempt, decode(data, Propose))
        case "vote":
            vote = decode(data, Vote)
            return Voted(
                said.peer,
                said.task,
                said.attempt,
                vote.epoch,
                vote.proposal,
                vote.verdict,
                vote.signature,
            )
        case "close":
            return Closed(said.peer, said.task, said.attempt, decode(data, Close).proposal)
        case "dec":
            told = decode(data, Decide)
            return Decided(
                said.peer,
                said.key,
                said.task,
                said.attempt,
                told.outcome,
                told.epoch,
                told.proposal,
                told.at,
            )
        case _:
            return Unreadable()
