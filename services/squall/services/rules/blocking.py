"""When a handler that holds up its agent's loop is wrong to do so. Pure.

A loop that stands still takes no tasks, renews nothing and answers nobody. Once is forgiven each agent: what
is imported or loaded at the first call takes long, and only then.
"""

from __future__ import annotations

HELD_S = 0.5
"""For how long, to count at all: an agent says five times as often that it is alive."""

HELD_TIMES = 2
"""How often, by one start of an agent at one place."""

STUCK_S = 5.0
"""For how long, that once is enough."""


def is_blocking(times: int, longest_s: float) -> bool:
    """Whether a handler was wrong to hold up its agent so often at one place, and for so long at most."""
    return longest_s >= STUCK_S or (longest_s >= HELD_S and times >= HELD_TIMES)


def blocking(handler: str, times: int, longest_s: float, line: str) -> str:
    """What it did, in words, beginning with its name."""
    often = f"{times:,} times" if times > 1 else "once"
    return f"{handler} held up its agents {often}, for {longest_s:.2f} s at most, at {line}"


ADVICE = "make it a plain function, or await what takes long"
