"""Who proposes: each peer decides it for itself, and the log takes the first. Pure.

    key, members of the epoch ──rendezvous──► an order of members
                                   │
        suspects are passed over ──┴──► a turn: after so many deadlines without a proposal, I make one

Two that propose the same task do no harm: the log counts the first. So a peer that takes another for dead, or
was taken for dead itself, costs a record and nothing else.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection

OPEN_MAX = 16
"""Proposals of one peer that may be open at a time. Higher feeds fast voters; lower bounds what waits for
slow ones, whose votes must come within the deadline."""


@functools.lru_cache(maxsize=65_536)
def ranking(key: str, members: tuple[str, ...]) -> tuple[str, ...]:
    """The members in the order in which they are to propose what belongs to a key.

    One that joins or leaves moves no key between two others.

    Source: rendezvous hashing (Thaler, Ravishankar, 1998).
    """
    return tuple(sorted(members, key=lambda member: (_score(key, member), member), reverse=True))


def _score(key: str, member: str) -> bytes:
    return hashlib.blake2b(f"{key}\0{member}".encode(), digest_size=8).digest()


def turn(me: str, ranked: tuple[str, ...], suspects: Collection[str]) -> int | None:
    """How many deadlines without a proposal a peer waits before it makes one; None if it makes none.

    Args:
        ranked: The members of the epoch in force, in the order for the task's key.
        suspects: Whom this peer does not take to be there; itself it always does.
    """
    if me not in ranked:
        return None
    return [member for member in ranked if member == me or member not in suspects].index(me)
