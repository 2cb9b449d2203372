"""How much of a log of votes is kept for what is open, so that it can always be decided. Pure.

    0 ─────────────── trimmed from here ────────── no task more from here ──────── bound
    │ what is over, and what is not                │ what open tasks still need │ spare │
                                                     ingress, full of tasks       epochs, trims

A task is open while it stands in the ingress, and each that stands there writes no more than `need_bytes` to
the log, beside its own input. So the ingress is given no room unless the log has some for all that it may
hold: whatever was let in can be decided, after which it is over, and is trimmed.
"""

from __future__ import annotations

from squall.services.rules.voting import ATTEMPTS

OPEN_SHARE = 3 / 8
"""Of the log, what open tasks may need. Higher lets more be open; lower keeps more of what is over."""

INPUT_SHARE = 1 / 16
"""Of the log, what the inputs of open tasks may take, which have a bound of their own in the ingress."""

SPARE_SHARE = 1 / 16
"""Of the log, what neither is over nor belongs to an open task: epochs, what says that something is over, and
what came too late to count."""

EACH_BYTES = 1400
"""What one peer writes at most about one attempt beside a result: a proposal, a vote, a close and what it saw
decided, with subjects, headers and what the broker adds."""


def need_bytes(peers: int, result_bytes: int) -> int:
    """What a task writes to the log beside its input, if every peer says all it may.

    Args:
        result_bytes: What a handler may return.
    """
    return ATTEMPTS * peers * (EACH_BYTES + result_bytes)


def open_max(log_bytes: int, peers: int, result_bytes: int) -> int:
    """How many tasks may be open at a time, at least one.

    Args:
        log_bytes: The bound of the log.
        peers: How many there are when they are most.
        result_bytes: What a handler may return.
    """
    return max(1, int(log_bytes * OPEN_SHARE) // need_bytes(peers, result_bytes))


def input_bytes_max(log_bytes: int) -> int:
    """What the inputs of all that is open may take."""
    return int(log_bytes * INPUT_SHARE)


def has_room(fullness: float) -> bool:
    """Whether the log has room for all that may be open at a time.

    Args:
        fullness: The share of its bound that it has.
    """
    return fullness <= 1 - OPEN_SHARE - INPUT_SHARE - SPARE_SHARE


def too_large(size: int, result_bytes: int) -> str:
    """Why a result of a size cannot be proposed; empty if it can."""
    if size <= result_bytes:
        return ""
    return (
        f"the result is too large: {size:,} bytes, and there may be {result_bytes:,}; "
        "raise result_bytes_max in swarm.toml"
    )
