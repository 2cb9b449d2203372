"""E1: the ledger is, row for row, what the harness computes from the market data. Pure."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence

from squall.bus.border import printable
from squall.chaos.evidence.model import History
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.accounts import Balance
from squall.chaos.judge.decide import NAMED_MAX, Finding, named, tasks, unknown
from squall.chaos.judge.oracle import ACCOUNTS, following, workload_of
from squall.chaos.judge.promise import Promise
from squall.chaos.plan.poison import is_poisoned
from squall.chaos.plan.series import is_unhurried
from squall.chaos.plan.varied import is_varied, rows_of
from squall.services.rules.following import GAP
from squall.services.run.spec import OWN, SEQUENCED
from squall.services.trading.orders import Row

ORDINARY_HANDLER = "squall.services.trading.strategies:decide"


def is_computed(history: History) -> bool:
    """Whether the orders of a run's handler are those that the oracle computes."""
    handler = history.asked.handler
    return handler == ORDINARY_HANDLER or any(
        is_ours(handler) for is_ours in (is_poisoned, is_unhurried, is_varied)
    )


def ledger_as_computed(case: Case) -> Finding:
    """E1 of a run of the ordinary workload."""
    return compare(case, computed(case.history))


def computed(history: History) -> dict[str, list[Row]]:
    """For each task that was offered, the rows that its input demands; none for one of another workload."""
    if history.asked.seed is None:
        return {}
    workload = workload_of(history.asked.seed, _accounts(history))
    demanded: dict[str, list[Row]] = {}
    for task in history.submissions:
        if (place := workload.place(task)) is not None:
            row = workload.row(place)
            demanded[task] = rows_of(task, row) if is_varied(history.asked.handler) else [row]
    return _following(history, demanded) if history.asked.workload == SEQUENCED else demanded


def _following(history: History, demanded: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """The same where each order follows the one before it of its key; of what is dead there is none."""
    without = {register.task for register in history.registers if register.status != "ok"}
    of_key: defaultdict[tuple[str, str], list[tuple[str, Row]]] = defaultdict(list)
    for task, rows in demanded.items():
        of_key[rows[0][1:3]].extend((task, row) for row in rows if task not in without)
    found: dict[str, list[Row]] = {task: [] for task in demanded}
    for placed in of_key.values():
        placed.sort(key=lambda each: each[1][3])
        rows_after = following(row for _, row in placed)
        for (task, _), row in zip(placed, rows_after, strict=True):
            found[task].append(row)
    return found


def _accounts(history: History) -> int:
    """How many accounts take turns: as many as the spec has keys, where it says so."""
    keys = history.spec.get("keys")
    return keys if isinstance(keys, int) and keys > 0 else ACCOUNTS


def unoffered(history: History) -> list[str]:
    """The tasks that were never offered, though later ones were; a workload is offered in its order."""
    if history.asked.seed is None or history.asked.workload == OWN:
        return []
    workload = workload_of(history.asked.seed, _accounts(history))
    places = {place for task in history.submissions if (place := workload.place(task)) is not None}
    missing = max(places, default=-1) + 1 - len(places)
    if not missing:
        return []
    holes = (place for place in itertools.count() if place not in places)
    first = [workload.task(place) for place in itertools.islice(holes, min(missing, NAMED_MAX))]
    more = f" and {missing - len(first):,} more" if missing > len(first) else ""
    return [
        f"{tasks(missing)} never offered, though later ones of the workload were: {', '.join(first)}{more}"
    ]


def compare(case: Case, demanded: Mapping[str, Sequence[Row]]) -> Finding:
    """The ledger against what is demanded.

    Args:
        demanded: For each task that was offered, the rows that its input demands.
    """
    history, counted = case.history, case.tally
    if history.venue is None or not history.venue.ledger:
        return unknown(history.unwitnessed or "nothing was filled")
    excused = {task for task, register in counted.registers.items() if register.status != "ok"}
    due = [task for task in counted.accepted if task not in excused]
    expected = {row[0]: row for task in due for row in demanded.get(task, ())}
    maybe = {
        row[0]
        for task, offered in history.submissions.items()
        if offered.outcome == "unknown"
        for row in demanded.get(task, ())
    }
    found = differences(case, expected, maybe, {row[0]: row for rows in demanded.values() for row in rows})
    found.inferred.extend(unoffered(history))
    strange = [task for task in due if task not in demanded]
    found.unseen.extend(named(strange, "accepted task", "no place in this workload"))
    return found.decided(case)


def differences(
    case: Case, expected: Mapping[str, Row], maybe: Container[str], of_orders: Mapping[str, Row]
) -> Balance:
    """Where the ledger differs from what was expected, row by row.

    Args:
        expected: By order id, what must be there.
        maybe: Orders that may be there too.
        of_orders: By order id, the content of each order that there can be.
    """
    history, counted = case.history, case.tally
    ledger_rows = history.venue.ledger if history.venue is not None else ()
    there = {row[0]: row for row in ledger_rows}
    changed = [o for o, row in there.items() if o in of_orders and row != of_orders[o]]
    unexpected = [order_id for order_id in there if order_id not in expected and order_id not in maybe]
    # That a task was refused, a line says; that it was never offered, none does.
    offered = [order_id for order_id in unexpected if order_id.rpartition("-")[0] in history.submissions]
    never_offered = [order_id for order_id in unexpected if order_id not in set(offered)]
    # A deviation that has a reason written down for its task is allowed, and named. That the venue declined
    # an order, and wrote nothing down of it, is the gateway's word alone; of a good order it is no reason.
    absent = [order_id for order_id in expected if order_id not in there]
    declined = {refusal.order_id for refusal in history.refusals if refusal.what == "declined"}
    gaps = {order_id for order_id, why in counted.refused_effects.items() if why.startswith(GAP)}
    reasons = counted.refused_effects.keys() - declined - gaps
    refused = [order_id for order_id in absent if order_id in reasons]
    missing = [order_id for order_id in absent if order_id not in reasons]
    passed = f"{len(there):,} rows, each as computed from the input of an accepted task."
    if refused:
        reason = printable(counted.refused_effects[refused[0]]).rstrip(".")
        passed += f" {len(refused):,} more were refused with a reason, the first {refused[0]}: {reason}."
    return Balance(
        shown=[
            *named(changed, "order", "another content than its input demands"),
            *named(sorted(gaps), "order", "been refused by the venue as a gap"),
            *named(offered, "order", "no accepted task that demands it"),
        ],
        inferred=[
            *named(never_offered, "order", "no accepted task that demands it"),
            *named(missing, "order", "no row in the ledger"),
        ],
        passed=passed,
    )


LEDGER = Promise(
    id="E1",
    name="ledger-as-computed",
    text="The venue's ledger is, row for row, what the harness computes from the market data.",
    check=ledger_as_computed,
    when=is_computed,
)
