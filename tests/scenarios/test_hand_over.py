"""A leader that is told to hands its seat over, in the middle of its work, within a second."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from squall.bus.tasks import wait_until
from squall.services.node.service import Order
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.loaded import Run
from squall.services.run.result import exit_code

pytestmark = [pytest.mark.nats, pytest.mark.alone]

SPEC = HierarchicalSpec(
    pattern="hierarchical", tasks=1000, rate_per_s=150, lease_s=3.0, ack_wait_s=1.0, pause_leader=False
)
HAND_OVER_S = 1.0


def test_a_planned_hand_over_takes_less_than_a_second_and_loses_nothing(
    run_against: Any, oracle_of: Any
) -> None:
    changes: list[tuple[str, float]] = []

    async def hand_over(run: Run) -> None:
        await run.steady()
        swarm = run.swarm
        held = await swarm.leader()
        assert held is not None
        await swarm.launcher.tell(swarm.units[held[0]], Order(step_down=True))

        async def seen() -> list[tuple[str, float]]:
            lines = [msgspec.json.decode(line) for line in swarm.history.read_bytes().splitlines()]
            return [(line["op"], line["time_s"]) for line in lines if line["op"] in ("lead", "resign")]

        changes.extend(await wait_until(seen, lambda s: len(s) > 2, timeout_s=30, what="the next leader"))

    result, ledger = run_against(SPEC, hand_over)
    assert exit_code(result) == 0, result.checks
    assert ledger == oracle_of(SPEC)
    (_, _), (resigned, resigned_s), (led, led_s) = changes[:3]
    assert (resigned, led) == ("resign", "lead")
    assert led_s - resigned_s < HAND_OVER_S
