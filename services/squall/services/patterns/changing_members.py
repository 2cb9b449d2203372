"""Members that come and go while `squall run` is at work, when its file says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from squall.services.patterns.pattern import AGENT
from squall.services.run.progress import Notice

if TYPE_CHECKING:
    from squall.services.run.swarm import Swarm


class Change(NamedTuple):
    """One more, or one less, so long after the load begins."""

    at_s: float
    what: Literal["join", "leave"]


def changes(joins_at_s: Iterable[float], leaves_at_s: Iterable[float]) -> Sequence[Change]:
    """What a file asks for, in order of time. Pure."""
    joins = [Change(at_s, "join") for at_s in joins_at_s]
    return sorted([*joins, *(Change(at_s, "leave") for at_s in leaves_at_s)])


def fewest(first: int, asked: Sequence[Change]) -> int:
    """How many members there are when they are the fewest. Pure.

    Args:
        first: How many begin.
    """
    there = least = first
    for change in asked:
        there += 1 if change.what == "join" else -1
        least = min(least, there)
    return least


async def change_members(swarm: Swarm, asked: Sequence[Change]) -> None:
    """Have members join and leave when the file says so; the newest leaves first.

    Raises:
        LaunchError: One does not come to be a member, or to be none.
    """
    begun_s = time.monotonic()
    for change in asked:
        await asyncio.sleep(max(0.0, begun_s + change.at_s - time.monotonic()))
        if change.what == "join":
            peer = await swarm.add(AGENT)
            swarm.tell(Notice(f"{peer} has joined"))
        else:
            peer = swarm.of_role(AGENT)[-1]
            await swarm.remove(peer)
            swarm.tell(Notice(f"{peer} has left"))
