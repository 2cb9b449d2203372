"""A log of votes that is trimmed all the time: whoever counts it, and from where, comes to the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from squall.chaos.cli.setup import spec_of
from squall.chaos.judge.checks.vote_log import TrimRead, recount
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.simulation.outcome import Outcome, Plan, outcome
from squall.chaos.tell.documents import history_of
from squall.services.handlers import Result, Task
from squall.services.patterns import mesh
from squall.services.roles import log_trimming

pytestmark = pytest.mark.simulation

LOG_BYTES = 350_000
"""A bound that these loads would pass several times."""

BYTES_EACH = 3500
"""What a task takes of it, when nothing goes wrong."""

SEEDS = (3, *(pytest.param(seed, marks=pytest.mark.everything) for seed in (1, 2, 4, 5, 6)))

FAULTS = (
    Interval(fault="pause", target="agent-2", at_s=2.0, for_s=6.0),
    Interval(fault="crash", target="agent-1", at_s=4.0),
    Interval(fault="crash", target="registrar", at_s=5.0),
    Interval(fault="crash", target="gateway", at_s=6.0),
    Interval(fault="sever", target="agent-3", at_s=7.0, for_s=2.0),
    Interval(fault="leave", target="agent-4", at_s=8.0, for_s=1.0),
    Interval(fault="crash", target="agent-5", at_s=10.0),
)


def run(seed: int, *, tasks: int, rate_per_s: float, patience_s: float, out: Path, **own: Any) -> Outcome:
    """A load on a log of that bound, under faults.

    Args:
        own: Other fields of the spec.
    """
    spec = msgspec.structs.replace(
        spec_of("mesh", tasks_of_load=tasks),
        tasks=tasks,
        rate_per_s=rate_per_s,
        patience_s=patience_s,
        seed=seed,
        **{"result_bytes_max": 1024, **own},
    )
    plan = Plan(spec=spec, is_drawn=False, schedule=Schedule(seed=spec.seed, intervals=FAULTS))
    return outcome(plan, spec.seed, out=out)


@pytest.fixture(autouse=True)
def _small_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh, "LOG_BYTES", (LOG_BYTES, 0, LOG_BYTES))
    monkeypatch.setattr(log_trimming, "LOOK_S", 0.3)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_log_that_its_load_would_fill_is_trimmed_and_all_count_alike(seed: int, tmp_path: Path) -> None:
    tasks = 240
    found = run(seed, tasks=tasks, rate_per_s=6.0, patience_s=60.0, out=tmp_path / "run")
    assert found.verdict == "pass", found
    assert found.accepted == tasks
    assert {"M1", "M2", "M4", "M5", "M6", "E1", "L1", "U1", "U2"} <= {*found.passed}
    history = history_of(tmp_path / "run")
    trims = history.of(TrimRead)
    assert trims, "nothing was trimmed"
    assert [epoch.number for epoch in recount(history).epochs] == [1, 2, 3]
    assert len(history.registers) == tasks
    assert 0 < len(recount(history).rulings) < tasks


@pytest.mark.parametrize("seed", SEEDS)
def test_a_log_that_is_offered_more_than_it_has_room_for_refuses_some_and_decides_the_rest(
    seed: int, tmp_path: Path
) -> None:
    tasks = 600
    found = run(seed, tasks=tasks, rate_per_s=30.0, patience_s=1.0, out=tmp_path / "run")
    assert found.verdict == "pass", found
    assert {"M1", "M2", "M4", "M5", "M6", "E1", "L1", "U1", "U2"} <= {*found.passed}
    history = history_of(tmp_path / "run")
    assert history.of(TrimRead), "nothing was trimmed"
    # More than the log holds at a time, and less than was offered: it was full, and went on.
    assert LOG_BYTES / BYTES_EACH < found.accepted < tasks
    assert len(history.registers) == found.accepted


LARGE_BYTES = 100_000


async def verbose(task: Task) -> Result:
    """A handler that returns much."""
    return Result(value=task.body.ljust(LARGE_BYTES))


def test_results_as_large_as_they_may_be_do_not_fill_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, log_bytes = 150, 60 * LARGE_BYTES  # less than half of what all proposals take
    monkeypatch.setattr(mesh, "LOG_BYTES", (log_bytes, 0, log_bytes))
    own = {"handler": f"{__file__}:verbose", "result_bytes_max": LARGE_BYTES, "effects": "none"}
    found = run(3, tasks=tasks, rate_per_s=30.0, patience_s=60.0, out=tmp_path / "run", **own)
    assert found.verdict == "pass", found
    assert found.accepted == tasks
    registers = history_of(tmp_path / "run").registers
    assert [register.status for register in registers] == ["ok"] * tasks


def test_a_result_that_is_larger_than_the_mesh_takes_ends_as_dead_and_stops_nobody(tmp_path: Path) -> None:
    own = {"handler": f"{__file__}:verbose", "effects": "none"}
    found = run(3, tasks=20, rate_per_s=20.0, patience_s=60.0, out=tmp_path / "run", **own)
    assert found.accepted == 20, found
    registers = history_of(tmp_path / "run").registers
    assert [register.status for register in registers] == ["dead"] * 20
