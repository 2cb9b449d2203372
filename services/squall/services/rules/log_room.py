"""How much of a log of votes is kept for what is open, so that it can always be decided. Pure.

    0 ─────────────── trimmed from here ────────── no task more from here ──────── bound
    │ what is over, and what is not                │ what open tasks still need │ spare │
                                                     ingress, full of tasks       epochs, trims

A task is open while it stands in the ingress, and each that stands there writes no more than `need_bytes` to
the log. So the ingress is given no room unless the log has some for all that it may hold: whatever was let in
can be decided, after which it is over, and is trimmed.
"""

from __future__ import annotations

from squall.services.rules.voting import ATTEMPTS

OPEN_SHARE = 3 / 8
"""Of the log, what open tasks may need. Higher lets more be open; lower keeps more of what is over."""

SPARE_SHARE = 1 / 16
"""Of the log, what neither is over nor belongs to an open task: epochs, what says that something is over, and
what came too late to count."""

EACH_BYTES = 1600
"""What one peer writes at most about one attempt: a proposal with a small effect, a vote, a close and what it
saw decided, with subjects, headers and what the broker adds."""

TASK_BYTES = 512
"""A task with a small input."""


def need_bytes(peers: int) -> int:
    """What a task with a small input and small effects writes to the log, if every peer says all it may."""
    return TASK_BYTES + ATTEMPTS * peers * EACH_BYTES


def open_max(log_bytes: int, peers: int) -> int:
    """How many tasks may be open at a time, at least one.

    Args:
        log_bytes: The bound of the log.
        peers: How many there are when they are most.
    """
    return max(1, int(log_bytes * OPEN_SHARE) // need_bytes(peers))


def has_room(fullness: float) -> bool:
    """Whether the log has room for all that may be open at a time.

    Args:
        fullness: The share of its bound that it has.
    """
    return fullness <= 1 - OPEN_SHARE - SPARE_SHARE
