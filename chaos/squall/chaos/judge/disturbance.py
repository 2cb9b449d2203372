"""Whether a node, or the way from a register to the venue, was disturbed at a time. Pure."""

from __future__ import annotations

from squall.chaos.evidence.model import History
from squall.chaos.judge.succession import overlaps
from squall.chaos.plan.surface import BROKER
from squall.services.patterns.pattern import VENUE
from squall.services.rules.effects import ANSWER_TIMEOUT_S, ASIDE_PAUSE_S_MAX

CARRYING = ("gateway", VENUE)
"""The roles at both ends of that way."""

START_S = 5.0
"""How much later than its end a process may be up again, and written down."""


def is_struck(history: History, node: str, start_s: float, end_s: float) -> bool:
    """Whether a fault was in force at a node, or at the broker, at any time in between."""
    return any(
        (fault.node == node or fault.node == BROKER) and overlaps(fault, start_s, end_s)
        for fault in history.faults
    )


def is_delivery_disturbed(history: History, time_s: float) -> bool:
    """Whether gateway, venue or broker were struck, or started again, so shortly before that it still shows.

    A request is given up, an order that was set aside waits, and a register is delivered again.
    """
    since_s = time_s - ANSWER_TIMEOUT_S - ASIDE_PAUSE_S_MAX - (history.asked.ack_wait_s or 0.0)
    ends = {start.node for start in history.nodes if start.role in CARRYING}
    return any(
        (fault.node in ends or fault.node == BROKER) and overlaps(fault, since_s, time_s)
        for fault in history.faults
    ) or any(
        start.role in CARRYING
        and start.incarnation > 1
        and since_s - START_S <= start.started_s <= time_s + START_S
        for start in history.nodes
    )
