"""E1: the ledger is, row for row, what one process computes from the input of the accepted tasks. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from squall.bus.border import printable
from squall.chaos.evidence.model import History
from squall.chaos.judge.checks.decide import decide, named, unknown
from squall.chaos.judge.tally import tally
from squall.services.run.result import Check
from squall.services.trading.oracle import Row


def ledger_as_computed(history: History, computed: Mapping[str, Row]) -> Check:
    """E1.

    Args:
        computed: For each task that the workload could offer, the row that its input demands.
    """
    if history.venue is None or not history.venue.ledger:
        return unknown("E1", "nothing was filled")
    counted = tally(history)
    excused = {task for task, register in counted.registers.items() if register.status != "ok"}
    expected = {
        row[0]: row for task in counted.accepted if task not in excused if (row := computed.get(task))
    }
    maybe = {
        row[0]
        for task, offered in history.submissions.items()
        if offered.outcome == "unknown" and (row := computed.get(task))
    }
    there = {row[0]: row for row in history.venue.ledger}
    every = {row[0]: row for row in computed.values()}
    changed = [order_id for order_id, row in there.items() if order_id in every and row != every[order_id]]
    unexpected = [order_id for order_id in there if order_id not in expected and order_id not in maybe]
    # A deviation that has a reason written down for its task is allowed, and named.
    absent = [order_id for order_id in expected if order_id not in there]
    refused = [order_id for order_id in absent if order_id in counted.refused_effects]
    missing = [order_id for order_id in absent if order_id not in counted.refused_effects]
    unseen = (
        []
        if len(expected) == len(counted.accepted) - len(excused & set(counted.accepted))
        else ["some accepted tasks are not of this workload"]
    )
    shown = [
        *named(changed, "order", "another content than its input demands"),
        *named(unexpected, "order", "no accepted task that demands it"),
    ]
    passed = f"{len(there):,} rows, each as computed from the input of an accepted task."
    if refused:
        reason = printable(counted.refused_effects[refused[0]]).rstrip(".")
        passed += f" {len(refused):,} more were refused with a reason, the first {refused[0]}: {reason}."
    return decide("E1", history, shown, named(missing, "order", "no row in the ledger"), unseen, passed)
