"""How much of what waits at a stage that is left alone is ended unrun, and in which words. Pure.

Nothing is shed until more waits than may; then it is shed down to a lower mark, so that one task more does
not have every one that comes in shed another.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Policy = Literal["reject-new", "drop-oldest", "divert"]

LOW = 0.9
"""The lower mark, as a part of the higher. Higher keeps more, and sheds fewer at a time but oftener."""

BATCH_MAX = 500
"""Of one look. Higher gets down sooner, and leaves what else the shedder has to do waiting for longer."""

_REASON = re.compile(
    r"(shed|diverted): it was among the oldest of (\d+) that waited at stage (\d+), where (\d+) may"
)


class Shed(NamedTuple):
    """Why a task was shed: how many waited at which stage as it was looked, and how many may.

    Attributes:
        diverted: Whether a copy of it was set aside.
    """

    waiting: int
    stage: int
    mark: int
    diverted: bool = False


def low_mark(mark: int) -> int:
    """Down to how many is shed where more than ``mark`` wait."""
    return int(mark * LOW)


def excess(waiting: int, mark: int) -> int:
    """How many of the oldest are to be shed now.

    Args:
        waiting: How many there are, with those that are in hand.
        mark: How many may wait; 0 where any number may.
    """
    if not mark or waiting <= mark:
        return 0
    return min(waiting - low_mark(mark), BATCH_MAX)


def reason(shed: Shed) -> str:
    """Why it is dead, in one sentence."""
    waited = f"{shed.waiting} that waited at stage {shed.stage}"
    what = "diverted" if shed.diverted else "shed"
    return f"{what}: it was among the oldest of {waited}, where {shed.mark} may"


def read_reason(text: str) -> Shed | None:
    """What such a sentence says; None if it is another."""
    found = _REASON.fullmatch(text)
    if found is None:
        return None
    what, waiting, stage, mark = found.groups()
    return Shed(int(waiting), int(stage), int(mark), diverted=what == "diverted")
