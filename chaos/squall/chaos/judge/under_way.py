"""Which attempts an agent had under way when, as far as is on record. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from squall.bus.attempts import DEATHS_TOGETHER
from squall.chaos.evidence.lives import Start
from squall.chaos.evidence.model import Execution, History

TURN_S = 0.1
"""What may lie between the end of an attempt and the beginning of one that waited for it: the first is
acknowledged before, and the second is counted. Higher takes more for one wait."""


class Attempt(NamedTuple):
    """When it was begun, when it or else its task had ended, and which attempt at the task it was."""

    begun_s: float
    ended_s: float
    number: int


def attempts(history: History) -> Mapping[Start, list[Attempt]]:
    """What each start of an agent began, in order, and when that ended.

    Of one that nobody told of as ended, that is when its task had, whoever ended it; a task may end before a
    second attempt at it does, or even before that begins.
    """
    ends = {register.task: register.stored_s for register in history.registers}
    found: Mapping[Start, list[Attempt]] = defaultdict(list)
    for task, runs in history.executions.items():
        for run in runs:
            ended_s = run.ended_s or ends.get(task, float("inf"))
            found[run.node, run.incarnation].append(Attempt(run.time_s, ended_s, run.attempt))
    for mine in found.values():
        mine.sort()
    return found


def alone_after(history: History) -> int:
    """After so many attempts the next may run alone, as its task was there when workers died."""
    return min(DEATHS_TOGETHER, max(1, (history.asked.attempts or 1) - 1))


def waited_since_s(history: History, mine: Sequence[Attempt], run: Execution) -> float:
    """From when on an attempt can have waited in its agent: while one runs alone, or is to, no other begins.

    Args:
        mine: What its start of the agent began, in order.

    Returns:
        When it was begun, where none of those before it had to run alone.
    """
    alone, since_s, is_one_alone = alone_after(history), run.time_s, run.attempt > alone_after(history)
    waited_s = since_s
    for each in reversed([each for each in mine if each.begun_s < run.time_s]):
        if each.ended_s + TURN_S < since_s:
            continue
        since_s = min(since_s, each.begun_s)
        is_one_alone = is_one_alone or each.number > alone
        if is_one_alone:
            waited_s = since_s
    return waited_s
