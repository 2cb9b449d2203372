"""A run as it comes before its checks: what is known, what must balance, who led, what is doubtful. Pure.

All of it is computed once for a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from squall.chaos.evidence.doubts import doubts
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Batch
from squall.chaos.judge.mistakes import Mistakes, mistakes
from squall.chaos.judge.succession import Succession, succession
from squall.chaos.judge.tally import Tally, tally


@dataclass(frozen=True, slots=True)
class Case:
    """What checks decide on.

    Attributes:
        history: What the run's directory tells.
        tally: What must balance: accepted tasks and registers, intents and fills.
        doubts: Why the evidence may not be all there was, in words; while there is one, no check passes.
        succession: Who led after whom; empty where nobody leads.
        mistakes: What the run's handler did wrong, where it was its user's own.
        busy: Why what was slow may have been so for the machine, in words; empty if it had time left.
    """

    history: History
    tally: Tally
    doubts: Sequence[str]
    succession: Succession
    mistakes: Mistakes = field(default_factory=Mistakes)
    busy: str = ""


def case_of(history: History, batches: type[Batch] | None) -> Case:
    """The case that a history makes.

    Args:
        batches: The operation that tells what a leader stored under its term; None if nobody leads.
    """
    counted = tally(history)
    return Case(
        history,
        counted,
        doubts(history),
        succession(history, batches),
        mistakes(history, counted.refused_effects),
        busy(history),
    )


IDLE_MIN = 0.1
"""If less of the machine's time was idle in some part of an experiment, it was busy, with the swarm or with
something else, and what was slow may have been so for that. Higher excuses more; lower blames a swarm for
what else the machine did."""


EXCUSING = ("faults.jsonl", "nodes.jsonl")
"""Files that tell why something came late, or at all."""


def busy(history: History) -> str:
    """Why what was slow may have been so for the machine, in words; empty if it had time left.

    Nor does it say anything of the swarm where nobody knows any more what struck it.
    """
    for file in EXCUSING:
        if file in history.missing:
            return f"{file} is missing"
    idle = [phase.idle for phase in history.phases if phase.idle is not None]
    if not idle or min(idle) >= IDLE_MIN:
        return ""
    return f"the machine had no time left: {min(idle):.0%} of it was idle"
