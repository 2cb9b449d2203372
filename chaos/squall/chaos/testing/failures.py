"""What is told of a test that fails: why, in which directory its run is, and how to have it again. Pure.

an error of ours ──► one sentence with its remedy, at the line of the test that met it
a check ───────────► its verdict; what the handler did wrong comes before it
either, and the test's own assertions ──► where the run is, what repeats it, what shows it
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from squall.bus.border import masked, printable
from squall.bus.errors import SquallError
from squall.chaos.evidence.model import History
from squall.chaos.judge.series import is_sometimes
from squall.services.printing import PATH_LENGTH_MAX, SENTENCE_LENGTH_MAX
from squall.services.run.result import HANDLER_CHECK, Result

Ours = TypeVar("Ours", bound=SquallError)


def in_one(sentence: str, remedy: str) -> str:
    """A sentence and its remedy, printable."""
    return printable("; ".join(filter(None, (sentence, remedy))), SENTENCE_LENGTH_MAX)


def bare(error: Ours) -> Ours:
    """An error without the frames of ours that it came through; what it says has its remedy."""
    error.args = (in_one(error.sentence, error.remedy),)
    error.remedy = ""
    return error.with_traceback(None)


def complaints(result: Result, excused: Sequence[str]) -> list[str]:
    """Why a test fails by its checks, in lines; none if it passes. What the handler did wrong comes first.

    A check that cannot say is a complaint, unless it is of what need not happen; so is that nothing passed.
    """
    asked = [check for check in result.checks if check.id not in excused]
    failed = [check for check in asked if check.verdict == "fail"]
    unsure = [
        check for check in asked if check.verdict == "unknown" and not is_sometimes(result.pattern, check.id)
    ]
    failed.sort(key=lambda check: check.id != HANDLER_CHECK)
    said = [f"{check.id} {check.name}: {check.verdict}: {check.detail}" for check in [*failed, *unsure]]
    if not said and not any(check.verdict == "pass" for check in asked):
        said.append("no check passed, so nothing was shown")
    return said


def struck_nothing(history: History) -> list[str]:
    """In a sentence each, the faults that came when the swarm had nothing to do any more."""
    offered = (s.intended_s for s in history.submissions.values() if s.intended_s is not None)
    last_s = max([*offered, *(register.stored_s for register in history.registers)], default=0.0)
    return [
        f"{fault.kind} of {fault.target} was in force when all {history.asked.tasks or 0:,} tasks had been "
        "offered and had ended; raise tasks=, or leave it out"
        for fault in history.faults
        if fault.start_s > last_s
    ]


@dataclass(frozen=True, kw_only=True)
class Whereabouts:
    """Where a failure can be looked at.

    Attributes:
        run: The run's directory.
        test: The test, as pytest takes it from the current folder.
        options: What else pytest needs for the same order and the same random numbers.
        seed: Of the swarm.
    """

    run: Path
    test: str
    options: Sequence[str]
    seed: int

    def lines(self, task: str = "") -> list[str]:
        """What a failure ends with.

        Args:
            task: One that shows what is wrong; without one there is none to be traced.
        """
        run = shlex.quote(str(self.run))
        repeat = " ".join(["uv run pytest", *(shlex.quote(each) for each in (self.test, *self.options))])
        trace = printable(f"one task    uv run squall trace {shlex.quote(task)} --run {run}", PATH_LENGTH_MAX)
        return [
            printable(f"the run     {self.run}", PATH_LENGTH_MAX),
            # As pytest itself names the test, with the colons that `printable` would take apart.
            f"again       {masked(repeat)}  # seed {self.seed}",
            printable(f"its page    uv run squall report {run}", PATH_LENGTH_MAX),
            *([trace] if task else []),
        ]
