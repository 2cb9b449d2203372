"""What came of the tasks that a handler was given, as far as a history goes; whether the handler is at fault.

    handler  fail {task, what, reason}      what it did, told before anybody writes of it ──┐
    commit   ok {task, status}              what became of the task ────────────────────────┴─► Handled

A swarm that carries a handler's mistakes to the end of every task keeps up, and shows nothing. Of a run that
has ended, `squall.chaos.judge.checks.handler` tells more.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

import msgspec

from squall.services import jsonl
from squall.services.node.history import MISTAKE

GOOD_SHARE = 0.2
"""Of the tasks that a handler was given, how many must come to good; with fewer it is the handler's fault."""

ORDER = "order"
"""The kind of a mistake that ends well for the task, and whose effect the venue refuses."""

_TELLING = (f'"op":"{MISTAKE}"'.encode(), b'"op":"commit"')


class _Line(msgspec.Struct):
    op: str
    type: str
    task: str = ""
    what: str = ""
    status: str = ""
    reason: str = ""


_line = msgspec.json.Decoder(_Line)


class Handled:
    """Gathers line by line what came of tasks. Pure.

    Attributes:
        good: Tasks that ended with a result.
        dead: Tasks that ended without one.
        mistaken: Tasks of which an attempt failed, by the handler's doing.
        refused: Tasks of which it returned what is no order.
        reasons: By what it did, how often.
    """

    def __init__(self) -> None:
        self.good: set[str] = set()
        self.dead: set[str] = set()
        self.mistaken: set[str] = set()
        self.refused: set[str] = set()
        self.reasons: Counter[str] = Counter()

    def add(self, line: _Line) -> None:
        """Take a line in."""
        if not line.task:
            return
        if line.op == MISTAKE and line.what == ORDER:
            self.refused.add(line.task)
            self.reasons[f"the handler returned what is no order: {line.reason}"] += 1
        elif line.op == MISTAKE:
            self.mistaken.add(line.task)
            self.reasons[line.reason] += 1
        elif line.op == "commit" and line.type == "ok":
            (self.good if line.status == "ok" else self.dead).add(line.task)

    @property
    def spoiled(self) -> set[str]:
        """The tasks that came to nothing by the handler's doing."""
        return (self.dead & self.mistaken) | self.refused

    def is_at_fault(self, *, at_last: bool = False) -> bool:
        """Whether so little comes to good that the swarm has nothing to show.

        Args:
            at_last: Whether it is not waited for what a further attempt would bring.
        """
        good = self.good - self.refused
        bad = (self.spoiled | self.mistaken if at_last else self.spoiled) - good
        return bool(bad) and len(good) < GOOD_SHARE * len(good | bad)

    def sentence(self, handler: str) -> str:
        """What the handler does wrong, most often; empty if it does nothing wrong.

        Args:
            handler: Its name.
        """
        if not self.reasons:
            return ""
        reason, times = self.reasons.most_common(1)[0]
        named = reason.removeprefix("the handler ")
        said = f"the handler {handler}" + (f" {named}" if named != reason else f": {reason}")
        return f"{said} ({times:,} times)" if times > 1 else said


def handled_in(history: Path) -> Handled:
    """What a history tells so far; nothing if there is none."""
    handled = Handled()
    with contextlib.suppress(FileNotFoundError), history.open("rb") as file:
        for line in jsonl.lines(file):
            if line is not None and any(word in line for word in _TELLING):
                with contextlib.suppress(msgspec.DecodeError):
                    handled.add(jsonl.decode(_line, line))
    return handled
