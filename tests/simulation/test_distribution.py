"""Schedules of a leader that says who is given what: all is done once, whatever is struck."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from squall.chaos.cli.setup import spec_of
from squall.chaos.mutants.catalogues import catalogue_of
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.simulation.outcome import Plan, outcome
from squall.services.patterns.star import CLASSES
from squall.services.run.spec import Spec
from squall.services.run.swarm_toml import convert

pytestmark = pytest.mark.simulation

TASKS = 60
ABLE = {
    "agent-1": ("momentum",),
    "agent-2": ("mean-reversion", "pairs"),
    "agent-3": ("pairs", "arbitrage"),
    "agent-4": ("arbitrage", "momentum"),
}
CLASSED = {
    f"agent-{n}": tuple(kind for at, kind in enumerate(CLASSES) if at % 4 in (n - 1, n % 4))
    for n in range(1, 5)
}
CAPABLE = {"hierarchical": ABLE, "star": CLASSED}
"""Two agents can do each."""

PROMISED = {"hierarchical": {"H1", "H2"}, "star": {"S1", "S4"}}

STRATEGIES = ("round-robin", "specialised", "affinity", "adaptive", "stealing")


def swarm(tasks: int = TASKS, *, of: str = "hierarchical", **values: Any) -> Spec:
    """Four agents of a pattern."""
    spec = spec_of(of, tasks_of_load=tasks, tasks=tasks)
    return msgspec.structs.replace(spec, agents=4, **values, pause_leader=False)


def lines(run: Path, op: str) -> list[dict[str, Any]]:
    found = map(msgspec.json.decode, (run / "history.jsonl").read_bytes().splitlines())
    return [line for line in found if line["op"] == op]


def given(run: Path) -> list[dict[str, Any]]:
    return lines(run, "given")


@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(s, marks=pytest.mark.everything) for s in range(3, 9))]
)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("pattern", PROMISED)
def test_whatever_is_struck_nothing_is_lost_or_done_twice(pattern: str, strategy: str, seed: int) -> None:
    able = CAPABLE[pattern] if strategy == "specialised" else {}
    spec = swarm(of=pattern, distribution=strategy, slots=4, capabilities=able)
    found = outcome(Plan(spec=spec), seed)
    assert found.verdict == "pass", found
    assert PROMISED[pattern] | {"E1", "U1", "U2"} <= {*found.passed}


@pytest.mark.parametrize("strategy", ["round-robin", "affinity"])
@pytest.mark.parametrize("pattern", PROMISED)
def test_what_an_absent_worker_has_goes_to_others(pattern: str, strategy: str, tmp_path: Path) -> None:
    """It is paused for so long that all of it could end without it, and wakes up with what it had begun."""
    paused = Interval(fault="pause", target="any-agent", at_s=0.6, for_s=12.0)
    plan = Plan(
        is_drawn=False,
        spec=swarm(
            of=pattern,
            distribution=strategy,
            slots=2,
            handler="squall.chaos.inject.handlers:unhurried",
        ),
        schedule=Schedule(seed=1, intervals=(paused,)),
    )
    found = outcome(plan, 1, out=tmp_path / "run")
    assert found.verdict == "pass", found
    assert PROMISED[pattern] | {"U2"} <= {*found.passed}
    moved = given(tmp_path / "run")
    assert moved
    assert {each["why"] for each in moved} == {"absent"}
    assert len({each["frm"] for each in moved}) == 1
    assert {each["tried"] for each in moved} == {True, False}  # what it had begun, and what waited there


def test_what_needs_a_capability_waits_for_whoever_alone_has_it(tmp_path: Path) -> None:
    paused = Interval(fault="pause", target="any-agent", at_s=0.6, for_s=8.0)
    alone = {f"agent-{n}": (each,) for n, each in enumerate(("momentum", "mean-reversion", "pairs"), 1)}
    plan = Plan(
        is_drawn=False,
        spec=swarm(
            distribution="specialised",
            capabilities={**alone, "agent-4": ("arbitrage",)},
            slots=2,
            handler="squall.chaos.inject.handlers:unhurried",
        ),
        schedule=Schedule(seed=1, intervals=(paused,)),
    )
    found = outcome(plan, 1, out=tmp_path / "run")
    assert found.verdict == "pass", found
    assert {"H1", "H7"} <= {*found.passed}
    assert given(tmp_path / "run") == []
    ended_s = sorted(
        each["time_s_stored"]
        for each in lines(tmp_path / "run", "final")
        if "job" in each and "agent" in each
    )
    assert ended_s[-1] - ended_s[0] > 8.0, "some waited until it was back"


MINE = """
from squall.services.handlers import Task

def decide(task: Task) -> dict[str, str]:
    return {"ship": task.key}
"""


def test_a_task_of_ones_own_goes_to_whoever_has_what_it_needs(tmp_path: Path) -> None:
    needs = {"gpu": {"agent-1"}, "tpu": {"agent-2", "agent-3"}, "": {f"agent-{n}" for n in range(1, 5)}}
    tasks = [
        {"id": f"t-{n}", "key": f"k-{n % 5}", "body": n, "needs": [*needs][n % 3] or None} for n in range(90)
    ]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks)))
    (tmp_path / "mine.py").write_text(MINE)
    plan = Plan(
        is_drawn=False,
        spec=swarm(
            distribution="specialised",
            capabilities={"agent-1": ("gpu",), "agent-2": ("tpu",), "agent-3": ("tpu",)},
            workload="own",
            tasks=len(tasks),
            tasks_from=str(tmp_path / "tasks.jsonl"),
            handler=f"{tmp_path / 'mine.py'}:decide",
            effects="none",
        ),
        schedule=Schedule(seed=1, intervals=()),
    )
    found = outcome(plan, 1, out=tmp_path / "run")
    assert found.verdict == "pass", found
    assert "H7" in found.passed
    ran: dict[str, set[str]] = {each: set() for each in needs}
    for line in lines(tmp_path / "run", "run"):
        ran[[*needs][int(line["task"][2:]) % 3]].add(line["node"])
    assert ran == needs


@pytest.mark.parametrize("pattern", PROMISED)
def test_who_is_idle_takes_what_waits_at_another(pattern: str, tmp_path: Path) -> None:
    """All that a slow task of a key holds up; a hundred keys have no even homes."""
    plan = Plan(
        is_drawn=False,
        spec=swarm(
            tasks=120,
            of=pattern,
            distribution="stealing",
            slots=1,
            handler="squall.chaos.inject.handlers:unhurried",
        ),
        schedule=Schedule(seed=1, intervals=()),
    )
    found = outcome(plan, 1, out=tmp_path / "run")
    assert found.verdict == "pass", found
    stolen = given(tmp_path / "run")
    assert {each["why"] for each in stolen} == {"stolen"}
    assert not any(each["tried"] for each in stolen)
    begun = [each["task"] for each in lines(tmp_path / "run", "run")]
    assert len(begun) == len({*begun}) == 120, "what was given to another was taken out in time"


def test_hedges_of_the_same_message_id_are_caught() -> None:
    (variant,) = (each for each in catalogue_of("hierarchical").mutants if each.name == "hedges-as-the-same")
    spec = convert({**msgspec.structs.asdict(swarm(tasks=600)), **variant.setting}, "the test")
    good = Plan(is_drawn=False, spec=spec, schedule=Schedule(seed=1, intervals=()))
    found = outcome(good, 1)
    assert not found.failed, found
    assert {"H1", "H7"} <= {*found.passed}
    bad = outcome(msgspec.structs.replace(good, preload=variant.module), 1)
    assert {check.id for check in bad.failed} == {*variant.checks}, bad
