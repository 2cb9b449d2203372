"""A run as it comes before its checks: what is known, what must balance, who led, what is doubtful. Pure.

All of it is computed once for a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from squall.chaos.evidence.doubts import doubts
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Batch
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
    """

    history: History
    tally: Tally
    doubts: Sequence[str]
    succession: Succession


def case_of(history: History, batches: type[Batch] | None) -> Case:
    """The case that a history makes.

    Args:
        batches: The operation that tells what a leader stored under its term; None if nobody leads.
    """
    return Case(history, tally(history), doubts(history), succession(history, batches))
