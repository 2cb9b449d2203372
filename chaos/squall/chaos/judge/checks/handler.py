"""W1: a handler of one's own does its work; what it does wrong is told as its own doing. Pure.

What fails is told with the handler's name first, so that nobody looks for it in the swarm. What a handler may
do, to give a task up, to fail and succeed with the next attempt, to hold up its agent for a while, is told
with its number, and passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from squall.bus.border import printable
from squall.chaos.evidence.facts import HeldUp, Mistake
from squall.chaos.evidence.model import History
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.case import Case
from squall.chaos.judge.decide import Finding, decide, tasks, unknown
from squall.chaos.judge.mistakes import Mistakes, end_of, is_told
from squall.chaos.judge.promise import Promise
from squall.services.run.result import HANDLER_CHECK
from squall.services.sentences import sentence

DID = {"raised": "raised", "returned": "returned what cannot be sent:", "order": "returned what is no order:"}
"""What a handler did, by the kind of the mistake, before what is said of it."""

TOLD_MAX = 5
"""How many kinds of mistakes a detail tells."""

ADVICE = "make it a plain function, or await what takes long"


@dataclass(frozen=True, slots=True)
class Alike:
    """Mistakes of one kind, made at one place, and the tasks in which they were."""

    first: Mistake
    tasks: Sequence[str]

    def __str__(self) -> str:
        at = f", at {self.first.at}" if self.first.at and self.first.what != "late" else ""
        said = (
            self.first.reason.removeprefix("the handler ") if self.first.what == "late" else self.first.said
        )
        what = " ".join(filter(None, ("it", DID.get(self.first.what), said)))
        return printable(f"{what}{at}", 400) + _which(self.tasks)


def works(case: Case) -> Finding:
    """W1."""
    history, wrong = case.history, case.mistakes
    if not history.executions:
        return unknown("no task came to the handler")
    refused: dict[str, Mistake] = {}
    for each in wrong.refused.values():
        refused.setdefault(each.task, each)
    parts = [str(alike) for alike in (*grouped(wrong.ended), *grouped(refused))]
    for how in dict.fromkeys(wrong.killed.values()):
        parts.append(f"it {how}{_which([task for task, end in wrong.killed.items() if end == how])}")
    failed, ran = len({*wrong.ended, *refused, *wrong.killed}), len(history.executions)
    name, hints = f"the handler {printable(history.tells_of, 100)}", list(_hints(history, wrong))
    passed = f"T{name[1:]} was given {tasks(ran)}: {'; '.join(['none failed', *hints])}."
    if not parts:
        return decide(case, passed=passed)
    more = f"; and {plural(len(parts) - TOLD_MAX, 'other mistake')}" if len(parts) > TOLD_MAX else ""
    said = f"{name} failed {failed:,} of {tasks(ran)}: {'; '.join(parts[:TOLD_MAX])}{more}"
    found = decide(case, shown=[said], passed=passed)
    besides = "; ".join(hints)
    return Finding(found.verdict, f"{found.detail} {sentence(besides)}" if hints else found.detail)


def grouped(mistakes: Mapping[str, Mistake]) -> list[Alike]:
    """Mistakes of the same kind at the same place together, those of most tasks first."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for task, each in mistakes.items():
        kind = each.said.partition(":")[0] if each.what == "raised" else each.said.partition(", not ")[0]
        groups.setdefault((each.what, kind, each.at), []).append(task)
    alike = [Alike(mistakes[found[0]], found) for found in groups.values()]
    return sorted(alike, key=lambda each: -len(each.tasks))


def _which(found: Sequence[str]) -> str:
    return f" ({tasks(len(found))}, see `squall trace {found[0]}`)"


def _hints(history: History, wrong: Mistakes) -> Iterator[str]:
    """What the handler did that is no failure of it, and is good to know."""
    idle = [
        register.task for register in history.registers if register.status == "ok" and not register.effects
    ]
    if idle:
        yield f"it returned no order for {tasks(len(idle))}, the first {idle[0]}"
    if wrong.given_up:
        task, first = next(iter(wrong.given_up.items()))
        yield f"it gave up {tasks(len(wrong.given_up))} itself, the first {task}: {first.said}"
    if wrong.again:
        yield f"{plural(wrong.again, 'attempt')} failed, and their tasks ended well after that"
    ends = [end for who in history.lives.in_hand if (end := end_of(history, who))]
    if ends:
        yield f"{plural(len(ends), 'time')} it {ends[0]}"
    worst: dict[tuple[str, int, str], HeldUp] = {}
    for held in history.held_up:
        who = (held.node, held.incarnation, held.at)
        if who not in worst or (held.times, held.seconds) > (worst[who].times, worst[who].seconds):
            worst[who] = held
    if worst:
        longest = max(worst.values(), key=lambda held: held.seconds)
        times = sum(held.times for held in worst.values())
        yield (
            f"it held up its agents {plural(times, 'time')}, for {longest.seconds:.2f} s at most, "
            f"at {printable(longest.line)}: {ADVICE}"
        )


HANDLER = Promise(
    id=HANDLER_CHECK,
    name="handler",
    text="Your own handler ends each task, with orders that the venue takes, or by giving it up itself.",
    check=works,
    when=is_told,
)
