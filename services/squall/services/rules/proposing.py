"""Who proposes: each peer decides it for itself, and the log takes the first. Pure.

    key, members of the epoch ──rendezvous──► an order of members
                                   │
       suspects are passed over ───┤
       each deadline that passed without a proposal: one more may ───► may I?

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


def may_propose(
    me: str,
    ranked: tuple[str, ...],
    suspects: Collection[str],
    *,
    waited_s: float,
    deadline_s: float,
    open_: int,
    open_max: int = OPEN_MAX,
) -> bool:
    """Whether it is on a peer to propose a task that has no open proposal.

    Args:
        ranked: The members of the epoch in force, in the order for the task's key.
        suspects: Whom this peer takes for failed; itself never.
        waited_s: For how long it has seen the task without an open proposal.
        deadline_s: After so long without one, one more may propose: a peer that seems to be well, and
            proposes nothing, holds nothing up.
        open_: Open proposals of this peer.
    """
    if open_ >= open_max or me not in ranked:
        return False
    well = [member for member in ranked if member == me or member not in suspects]
    return well.index(me) <= int(waited_s / deadline_s)
