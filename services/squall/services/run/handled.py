"""What came of the tasks that a handler was given, by a run's history; whether the handler is at fault.

    attempt  fail {task, reason}           commit  ok {task, status, reason}          agents
    refuse   fail {task, reason}                                                      the gateway
    final    ok {what: register, task, status, reason}                                read back in the end
                     └──► Handled ──► is_at_fault, sentence

A swarm that carries a handler's mistakes to the end of every task keeps up, and shows nothing.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

import msgspec

from squall.services import jsonl

GOOD_SHARE = 0.2
"""Of the tasks that a handler was given, how many must come to good; with fewer it is the handler's fault."""

OWN = ("the handler ", "the result ")
"""How the reason begins of what fails by a handler's doing."""

_TELLING = (b'"attempt"', b'"commit"', b'"refuse"', b'"register"')


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
        dead: Tasks that ended without one, by the handler's doing.
        tried: Tasks of which an attempt failed, by the handler's doing.
        refused: Tasks of whose effects one is no order.
        reasons: By reason, how often it was given.
    """

    def __init__(self) -> None:
        self.good: set[str] = set()
        self.dead: set[str] = set()
        self.tried: set[str] = set()
        self.refused: set[str] = set()
        self.reasons: Counter[str] = Counter()

    def add(self, line: _Line) -> None:
        """Take a line in."""
        match line.op, line.type:
            case "attempt", "fail" if line.reason.startswith(OWN):
                self.tried.add(line.task)
                self.reasons[line.reason] += 1
            case ("commit", "ok") | ("final", "ok") if line.status == "ok":
                self.good.add(line.task)
            case ("commit", "ok") | ("final", "ok") if line.status == "dead" and line.reason.startswith(OWN):
                if line.task not in self.dead:
                    self.reasons[line.reason] += 1
                self.dead.add(line.task)
            case "refuse", "fail":
                if line.task not in self.refused:
                    self.reasons[f"the handler returned what is no order: {line.reason}"] += 1
                self.refused.add(line.task)

    def is_at_fault(self, *, at_last: bool = False) -> bool:
        """Whether so little comes to good that the swarm has nothing to show.

        Args:
            at_last: Whether it is not waited for what a further attempt would bring.
        """
        good = self.good - self.refused
        bad = (self.dead | self.refused | self.tried if at_last else self.dead | self.refused) - good
        return bool(bad) and len(good) < GOOD_SHARE * len(good | bad)

    @property
    def is_spoiled(self) -> bool:
        """Whether a task came to nothing by the handler's doing."""
        return bool(self.dead or self.refused)

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
