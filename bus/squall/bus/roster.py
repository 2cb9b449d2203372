"""Roster: who votes, by epochs that are records of the very log that they govern.

    newest epoch ──a change of one member──► the next ──written behind the newest, or not at all──► in force

An epoch is in force from its place on until that of the next, for everything that is stored between, so
whoever reads the log knows without asking who counted for what. There are as many writers as there like to
be: each writes behind the epoch that it has read, and of two that have read the same the broker takes one.
Members change one at a time, so that a majority of one epoch and one of the next have a member in common.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from squall.bus import log
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection
from squall.bus.errors import RequestError, RosterError
from squall.bus.jetstream import WRONG_LAST_SEQUENCE, Outcome, publish
from squall.bus.vote_messages import MEMBERS_MAX, EpochRecord, Member, Rule
from squall.bus.vote_subjects import VoteSubjects

WRITE_S = 5.0
"""How long one epoch is tried; then it is read whether it is there."""

TRIES = 10
"""How often a change is tried, where others are ahead or nobody knows whether it was made."""


class InForce(msgspec.Struct, frozen=True):
    """The newest epoch.

    Attributes:
        record: What it says.
        sequence: Its place in the log.
    """

    record: EpochRecord
    sequence: int


# Changes: from the epoch in force to the one that should be. Pure.

Change = Callable[[EpochRecord | None], EpochRecord]
"""Given the epoch in force, or None, returns the one that should be: that one itself if nothing is to change.

Raises `RosterError` where it cannot be.
"""


def founding(members: Iterable[Member], rule: Rule) -> Change:
    """The first epoch, unless there is one."""
    given = tuple(sorted(members, key=lambda member: member.name))

    def change(now: EpochRecord | None) -> EpochRecord:
        return now or _checked(EpochRecord(epoch=1, members=given, rule=rule))

    return change


def joining(member: Member) -> Change:
    """One member more, or another key or weight of one that is there."""

    def change(now: EpochRecord | None) -> EpochRecord:
        if now is None:
            raise RosterError("there is no roster to join")
        if now.member(member.name) == member:
            return now
        others = (other for other in now.members if other.name != member.name)
        return _after(now, [*others, member])

    return change


def leaving(name: str) -> Change:
    """One member less."""

    def change(now: EpochRecord | None) -> EpochRecord:
        if now is None:
            raise RosterError("there is no roster to leave")
        if now.member(name) is None:
            return now
        return _after(now, [member for member in now.members if member.name != name])

    return change


def follows(before: EpochRecord, after: EpochRecord) -> bool:
    """Whether an epoch may be the next after another: the next number, the same rule, one member changed."""
    names = {member.name for member in (*before.members, *after.members)}
    changed = [name for name in names if before.member(name) != after.member(name)]
    return after.epoch == before.epoch + 1 and after.rule == before.rule and len(changed) == 1


def _after(now: EpochRecord, members: Iterable[Member]) -> EpochRecord:
    ordered = tuple(sorted(members, key=lambda member: member.name))
    return _checked(EpochRecord(epoch=now.epoch + 1, members=ordered, rule=now.rule))


def _checked(record: EpochRecord) -> EpochRecord:
    if not 1 <= len(record.members) <= MEMBERS_MAX:
        raise RosterError(f"a roster has 1 to {MEMBERS_MAX} members, and not {len(record.members)}")
    return record


# Reading and writing.


async def newest(connection: Connection, swarm: VoteSubjects) -> InForce | None:
    """The epoch in force, from the leader of the log; None before the first.

    Raises:
        RequestError: No answer.
        DecodeError: What is there is no epoch.
    """
    stored = await log.last(connection, swarm.stream, swarm.epochs)
    return None if stored is None else InForce(decode(stored.data, EpochRecord), stored.sequence)


async def change(
    connection: Connection,
    swarm: VoteSubjects,
    wanted: Change,
    *,
    asked: Callable[[Coroutine[Any, Any, Outcome]], Awaitable[Outcome]] | None = None,
) -> InForce:
    """Have a change be in force, whoever makes it; the epoch in which it is.

    Whether an epoch was written is read and not believed, so that a call of unknown outcome may be repeated.

    Args:
        asked: Given the writing of an epoch; returns what it returns.

    Raises:
        RosterError: It cannot be.
        RequestError: It is not known whether it is.
    """
    for _ in range(TRIES):
        now = await newest(connection, swarm)
        then = wanted(now.record if now else None)
        if now is not None and then == now.record:
            return now
        if now is not None and not follows(now.record, then):
            raise RosterError(f"epoch {then.epoch} is more than one change away from {now.record.epoch}")
        writing = publish(
            connection,
            swarm.epochs,
            encode(replace(then, write=secrets.token_hex(8))),
            timeout_s=WRITE_S,
            headers={"Nats-Expected-Last-Subject-Sequence": str(now.sequence if now else 0)},
        )
        outcome = await (asked(writing) if asked else writing)
        if outcome.kind == "refused" and outcome.code != WRONG_LAST_SEQUENCE:
            raise RequestError(swarm.epochs, f"the epoch is not stored: {outcome.reason}")
    raise RequestError(swarm.epochs, "the epoch could not be written: others were always ahead")
