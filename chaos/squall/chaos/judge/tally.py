"""What must balance: accepted tasks and registers, intents and fills. Pure.

The checks decide by it and the result document reports it, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from squall.chaos.evidence.facts import Register
from squall.chaos.evidence.model import History
from squall.services.effects.kinds import NONE


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
        refused_effects: Order id to the reason why an intent was refused, and so not filled; see `_refused`.
        refused_unbooked: Intents that the gateway says the venue rejected, and the venue's books do not.
        refused_untold: Order ids that the venue's books say it rejected, and the gateway does not.
        refused_filled: Intents that were filled although the gateway says they were refused.
        unfilled: Intents neither filled nor refused.
        doubled: Intents filled more than once.
        stray: Order ids filled that no register intends; of somebody else's sink, those since the run began.
        nowhere: Whether effects are carried out nowhere, so that none is an intent.
    """

    accepted: Sequence[str]
    registers: Mapping[str, Register]
    repeated: Sequence[str]
    lost: Sequence[str]
    unasked: Sequence[str]
    refused: Sequence[str]
    intents: Mapping[str, str]
    shared: Sequence[str]
    refused_effects: Mapping[str, str]
    refused_unbooked: Sequence[str]
    refused_untold: Sequence[str]
    refused_filled: Sequence[str]
    unfilled: Sequence[str]
    doubled: Sequence[str]
    stray: Sequence[str]
    nowhere: bool = False

    @property
    def effects(self) -> int:
        """Intents that were filled."""
        return len(self.intents) - len(self.unfilled) - len(self.refused_effects)

    @property
    def one_order_each(self) -> bool:
        """Whether every accepted task has exactly one order, and that was filled."""
        missing = {*self.unfilled, *self.refused_effects}
        return not self.nowhere and all(
            register is not None
            and register.status == "ok"
            and len(register.effects) == 1
            and register.effects[0] not in missing
            for register in map(self.registers.get, self.accepted)
        )


def tally(history: History) -> Tally:
    """Balance a run's accounts."""
    submissions = history.submissions
    fills = history.venue.fills if history.venue is not None else {}
    nowhere = history.asked.effects == NONE.prefix
    began_s = (history.first_s or 0.0) if history.is_outside else 0.0
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
        for order_id in register.effects if not nowhere else ():
            if order_id in intents:
                shared[order_id] = None
            intents.setdefault(order_id, register.task)
    refused_effects = _refused(history, intents)
    told = {refusal.order_id: refusal.what for refusal in history.refusals}
    booked = history.venue.refusals if history.venue is not None else {}
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
        refused_effects=refused_effects,
        refused_unbooked=[
            order_id
            for order_id, what in told.items()
            if history.venue is not None and what == "rejected" and order_id not in booked
        ],
        refused_untold=[order_id for order_id in booked if order_id not in told],
        refused_filled=[order_id for order_id in told if order_id in fills],
        unfilled=[
            order_id for order_id in intents if order_id not in fills and order_id not in refused_effects
        ],
        doubled=[order_id for order_id in intents if len(fills.get(order_id, ())) > 1],
        stray=[o for o, times in fills.items() if o not in intents and times[-1] >= began_s],
        nowhere=nowhere,
    )


def _refused(history: History, intents: Mapping[str, str]) -> dict[str, str]:
    """The intents that were not filled for a reason that is written down, and the reason.

    That the venue rejected an order is believed of its own books alone. What never reached them, the gateway
    alone can tell: that it was no JSON value, or that the venue answered it takes no such order.
    """
    fills = history.venue.fills if history.venue is not None else {}
    booked = history.venue.refusals if history.venue is not None else {}
    told = {
        refusal.order_id: refusal.reason
        for refusal in history.refusals
        if refusal.what != "rejected" and intents.get(refusal.order_id) == refusal.task
    }
    return {
        order_id: reason
        for order_id, reason in (told | dict(booked)).items()
        if order_id in intents and order_id not in fills
    }
