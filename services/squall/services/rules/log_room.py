"""How much of a log of votes is kept for what is open, so that it can always be decided. Pure.

    0 ──── trimmed from here ── no task more from here ─────────────────────────── bound
    │ what is over, or is not  │ what open tasks still need │ large │ inputs │ spare │
                                 ingress, full of tasks                      epochs, trims

A task is open while it stands in the ingress, and each that stands there writes no more than `need_bytes` to
the log, beside its input and large results. So the ingress is given no room unless the log has some for all
that it may hold: whatever was let in can be decided, after which it is over, and is trimmed.

Large results are few or many, and nobody knows beforehand. All who read the log know what large proposals
it has, so none is made while these fill their part. The oldest task that is not decided has some beyond that:
all before it is decided, ends without another word, and is trimmed, so sooner or later there is room for it.
"""

from __future__ import annotations

from collections import deque

from squall.services.rules.voting import ATTEMPTS

OPEN_SHARE = 1 / 8
"""Of the log, what open tasks may need. Higher lets more be open; lower keeps more of what is over."""

LARGE_SHARE = 1 / 8
"""Of the log, what large proposals may take, those that are over and not trimmed included."""

OLDEST_SHARE = 1 / 16
"""Of the log, what the large proposals of tasks may take that are the oldest in their turn."""

INPUT_SHARE = 1 / 16
"""Of the log, what the inputs of open tasks may take, which have a bound of their own in the ingress."""

SPARE_SHARE = 1 / 16
"""Of the log, what neither is over nor belongs to an open task: epochs, what says that something is over, and
what came too late to count."""

EACH_BYTES = 1600
"""What one peer writes at most about one attempt: a proposal with a small effect, a vote, a close and what it
saw decided, with subjects, headers and what the broker adds."""

SMALL_BYTES = 512
"""A proposal up to here is none of the large ones."""


def need_bytes(peers: int) -> int:
    """What a task writes to the log beside its input, if every peer says all it may in small proposals."""
    return ATTEMPTS * peers * EACH_BYTES


def open_max(log_bytes: int, peers: int) -> int:
    """How many tasks may be open at a time, at least one.

    Args:
        log_bytes: The bound of the log.
        peers: How many there are when they are most.
    """
    return max(1, int(log_bytes * OPEN_SHARE) // need_bytes(peers))


def input_bytes_max(log_bytes: int) -> int:
    """What the inputs of all that is open may take."""
    return int(log_bytes * INPUT_SHARE)


def has_room(fullness: float) -> bool:
    """Whether the log has room for all that may be open at a time.

    All of it together is less than half of the log. So when all that is over was trimmed there is room.

    Args:
        fullness: The share of its bound that it has.
    """
    return fullness <= 1 - OPEN_SHARE - LARGE_SHARE - OLDEST_SHARE - INPUT_SHARE - SPARE_SHARE


class LargeProposals:
    """Those that the log has, as one reads it."""

    def __init__(self) -> None:
        self._places: deque[tuple[int, int]] = deque()
        self._bytes = 0

    def add(self, sequence: int, size: int) -> None:
        """A proposal stands at a place of the log."""
        if size > SMALL_BYTES:
            self._places.append((sequence, size))
            self._bytes += size

    def trim(self, below: int) -> None:
        """What stands before a place is removed."""
        while self._places and self._places[0][0] < below:
            self._bytes -= self._places.popleft()[1]

    def has_room(self, size: int, log_bytes: int, *, is_oldest: bool) -> bool:
        """Whether one more may be proposed.

        Args:
            log_bytes: The bound of the log.
            is_oldest: Whether all tasks before its own are decided.
        """
        share = LARGE_SHARE + (OLDEST_SHARE if is_oldest else 0)
        return size <= SMALL_BYTES or self._bytes + size <= share * log_bytes
