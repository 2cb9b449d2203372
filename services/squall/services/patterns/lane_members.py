"""Who may have lanes: the newest record says so, whoever has them just now.

    launcher ──the next record, or nothing if somebody wrote one meanwhile──► broker ──► router: lanes move

Until somebody has joined or left there is no record: then they are those that the swarm began with. Who is
none any more keeps lanes until they have moved; so one that leaves waits for that before it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta

from squall.bus import log
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection
from squall.bus.errors import RejectedError, RequestError
from squall.bus.jetstream import CONSUMER_NOT_FOUND, WRONG_LAST_SEQUENCE, call, publish
from squall.bus.lanes import Name, spread
from squall.bus.messages import Count, Message
from squall.services.errors import LaunchError

if TYPE_CHECKING:
    from squall.services.run.swarm import Swarm

NAMES_MAX = 4096

WRITE_S = 5.0
"""How long one record is tried; then it is read whether it is there."""

MOVED_S = 60.0
"""How long lanes may take to come to who joins, or to go from who leaves: a router may be on its way back."""

LOOK_S = 0.1


class Members(Message, frozen=True, kw_only=True, tag="lane-members"):
    """Those that may have lanes, from one epoch to the next.

    Attributes:
        epoch: Its number, from 1.
        names: Theirs.
    """

    epoch: Count
    names: Annotated[tuple[Name, ...], Meta(max_length=NAMES_MAX)]


def changed(now: Members, name: str, *, member: bool) -> Members:
    """The record with one more, or one less; the same where nothing is to change. Pure."""
    others = [each for each in now.names if each != name]
    names = tuple(sorted([*others, name] if member else others, key=_number))
    return now if names == now.names else Members(epoch=now.epoch + 1, names=names)


def _number(name: str) -> int:
    return int(name.rsplit("-", 1)[1])


class Place(NamedTuple):
    """Where the record is kept."""

    stream: str
    subject: str


async def newest(connection: Connection, at: Place, first: Sequence[str]) -> tuple[Members, int]:
    """The newest record and its place; without one those that the swarm began with, at place 0.

    Raises:
        RequestError: The broker did not answer.
    """
    record = await log.last(connection, at.stream, at.subject)
    if record is None:
        return Members(epoch=0, names=tuple(first)), 0
    return decode(record.data, Members), record.sequence


async def write(
    connection: Connection, at: Place, first: Sequence[str], name: str, *, member: bool
) -> Members:
    """Have the newest record say that somebody is a member, or is none; it. Done again, it changes nothing.

    Raises:
        RequestError: It is not known whether it does.
    """
    while True:
        now, place = await newest(connection, at, first)
        then = changed(now, name, member=member)
        if then is now:
            return now
        outcome = await publish(
            connection,
            at.subject,
            encode(then),
            timeout_s=WRITE_S,
            headers={"Nats-Expected-Last-Subject-Sequence": str(place)},
        )
        if outcome.kind == "unknown" or (outcome.kind == "refused" and outcome.code != WRONG_LAST_SEQUENCE):
            raise RequestError(at.subject, f"the record is not stored: {outcome.reason}")


async def lanes_came(swarm: Swarm, plane: str, there: Collection[str], name: str) -> None:
    """Wait until one has the lanes that it is to have, and a consumer with them.

    Args:
        there: All instances of its stage, itself among them.

    Raises:
        LaunchError: They did not come in time.
    """
    if name in spread(there):
        await _until(swarm, plane, name, there=True)


async def lanes_went(swarm: Swarm, plane: str, name: str) -> None:
    """Wait until one has no lane any more, and no consumer that could hold something of one.

    Raises:
        LaunchError: They did not go in time.
    """
    await _until(swarm, plane, name, there=False)


async def _until(swarm: Swarm, plane: str, name: str, *, there: bool) -> None:
    stream = swarm.swarm.stream(plane)
    try:
        async with asyncio.timeout(MOVED_S):
            while True:
                with contextlib.suppress(RequestError):
                    if await _has_consumer(swarm.observer, stream, name) == there:
                        return
                await asyncio.sleep(LOOK_S)
    except TimeoutError as error:
        moved = "come to" if there else "gone from"
        raise LaunchError(f"no lanes have {moved} {name} within {MOVED_S:g} s") from error


async def _has_consumer(connection: Connection, stream: str, name: str) -> bool:
    try:
        await call(connection, "CONSUMER", "INFO", stream, name)
    except RejectedError as error:
        if error.code != CONSUMER_NOT_FOUND:
            raise
        return False
    return True
