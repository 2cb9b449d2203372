"""W1: a handler of one's own does its work; what it does wrong is told as its own doing. Pure.

What fails is told with the handler's name first, so that nobody looks for it in the swarm: tasks that it
failed; that it returned nothing for any of them; that it held up the loop of its agents. What a handler may
do, to give a task up, to fail and succeed with the next attempt, to return nothing for some tasks, to hold up
its agent once, is told with its number, and passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from squall.bus.border import printable
from squall.chaos.evidence.facts import HeldUp, Mistake
from squall.chaos.evidence.model import History
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.case import Case
from squall.chaos.judge.decide import Finding, decide, tasks, unknown
from squall.chaos.judge.mistakes import Mistakes, end_of, is_told
from squall.chaos.judge.promise import Promise
from squall.services.roles.handler_told import RETURNED
from squall.services.rules.blocking import ADVICE, blocking, is_blocking
from squall.services.run.result import HANDLER_CHECK
from squall.services.sentences import sentence

DID = {
    "raised": "raised",
    "returned": "returned what cannot be sent:",
    "order": "returned what is no order:",
    "error": "answered with the error",
}
"""What a handler did, by the kind of the mistake, before what is said of it."""

TOLD_MAX = 5
"""How many kinds of mistakes a detail tells."""


BEGINS = "; it begins at"
"""Before the place of what no line raised."""

RETURN = "return an order, a list of them, or a Result"


@dataclass(frozen=True, slots=True)
class Alike:
    """Mistakes of one kind, made at one place, and the tasks in which they were."""

    first: Mistake
    tasks: Sequence[str]

    def __str__(self) -> str:
        at = ""
        if self.first.at and self.first.what != "late":
            at = f"{BEGINS if self.first.what in RETURNED else ', at'} {self.first.at}"
        said = (
            self.first.reason.removeprefix("the handler ") if self.first.what == "late" else self.first.said
        )
        what = " ".join(filter(None, ("it", DID.get(self.first.what), said)))
        return printable(f"{what}{at}", 400) + _which(self.tasks)


def works(case: Case) -> Finding:
    """W1."""
    history, wrong = case.history, case.mistakes
    if not history.executions and not history.absent:
        return unknown("no task came to the handler")
    refused: dict[str, Mistake] = {}
    for each in wrong.refused.values():
        refused.setdefault(each.task, each)
    alike = [*grouped(wrong.ended), *grouped(refused)]
    parts = [str(each) for each in alike]
    for how in dict.fromkeys(wrong.killed.values()):
        parts.append(f"it {how}{_which([task for task, end in wrong.killed.items() if end == how])}")
    failed, ran = len({*wrong.ended, *refused, *wrong.killed}), len(history.executions)
    name, hints = _name(history), list(_hints(history, wrong))
    held, empty, left = _held_up(history), _empty(history), _left_waiting(history)
    if parts:
        more = f"; and {plural(len(parts) - TOLD_MAX, 'other mistake')}" if len(parts) > TOLD_MAX else ""
        shown = f"{name} failed {failed:,} of {tasks(ran)}: {'; '.join(parts[:TOLD_MAX])}{more}"
        hints += [f"it {held}"] if held else []
    elif shown := _failed_early(history):
        pass
    elif left:
        shown = (
            f"{name} was not there for {tasks(len(left))}, the first {min(left)}: {history.absent[min(left)]}"
        )
        hints = [f"it {held}"] if held else []
    elif empty and empty == {register.task for register in history.registers}:
        shown = f"{name} returned no order and no value for any of {tasks(len(empty))}: {RETURN}"
        shown += f"{BEGINS} {printable(history.empty_at, 150)}" if history.empty_at else ""
        hints = [f"it {held}"] if held else []
    elif _is_blocking(history):
        shown = f"{name} {held}"
    else:
        hints += [f"it {held}"] if held else []
        return decide(
            case, passed=f"T{name[1:]} was given {tasks(ran)}: {'; '.join(['none failed', *hints])}."
        )
    found, besides = decide(case, shown=[shown], passed=""), "; ".join(hints)
    detail = f"{found.detail} {sentence(besides)}" if hints else found.detail
    early = _tasks_early(history)
    waiting = sorted(left)
    named = next(
        iter([*(each.tasks[0] for each in alike), *wrong.killed, *waiting, *sorted(empty), *early]), ""
    )
    return Finding(found.verdict, detail, task=named or min(history.executions or history.absent))


def _name(history: History) -> str:
    return f"the handler {printable(history.tells_of, 100)}"


def _failed_early(history: History) -> str:
    """What it did wrong in a run that was not read back to its end, by the lines of its agents alone.

    That the rest is missing makes none of it undone. What an attempt more would have come to is not waited
    for where the command did not wait either.
    """
    if history.closing is not None:
        return ""
    came_of, is_blamed, name = history.came_of, bool(history.blamed), printable(history.tells_of, 100)
    if came_of.is_at_fault(at_last=is_blamed):
        return printable(came_of.sentence(name), 400)
    return printable(came_of.missing(name) or came_of.unending(name), 400) if is_blamed else ""


def grouped(mistakes: Mapping[str, Mistake]) -> list[Alike]:
    """Mistakes of the same kind at the same place together, those of most tasks first."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for task, each in mistakes.items():
        end = ":" if each.what in ("raised", "error", "broke") else ", not "
        kind = each.said.partition(end)[0]
        groups.setdefault((each.what, kind, each.at), []).append(task)
    alike = [Alike(mistakes[found[0]], found) for found in groups.values()]
    return sorted(alike, key=lambda each: -len(each.tasks))


def _which(found: Sequence[str]) -> str:
    return f" ({tasks(len(found))}, the first {found[0]})"


def _tasks_early(history: History) -> Sequence[str]:
    """The tasks that show what it did wrong in a run that was not read back, the plainest first."""
    if history.closing is not None:
        return ()
    came_of = history.came_of
    running = sorted(came_of.running, key=lambda task: -came_of.running[task][0])
    return sorted(came_of.spoiled or came_of.mistaken or came_of.absent) or running


def _hints(history: History, wrong: Mistakes) -> Iterator[str]:
    """What the handler did that is no failure of it, and is good to know."""
    if empty := _empty(history):
        yield f"it returned no order for {tasks(len(empty))}, the first {min(empty)}"
    if wrong.given_up:
        task, first = next(iter(wrong.given_up.items()))
        yield f"it gave up {tasks(len(wrong.given_up))} itself, the first {task}: {first.said}"
    if wrong.again:
        yield f"{plural(wrong.again, 'attempt')} failed, and their tasks ended well after that"
    if history.absences:
        reason = next(iter(history.absent.values()))
        yield f"{plural(history.absences, 'time')} it was not there, and no attempt was used up: {reason}"
    ends = [end for who in history.lives.in_hand if (end := end_of(history, who))]
    if ends:
        yield f"{plural(len(ends), 'time')} it {ends[0]}"


def _left_waiting(history: History) -> Set[str]:
    """The tasks that have no register in a run that was read back, as nobody was there to work on them."""
    if history.closing is None:
        return frozenset()
    return history.absent.keys() - {register.task for register in history.registers}


def _empty(history: History) -> frozenset[str]:
    """The tasks that came to nothing, as its handler returned nothing."""
    if history.empty:
        return history.empty & {register.task for register in history.registers if register.status == "ok"}
    # Runs of before that was told; what a hub left of an order is no word of the handler's.
    return frozenset()


def _worst(history: History) -> Sequence[HeldUp]:
    """Of each start of an agent, and each place, what was told last of how the handler held it up."""
    worst: dict[tuple[str, int, str], HeldUp] = {}
    for held in history.held_up:
        who = (held.node, held.incarnation, held.at)
        if who not in worst or (held.times, held.seconds) > (worst[who].times, worst[who].seconds):
            worst[who] = held
    return list(worst.values())


def _is_blocking(history: History) -> bool:
    return any(is_blocking(held.times, held.seconds) for held in _worst(history))


def _held_up(history: History) -> str:
    """How it held up its agents, and what to do; empty if it did not."""
    worst = _worst(history)
    if not worst:
        return ""
    longest = max(worst, key=lambda held: held.seconds)
    said = blocking("", sum(held.times for held in worst), longest.seconds, printable(longest.line))
    return f"{said.strip()}; {ADVICE}"


HANDLER = Promise(
    id=HANDLER_CHECK,
    name="handler",
    text="Your own handler ends each task, with orders that the venue takes, or by giving it up itself.",
    check=works,
    when=is_told,
)
