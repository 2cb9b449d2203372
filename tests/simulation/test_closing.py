"""Stages that are closed, on virtual time: tasks go round and end once, whoever dies meanwhile."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from squall.chaos.cli.setup import spec_of
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.simulation.outcome import Outcome, Plan, outcome
from squall.services.handlers import Result, Task
from squall.services.trading import pipeline, rounds

pytestmark = pytest.mark.simulation

TASKS = 160

DEATHS = (
    Interval(fault="crash", target="agent-4", at_s=0.5, point="agent.asked"),
    Interval(fault="crash", target="agent-4", at_s=1.5, point="agent.committed"),
    Interval(fault="crash", target="agent-1", at_s=2.5, point="agent.committed"),
    Interval(fault="leave", target="agent-8", at_s=3.0, for_s=3.0),
    Interval(fault="crash", target="agent-4", at_s=6.6, point="agent.executed"),
)
"""The last stage dies as it asks for a record of what goes round, with it written and not acknowledged, and
with nothing written; the first one as it has taken a task in."""

BROKER = (
    Interval(fault="restart", target="broker", at_s=1.0),
    Interval(fault="crash", target="broker", at_s=4.0),
    Interval(fault="sever", target="stage-4", at_s=6.0, for_s=1.5),
)
"""What is on its way to the first stage comes out of two streams as the broker ends."""


def run(seed: int, intervals: tuple[Interval, ...], *, laps_max: int = 3, **changes: Any) -> Outcome:
    spec = spec_of(
        "ring",
        tasks_of_load=TASKS,
        rate_per_s=20.0,
        **{"closed": True, "laps_max": laps_max, "stages": rounds.STAGES, "ack_wait_s": 1.0, **changes},
    )
    schedule = Schedule(seed=seed, intervals=intervals, quiet_s=4.0)
    return outcome(
        Plan(spec=msgspec.structs.replace(spec, seed=seed), schedule=schedule, is_drawn=False), seed
    )


@pytest.mark.parametrize("intervals", [DEATHS, BROKER], ids=["deaths", "broker"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_tasks_go_round_and_end_once_whoever_dies(seed: int, intervals: tuple[Interval, ...]) -> None:
    found = run(seed, intervals)
    assert found.verdict == "pass", found
    assert {"R1", "R2", "R6", "E1", "L1", "L2", "U1", "U2"} <= {*found.passed}
    assert found.faults >= len(intervals)


ASKED = tuple(
    Interval(fault="crash", target="agent-4", at_s=0.3 + turn, point="agent.asked") for turn in range(6)
)
"""The last stage dies with its question whether a task goes round under way, again and again."""


async def fickle(task: Task) -> Result:
    """The last stage: a first attempt may have its task go round, and a second one ends it."""
    made = await rounds.order(task)
    if not made.again or task.attempt == 1:
        return made
    look = msgspec.msgpack.decode(task.body, type=rounds.Look)
    return await pipeline.order(msgspec.structs.replace(task, body=look.value))


@pytest.mark.parametrize("seed", [1, 2])
def test_of_two_attempts_one_that_ends_and_one_that_goes_round_the_first_counts(seed: int) -> None:
    stages = (*rounds.STAGES[:3], f"{__name__}:fickle")
    found = run(seed, ASKED, stages=stages)
    assert found.verdict == "pass", found
    assert {"R1", "R2", "R6", "E1"} <= {*found.passed}


@pytest.mark.parametrize(
    "changes",
    [
        {"order": "relaxed"},
        {"laps_max": 1},
        # What is to go round once too often is dead, though no other task is ever given up.
        {"on_poison": "block"},
    ],
    ids=["relaxed", "one lap", "block"],
)
def test_rings_of_other_shapes_keep_their_promises(changes: dict[str, Any]) -> None:
    found = run(1, DEATHS, **changes)
    assert found.verdict == "pass", found
    assert {"R2", "R6", "E1"} <= {*found.passed}
