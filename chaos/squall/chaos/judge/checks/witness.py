"""E2: what handlers say they were given and returned is what was counted and registered. Pure.

task ─► agent ─► handler ─► agent ─► register
                   └─ logs ─► its node's log ─► witness

The handlers of the harness log what they do. So it is known beside the agent's own lines, and what an agent
runs twice, or drops of what was returned, is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from squall.chaos.evidence.doubts import lost
from squall.chaos.evidence.model import History
from squall.chaos.judge.case import Case
from squall.chaos.judge.decide import Finding, decide, named, tasks, unknown
from squall.chaos.judge.promise import Promise
from squall.chaos.plan.varied import is_varied


def is_witnessed(history: History) -> bool:
    """Whether the handlers of a run log what they do."""
    return is_varied(history.asked.handler)


@dataclass(frozen=True, slots=True)
class Compared:
    """What handlers wrote, against what was counted and registered.

    Attributes:
        calls: How often handlers were called, by their own word.
        registers: Registers of results that were compared with what the handler returned.
        more: Tasks whose handlers were called more often than an attempt was begun.
        unheard: Tasks with a register, of which no handler wrote that it returned.
        other: Tasks whose register has another number of effects than was returned.
    """

    calls: int
    registers: int
    more: Sequence[str]
    unheard: Sequence[str]
    other: Sequence[str]

    @property
    def differing(self) -> int:
        return len(self.more) + len(self.unheard) + len(self.other)


def compared(history: History) -> Compared | None:
    """The comparison; None where no handler wrote anything.

    Where agents vote, each has its handler called, and a register tells of no attempt of any of them: what
    it has to agree with is what one of them returned.
    """
    if not history.witness:
        return None
    begun = history.considered or history.executions
    more = [task for task, calls in history.witness.items() if calls.given > len(begun.get(task, ()))]
    unheard, other = [], []
    results = [register for register in history.registers if register.status == "ok"]
    for register in results:
        calls = history.witness.get(register.task)
        said = calls.returned if calls is not None else {}
        returned = {*said.values()} if history.considered else {said.get(register.attempt)} - {None}
        if not returned:
            unheard.append(register.task)
        elif len(register.effects) not in returned:
            other.append(register.task)
    calls_made = sum(calls.given for calls in history.witness.values())
    return Compared(calls_made, len(results), more, unheard, other)


def as_handled(case: Case) -> Finding:
    """E2: each call is an attempt that was counted; each result has as many effects as were returned."""
    history = case.history
    found = compared(history)
    if found is None:
        return unknown("no handler said anything")
    # While no line is lost, no other doubt takes away from this.
    more, whole = named(found.more, "task", "been handled more often than it was begun"), not lost(history)
    return decide(
        case,
        shown=[
            *named(found.other, "register", "another number of effects than its handler returned"),
            *(more if whole else []),
        ],
        inferred=[
            *([] if whole else more),
            *named(found.unheard, "register", "no handler that returned"),
        ],
        passed=f"{tasks(len(history.witness))} handled in {found.calls:,} calls, each begun and counted; "
        f"{len(history.registers) - len(found.unheard):,} registers as returned.",
    )


WITNESS = Promise(
    id="E2",
    name="as-handled",
    text="What handlers say they were given and returned is what was counted and registered.",
    check=as_handled,
    when=is_witnessed,
    shown_by="varied",
)
