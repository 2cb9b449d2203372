"""What must hold of tasks that are set aside before they are shed: a part of R8. Pure.

registers that say diverted ─┐
copies in the side stream ───┼─► one copy for each register, of its task, and no effect
lines of who sets aside ─────┴─► each other copy is of a task that ended otherwise, by what came in between
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import NamedTuple

from squall.chaos.evidence.facts import Count, Operation
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Operations
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.case import Case
from squall.chaos.judge.decide import named
from squall.services.rules.shedding import Shed


class Told(Operation, frozen=True, kw_only=True):
    """A task was shed, by the word of who did it; not ``ok`` where an earlier try may have been another's.

    ``fail``: it is set aside, and had ended otherwise or goes on.
    """

    task: str
    stage: Count


class Copied(Operation, frozen=True, kw_only=True):
    """A task is set aside, by the word of who did it; ``fail``: there was no room for any, from then on."""

    task: str = ""
    stage: Count
    term: Count = 0


class Aside(Operation, frozen=True, kw_only=True):
    """A copy, as it was in the side stream in the end, and of which task it is by what it holds."""

    task: str
    stage: Count
    of: str = ""


OPERATIONS: Operations = {"divert": Copied, "final/diverted": Aside}


class Found(NamedTuple):
    """What is wrong, what is missing, and what to say where nothing is."""

    shown: list[str]
    inferred: list[str]
    passed: str


_At = tuple[int, str]
"""A stage and a task."""


def diverting(case: Case, by_register: Mapping[str, Shed], *, diverts: bool) -> Found:
    """What is wrong with what was set aside.

    Args:
        by_register: The tasks whose registers say that they were shed.
        diverts: Whether each of them was to be set aside before.
    """
    history = case.history
    copies = Counter((copy.stage, copy.task) for copy in history.of(Aside))
    said = {(why.stage, task) for task, why in by_register.items() if why.diverted}
    otherwise = [task for task, why in by_register.items() if why.diverted != diverts]
    effects = [order for order in case.tally.stray if order[:-2] in {task for _, task in said}]
    idle = copies.keys() - said
    shown = [
        *named(otherwise, "task", "been shed otherwise than its file says"),
        *named(_tasks(said - copies.keys()), "task", "been diverted by its register, and is not set aside"),
        *named([task for (_, task), times in copies.items() if times > 1], "task", "been set aside twice"),
        *named(
            [copy.task for copy in history.of(Aside) if copy.of != copy.task], "copy", "what is no copy of it"
        ),
        *named(effects, "effect", "been carried out of a task that was diverted"),
        *named(
            [task for task in _tasks(idle) if task not in case.tally.registers],
            "task",
            "been set aside, and has no end",
        ),
    ]
    unexplained = list(_unexplained(history, idle))
    inferred = named(unexplained, "task", "been set aside and not ended, and nothing says why")
    besides = f"; of {plural(len(idle), 'task')} that ended otherwise there is one as well" if idle else ""
    passed = f" A copy of each is set aside{besides}." if diverts else ""
    return Found(shown, inferred, passed)


def _tasks(places: Iterable[_At]) -> list[str]:
    return sorted(task for _, task in places)


def _unexplained(history: History, idle: Set[_At]) -> Iterator[str]:
    """Of copies that do not count, those of which it is not told what came in between.

    Who set it aside tells that it was second, or that the stage went on. Or that one was the last that it set
    aside at this stage, in this term: it was struck, or deposed. Who ends before it has told of a copy leaves
    no line of it at all; that is one for each stage and term at most.
    """
    told = {(line.stage, line.task) for line in history.of(Told) if line.type != "ok"}
    last: dict[tuple[str, int, int, int], _At] = {}
    known: set[_At] = set()
    for line in history.of(Copied):
        if line.type == "ok":
            at = (line.stage, line.task)
            known.add(at)
            last[(line.node, line.incarnation, line.term, line.stage)] = at
    yield from _tasks((idle & known) - told - {*last.values()})
    yield from _tasks(idle - known)[len(last) :]
