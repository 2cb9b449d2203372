"""Orders that follow each other do so through deaths of the gateway; where they do not, E1 sees it."""

from __future__ import annotations

import msgspec
import pytest

from squall.bus.messages import TaskResult
from squall.chaos.cli.setup import spec_of
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.simulation.outcome import Outcome, Plan, outcome
from squall.services.roles.gateway_in_order import InOrder

pytestmark = pytest.mark.simulation

TASKS = 200

FAULTS = (
    Interval(fault="crash", target="gateway", at_s=0.5, point="gateway.delivered"),
    Interval(fault="crash", target="gateway", at_s=1.2, point="gateway.filled"),
    Interval(fault="crash", target="any-agent", at_s=1.5, point="agent.committed"),
    Interval(fault="crash", target="venue", at_s=2.0, point="venue.journaled"),
    Interval(fault="sever", target="gateway", at_s=3.0, for_s=0.3),
)


def run(seed: int) -> Outcome:
    spec = msgspec.structs.replace(
        spec_of("ring", tasks_of_load=TASKS),
        tasks=TASKS,
        rate_per_s=60.0,
        workload="sequenced",
        ack_wait_s=1.0,
        seed=seed,
    )
    return outcome(Plan(spec=spec, is_drawn=False, schedule=Schedule(seed=seed, intervals=FAULTS)), seed)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_orders_that_follow_each_other_come_in_their_order_whoever_dies(seed: int) -> None:
    found = run(seed)
    assert found.verdict == "pass", found.failed
    assert found.accepted == TASKS
    assert {"E1", "R1", "R2"} <= {*found.passed}


def test_a_gateway_that_sends_what_comes_when_it_comes_is_seen_in_the_ledger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def any_order(self: InOrder, sequence: int, result: TaskResult) -> bool:
        self.next = max(self.next, sequence + 1)
        return True

    monkeypatch.setattr(InOrder, "_admits", any_order)
    failed = {check.id: check.detail for check in run(1).failed}
    assert "as a gap" in failed["E1"]
