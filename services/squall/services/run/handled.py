"""What came of the tasks that a handler was given, as far as a history goes; whether the handler is at fault.

    handler  fail {task, what, reason}      what it did, told before anybody writes of it ──┐
    held-up  ok {at, line, times, seconds}  how it kept its agent from all else ────────────┤
    running  ok {task, line, seconds}       what it has not ended yet, and where it stands ─┤
    absent   fail {task, reason}            for which task it was not there ────────────────┤
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
from squall.services.rules.blocking import blocking, is_blocking

GOOD_SHARE = 0.2
"""Of the tasks that a handler was given, how many must come to good; with fewer it is the handler's fault."""

ORDER = "order"
"""The kind of a mistake that ends well for the task, and whose effect the venue refuses."""

_TELLING = tuple(f'"op":"{op}"'.encode() for op in (MISTAKE, "commit", "held-up", "running", "absent"))


class _Line(msgspec.Struct):
    op: str
    type: str
    node: str = ""
    inc: int = 0
    task: str = ""
    what: str = ""
    status: str = ""
    reason: str = ""
    at: str = ""
    line: str = ""
    times: int = 0
    seconds: float = 0.0


_line = msgspec.json.Decoder(_Line)


class Handled:
    """Gathers line by line what came of tasks. Pure.

    Attributes:
        good: Tasks that ended with a result.
        dead: Tasks that ended without one.
        mistaken: Tasks of which an attempt failed, by the handler's doing.
        refused: Tasks of which it returned what is no order.
        reasons: By what it did, how often.
        absent: By task that waits for it, why it was not there.
        running: By task that it has not ended, for how long at least it has been at it, and where it stands.
    """

    def __init__(self) -> None:
        self.good: set[str] = set()
        self.dead: set[str] = set()
        self.mistaken: set[str] = set()
        self.refused: set[str] = set()
        self.reasons: Counter[str] = Counter()
        self.absent: dict[str, str] = {}
        self.running: dict[str, tuple[float, str]] = {}
        self._held_up: dict[tuple[str, int, str], _Line] = {}

    def read(self, line: bytes) -> None:
        """Take a line of a history in; nothing of one that is malformed, or about something else."""
        if any(word in line for word in _TELLING):
            with contextlib.suppress(msgspec.DecodeError):
                self._add(jsonl.decode(_line, line))

    def _add(self, line: _Line) -> None:
        if line.op == "held-up":
            place = line.node, line.inc, line.at
            known = self._held_up.get(place, line)
            if (line.times, line.seconds) >= (known.times, known.seconds):
                self._held_up[place] = line
        if not line.task:
            return
        if line.op == "absent":
            self.absent[line.task] = line.reason
        else:
            self.absent.pop(line.task, None)
        if line.op == "running":
            self.running[line.task] = line.seconds, line.line
        else:
            self.running.pop(line.task, None)
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

    def blocking(self, handler: str) -> str:
        """How the handler keeps its agents from all else; empty if it does not, or not so that it matters.

        Args:
            handler: Its name.
        """
        wrong = [held for held in self._held_up.values() if is_blocking(held.times, held.seconds)]
        if not wrong:
            return ""
        longest = max(wrong, key=lambda held: held.seconds)
        times = sum(held.times for held in self._held_up.values())
        return blocking(f"the handler {handler}", times, longest.seconds, longest.line)

    def unending(self, handler: str) -> str:
        """What the handler is at for long and has not ended; empty if there is nothing such.

        Args:
            handler: Its name.
        """
        if not self.running:
            return ""
        task, (seconds, line) = max(self.running.items(), key=lambda each: each[1][0])
        where = f"; it stands at {line}" if line else ""
        return f"the handler {handler} has not ended task {task} after {seconds:g} s{where}"

    def missing(self, handler: str) -> str:
        """Why tasks wait for a handler that is not there; empty if none does.

        Args:
            handler: Its name.
        """
        if not self.absent:
            return ""
        reason, _ = Counter(self.absent.values()).most_common(1)[0]
        return f"the handler {handler} is not there: {reason}"

    def sentence(self, handler: str) -> str:
        """What the handler does wrong, most often; empty if it does nothing wrong.

        Args:
            handler: Its name.
        """
        if not self.reasons:
            return self.blocking(handler)
        reason, times = self.reasons.most_common(1)[0]
        named = reason.removeprefix("the handler ")
        said = f"the handler {handler}" + (f" {named}" if named != reason else f": {reason}")
        return f"{said} ({times:,} times)" if times > 1 else said


def handled_in(history: Path) -> Handled:
    """What a history tells so far; nothing if there is none."""
    handled = Handled()
    with contextlib.suppress(FileNotFoundError), history.open("rb") as file:
        for line in jsonl.lines(file):
            if line is not None:
                handled.read(line)
    return handled
