"""What the verdicts of a run rest on: the starts of handlers, what these wrote, and what is doubtful. Pure.

Everything is computed where the checks compute it, so that the page cannot say otherwise than they.
"""

from __future__ import annotations

from collections import Counter

from squall.bus.border import printable
from squall.chaos.evidence.doubts import doubts
from squall.chaos.evidence.model import History
from squall.chaos.judge.checks.recovery import RECOVERY
from squall.chaos.judge.checks.repeats import repeats
from squall.chaos.judge.checks.witness import Compared, compared
from squall.chaos.judge.decide import some, undrained
from squall.chaos.tell.page import words
from squall.chaos.tell.page.markup import Child, Markup, el, join
from squall.chaos.tell.page.parts import Group, groups, nothing, table, zero

UNEXPLAINED = "nothing on record"

REASONS_MAX = 40
"""Rows of reasons; there are about as many as kinds of faults."""


def executions(history: History) -> Markup:
    """How often handlers were started, why again, and what they wrote of it."""
    if not history.executions:
        return nothing("Nothing is known of what was run.")
    again = repeats(history)
    repeated = len({repeat.task for repeat in again})
    started: Group = (
        "Handlers started",
        [
            ("started", words.count(sum(map(len, history.executions.values()))), "by the agents' lines"),
            ("for tasks", words.count(len(history.executions)), ""),
            ("tasks run again", words.count(repeated), ""),
            ("not explained", words.count(sum(not repeat.reason for repeat in again)), "of the repeats"),
        ],
    )
    drawn = groups([started, ("Witness", _witness(compared(history)))])
    if not again:
        return drawn
    times = Counter(repeat.reason or UNEXPLAINED for repeat in again)
    tasks: dict[str, dict[str, None]] = {}
    for repeat in again:
        tasks.setdefault(repeat.reason or UNEXPLAINED, {})[repeat.task] = None
    rows: list[list[Child]] = [
        [
            el("strong", reason) if reason == UNEXPLAINED else printable(reason),
            words.count(count),
            some(tasks[reason]),
        ]
        for reason, count in times.most_common(REASONS_MAX)
    ]
    return join(drawn, table(["run again, explained by", "times", "tasks"], rows, "repeats", numeric={1}))


def _witness(found: Compared | None) -> list[tuple[str, str, str]]:
    if found is None:
        return [("calls", words.ABSENT, "the handlers of this run write nothing of what they do")]
    return [
        ("calls", words.count(found.calls), "by the handlers' own lines"),
        ("registers compared", words.count(found.registers), "with what was returned"),
        zero("differing", found.differing),
    ]


def doubtful(history: History) -> Markup:
    """What makes verdicts unknown, and which."""
    rows: list[list[Child]] = [[doubt, "every promise"] for doubt in doubts(history)]
    if undrained(history):
        rows.append(["it had not drained within its bound", "every promise"])
    recovery = f"{RECOVERY.id} {RECOVERY.name}"
    missed: list[list[Child]] = [
        [f"{fault.kind} of {fault.target} was planned and missed: {printable(fault.reason)}", recovery]
        for fault in history.missed
    ]
    rows += missed
    if not rows:
        return nothing("Nothing is: no line is missing, and all who tell of this run tell the same.")
    return table(["what is doubtful", "leaves unknown"], rows, "doubts")
