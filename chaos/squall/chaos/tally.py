"""What must balance: accepted tasks and registers, intents and fills. Pure.

The checks decide by it and the result document reports it, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from squall.chaos.evidence import History, Register


@dataclass(frozen=True, slots=True)
class Tally:
    """The two sides of a run, and what stands on one of them only.

    Attributes:
        accepted: Accepted tasks, in the order of their submission.
        registers: The first register of each task.
        repeated: Tasks with more than one register.
        lost: Accepted tasks without a register.
        unasked: Tasks with a register and without a submission.
        refused: Tasks with a register whose submission was refused for good.
        intents: Order id to the task whose ``ok`` register intends it.
        shared: Order ids that two registers intend.
        unfilled: Intents never filled.
        doubled: Intents filled more than once.
        stray: Order ids filled that no register intends.
    """

    accepted: Sequence[str]
    registers: Mapping[str, Register]
    repeated: Sequence[str]
    lost: Sequence[str]
    unasked: Sequence[str]
    refused: Sequence[str]
    intents: Mapping[str, str]
    shared: Sequence[str]
    unfilled: Sequence[str]
    doubled: Sequence[str]
    stray: Sequence[str]

    @property
    def effects(self) -> int:
        """Intents that were filled."""
        return len(self.intents) - len(self.unfilled)


def tally(history: History) -> Tally:
    """Balance a run's accounts."""
    submissions = history.submissions
    fills = history.venue.fills if history.venue is not None else {}
    accepted = [task for task, offered in submissions.items() if offered.outcome == "accepted"]
    registers: dict[str, Register] = {}
    repeated: dict[str, None] = {}
    intents: dict[str, str] = {}
    shared: dict[str, None] = {}
    for register in history.registers:
        if register.task in registers:
            repeated[register.task] = None
        registers.setdefault(register.task, register)
        if register.status != "ok":
            continue
        for order_id in register.effects:
            if order_id in intents:
                shared[order_id] = None
            intents.setdefault(order_id, register.task)
    return Tally(
        accepted=accepted,
        registers=registers,
        repeated=list(repeated),
        lost=[task for task in accepted if task not in registers],
        unasked=[task for task in registers if task not in submissions],
        refused=[
            task for task in registers if task in submissions and submissions[task].outcome == "refused"
        ],
        intents=intents,
        shared=list(shared),
        unfilled=[order_id for order_id in intents if order_id not in fills],
        doubled=[order_id for order_id in intents if len(fills.get(order_id, ())) > 1],
        stray=[order_id for order_id in fills if order_id not in intents],
    )
