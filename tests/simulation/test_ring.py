"""Schedules of stages in a row: all checks pass, lanes move, and what breaks the order is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.registered_ring import register

from squall.bus import lane_moves
from squall.bus.lane_order import LaneTurns
from squall.bus.pull import Delivery
from squall.chaos.cli.setup import spec_of
from squall.chaos.judge import checks
from squall.chaos.simulation.draw import TASKS
from squall.chaos.simulation.outcome import Plan, outcome
from squall.services.patterns.ring import RingSpec
from squall.services.run.spec import spec_as

pytestmark = pytest.mark.simulation

SCHEDULES = 4


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    register(monkeypatch)
    yield
    monkeypatch.undo()
    checks.promises_of.cache_clear()


def plan(**changes: Any) -> Plan:
    drawn = spec_as(spec_of("ring", tasks_of_load=TASKS), RingSpec)
    return Plan(spec=RingSpec(**{**{f: getattr(drawn, f) for f in drawn.__struct_fields__}, **changes}))


@pytest.mark.parametrize("order", ["strict", "relaxed"])
def test_every_check_passes_or_is_unknown_and_lanes_move(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: Counter[str] = Counter()
    take = lane_moves.take

    async def counted(connection: Any, queue: Any, step: Any, epoch: int) -> bool:
        steps[type(step).__name__] += 1
        return await take(connection, queue, step, epoch)

    monkeypatch.setattr(lane_moves, "take", counted)
    # Two heartbeats that are missed are enough, so that lanes move where something is cut or stands still.
    moving = plan(order=order, absent_s=2.0, drain_s=3.0)
    found = [outcome(moving, seed) for seed in range(1, SCHEDULES + 1)]
    bad = [each for each in found if each.verdict != "pass"]
    assert not bad, bad[0]
    passed = {check for each in found for check in each.passed}
    assert {"R2", "E1", "L1", "U1", "U2"} <= passed
    assert ("R1" in passed) == (order == "strict")
    assert {*steps} == {"Shrink", "Make"} or {*steps} == {"Shrink", "Make", "Remove"}


def test_where_nobody_waits_for_its_turn_the_order_is_seen_to_break(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(self: LaneTurns, delivery: Delivery) -> float:
        return 0.0

    monkeypatch.setattr(LaneTurns, "wait", at_once)
    found = [outcome(plan(), seed) for seed in range(1, 5)]
    assert any(check.id == "R1" for each in found for check in each.failed)
