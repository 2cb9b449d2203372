"""Lanes of a work queue: which consumer has which, and the steps in which they change hands. Pure.

    route (who should have them) ─┐
    consumers (who has them) ─────┴─► steps ─► done, look again ─► … ─► nothing to do: settled

    a lane moves:  shrink its source ─► drained ─► make its destination anew ─► nothing left at the source

A lane belongs to the consumer that has it in its filters. The broker refuses two consumers of a work queue
whose filters overlap, so a lane never has two owners, whoever asks for what. Between shrink and grow it has
none. What is in flight of it at the source is waited for, so that nobody else is given the same message; in a
fast move it is not, and then the registers suppress what is done twice.

All that a move has to remember stands with the consumers: their filters, and in their metadata the epoch of
the route and the lanes that they gave up. So whoever looks can go on, wherever its predecessor ended.

Two things of the broker shape the steps. A consumer whose filters are taken away altogether is delivered
everything, whatever others have; so one without a lane keeps a filter that no message matches. And a consumer
that is given a filter is never delivered what lies before the place up to which it has looked already; so one
that grows is removed and made again. What it holds then comes again, to the same owner.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from squall.bus.border import check_name
from squall.bus.messages import Count, Message
from squall.bus.subjects import LANES

Lanes = frozenset[str]

ALL: Lanes = frozenset(map(str, range(LANES)))
NONE: Lanes = frozenset()

Name = Annotated[str, Meta(min_length=1, max_length=40)]


@dataclass(frozen=True, kw_only=True)
class LaneQueue:
    """A work queue whose consumers each have some of its lanes.

    Attributes:
        stream: The stream in which tasks wait.
        tasks: The subjects of the tasks of a lane, given its token.
        config: What its consumers have in common, as JetStream takes it: without names and filters.
        paused_until_s: Until when one that is made now is to deliver nothing, in seconds since the epoch; 0
            for not at all.
    """

    stream: str
    tasks: Callable[[str], str]
    config: Mapping[str, Any] = field(hash=False)
    paused_until_s: Callable[[], float] = field(default=lambda: 0.0, compare=False)

    def filters(self, consumer: str, lanes: Collection[str]) -> list[str]:
        """The filters of a consumer with these lanes; never none, for that would be all."""
        return [self.tasks(lane) for lane in sorted(lanes, key=int)] or [self.tasks(f"none-{consumer}")]

    def lanes(self, filters: Collection[str]) -> frozenset[str]:
        """The lanes that such filters have; all where there is no filter."""
        if not filters:
            return ALL
        return frozenset(self._by_filter[one] for one in filters if one in self._by_filter)

    @functools.cached_property
    def _by_filter(self) -> dict[str, str]:
        return {self.tasks(lane): lane for lane in ALL}


class Route(Message, frozen=True, kw_only=True, tag="route"):
    """Who should have which lane, from one epoch to the next.

    Attributes:
        epoch: Its number, from 1.
        owners: The consumer that should have each lane, from lane 0 on.
        fast: Do not wait for what is in flight where a lane is taken from: for going back in haste.
    """

    epoch: Count
    owners: Annotated[tuple[Name, ...], Meta(min_length=LANES, max_length=LANES)]
    fast: bool = False

    def __post_init__(self) -> None:
        for name in {*self.owners}:
            check_name(name, "consumer")

    def wanted(self) -> dict[str, Lanes]:
        """The lanes that each consumer should have."""
        lanes: dict[str, set[str]] = {}
        for lane, owner in enumerate(self.owners):
            lanes.setdefault(owner, set()).add(str(lane))
        return {owner: frozenset(owned) for owner, owned in lanes.items()}

    def moves(self, after: Route) -> int:
        """How many lanes another route gives to somebody else."""
        return sum(mine != theirs for mine, theirs in zip(self.owners, after.owners, strict=True))


def spread(members: Collection[str]) -> tuple[str, ...]:
    """An owner for each lane. One that joins or leaves moves no lane between two others.

    Args:
        members: At least one.

    Source: rendezvous hashing (Thaler, Ravishankar, 1998).
    """
    return _spread(tuple(sorted(members)))


@functools.lru_cache(maxsize=64)
def _spread(members: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(max(members, key=lambda member: _score(lane, member)) for lane in range(LANES))


def _score(lane: int, member: str) -> bytes:
    return hashlib.blake2b(f"{lane}\0{member}".encode(), digest_size=8).digest()


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer of lanes, as the broker tells of it.

    Attributes:
        lanes: Those in its filters; all of them where it has no filter at all.
        epoch: Of the route by which it was last changed; 0 is none.
        left: Lanes that it gave up and may still hold messages of.
        delivered: The highest place of the stream that it has delivered.
        floor: All that it delivered up to there is acknowledged.
        pending: How many messages it has delivered that are not acknowledged.
    """

    name: str
    lanes: Lanes = NONE
    epoch: int = 0
    left: Lanes = NONE
    delivered: int = 0
    floor: int = 0
    pending: int = 0


class Shrink(msgspec.Struct, frozen=True, kw_only=True):
    """Leave a consumer some of the lanes that it has, and note which it may still hold messages of."""

    name: str
    lanes: Lanes
    left: Lanes = NONE


class Clear(msgspec.Struct, frozen=True, kw_only=True):
    """Note with a consumer, which keeps its lanes, of which others it may still hold messages: of fewer."""

    name: str
    lanes: Lanes
    left: Lanes = NONE


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """Note with a consumer by which route it has the lanes that it has."""

    name: str
    lanes: Lanes


class Make(msgspec.Struct, frozen=True, kw_only=True):
    """Make a consumer with these lanes, anew where it is there already."""

    name: str
    lanes: Lanes


class Remove(msgspec.Struct, frozen=True, kw_only=True):
    """Remove a consumer that has no lane any more, nor holds a message of one."""

    name: str


Step = Shrink | Clear | Stamp | Make | Remove


def steps(route: Route, holders: Iterable[Holder], drained: Collection[str] = ()) -> list[Step]:
    """What to do now, so that lanes come to where they should be; nothing once they are, or while one waits.

    Steps of one call do not depend on each other. After them, look again.

    Args:
        drained: Consumers that hold nothing any more of what they gave up, or are not waited for.
    """
    wanted = route.wanted()
    found = {holder.name: holder for holder in holders}
    given_up = {name: _left(route, holder, wanted, drained) for name, holder in found.items()}
    held = frozenset[str]().union(*(holder.lanes for holder in found.values()))
    free = ALL - held - frozenset[str]().union(*given_up.values())

    todo: list[Step] = []
    for name, holder in sorted(found.items()):
        keeps = holder.lanes & wanted.get(name, NONE)
        if name not in wanted and not keeps and not holder.lanes and not given_up[name]:
            todo.append(Remove(name=name))
        elif keeps != holder.lanes or given_up[name] - holder.left:
            todo.append(Shrink(name=name, lanes=keeps, left=given_up[name]))
        elif given_up[name] != holder.left:
            todo.append(Clear(name=name, lanes=keeps, left=given_up[name]))
        elif keeps == wanted.get(name) and not given_up[name] and holder.epoch != route.epoch:
            todo.append(Stamp(name=name, lanes=keeps))
    changing = {step.name for step in todo}
    for name, lanes in sorted(wanted.items()):
        has = found.get(name, Holder(name=name)).lanes
        # One that is made anew forgets what it holds, also of lanes that it gave up.
        waits = name in changing or given_up.get(name)
        if lanes - has and not waits and lanes - has <= free:
            todo.append(Make(name=name, lanes=lanes))
    return todo


def _left(route: Route, holder: Holder, wanted: Mapping[str, Lanes], drained: Collection[str]) -> Lanes:
    """The lanes of which nobody else may be given messages yet, since this one may hold some."""
    if route.fast:
        return NONE
    before = NONE if holder.name in drained else holder.left
    return (before | holder.lanes) - wanted.get(holder.name, NONE)


def is_settled(route: Route, holders: Iterable[Holder]) -> bool:
    """Whether everybody has what the route says, nobody more, and nothing is waited for."""
    found = {holder.name: holder for holder in holders}
    return {name: holder.lanes for name, holder in found.items()} == route.wanted() and all(
        holder.epoch == route.epoch and not holder.left for holder in found.values()
    )


class Drains:
    """Which consumers hold nothing any more of the lanes that they gave up, by what they were seen to hold.

    Args:
        patience_s: How long one is waited for. Longer means fewer messages that two work on at a time, and
            longer without an owner where one has died.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: dict[str, tuple[Lanes, int, float]] = {}

    def observe(self, holders: Iterable[Holder], now_s: float) -> set[str]:
        """Take in how far they are; those that are drained, or have been waited for long enough."""
        drained: set[str] = set()
        waited: dict[str, tuple[Lanes, int, float]] = {}
        for holder in holders:
            if not holder.left:
                continue
            # What it delivered before it gave up the lanes lies at or below what it has delivered now.
            lanes, upto, since_s = self._since.get(holder.name, (NONE, 0, now_s))
            if not holder.left <= lanes:
                upto, since_s = holder.delivered, now_s
            waited[holder.name] = (holder.left, upto, since_s)
            if holder.floor >= upto or not holder.pending or now_s - since_s >= self._patience_s:
                drained.add(holder.name)
        self._since = waited
        return drained
