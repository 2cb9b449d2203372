"""The schedule, the log of faults and the nodes' own starts tell the same, or what they tell is doubtful."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import Run, T, good_run

from squall.chaos.evidence.agreement import disagreements
from squall.chaos.evidence.doubts import doubts
from squall.chaos.tell.documents import history_of, judge

PLANNED = """
[[interval]]
fault = "crash"
target = "any-agent"
point = "agent.executed"

[[interval]]
fault = "latency"
target = "all-agents"
"""


def struck(number: int, kind: str, target: str, node: str, at_s: float, **facts: Any) -> dict[str, Any]:
    return {
        "id": f"{number}/{node}", "kind": kind, "target": target, "node": node, "start_s": T + at_s,
        "end_s": T + at_s + 0.5, "healed_s": T + at_s + 0.6, "verified": True, **facts,
    }  # fmt: skip


def experiment() -> Run:
    """A good run of two planned faults: an agent crashes at a point, all agents become slow."""
    run = good_run()
    run.faults += [
        struck(1, "crash", "any-agent", "agent-1", 5.0, point="agent.executed"),
        struck(2, "latency", "all-agents", "agent-1", 6.0),
        struck(2, "latency", "all-agents", "agent-2", 6.0),
    ]
    run.start(5.3, "agent-1", 2)
    run.line(0.5, "nemesis", "phase", "ok", what="steady", seconds=1.0)
    run.line(10.0, "nemesis", "phase", "ok", what="healed", bound_s=12.0, backlog=0, faults=3)
    run.nodes.append({"node": "nemesis", "role": "nemesis", "incarnation": 1, "started_s": T})
    return run


def written(run: Run, path: Path, schedule: str = PLANNED) -> Path:
    (run.write(path) / "schedule.toml").write_text(schedule)
    return path


def test_a_run_whose_faults_all_tell_of_leaves_no_doubt(tmp_path: Path) -> None:
    assert doubts(history_of(written(experiment(), tmp_path))) == []


def test_a_fault_that_was_planned_and_not_injected_is_missed(tmp_path: Path) -> None:
    run = experiment()
    del run.faults[2:]
    run.find("phase", what="healed")["faults"] = 1
    assert doubts(history_of(written(run, tmp_path))) == [
        "1 planned fault neither injected nor missed, the first: latency of all-agents"
    ]


def test_one_that_struck_at_another_point_is_not_the_one_that_was_planned(tmp_path: Path) -> None:
    run = experiment()
    run.faults[1]["point"] = "agent.delivered"
    assert disagreements(history_of(written(run, tmp_path))) == [
        "1 planned fault neither injected nor missed, the first: crash of any-agent at agent.executed"
    ]


def test_a_fault_that_was_missed_makes_nothing_doubtful_but_what_rests_on_it(tmp_path: Path) -> None:
    run = experiment()
    now = {"start_s": T + 6.0, "end_s": T + 6.0, "verified": False}
    run.faults[2:] = [{"id": "2/missed", "kind": "latency", "target": "all-agents", **now}]
    run.find("phase", what="healed")["faults"] = 2
    path = written(run, tmp_path)
    assert doubts(history_of(path)) == []
    unknown = {check.id: check.detail for check in judge(path).checks if check.verdict == "unknown"}
    assert unknown.pop("L1") == "Latency of all-agents was planned and missed."
    assert set(unknown) <= {"H3", "L3", "L5"}
    assert [fault.verified for fault in judge(path).faults] == [True, True, False]


def test_a_fault_that_had_nothing_to_strike_makes_nothing_doubtful(tmp_path: Path) -> None:
    run = experiment()
    run.faults[3].update(verified=False, spared=True, reason="nothing came there that it could have struck")
    path = written(run, tmp_path)
    assert doubts(history_of(path)) == []
    assert "L1" not in {check.id for check in judge(path).checks if check.verdict == "unknown"}
    assert [fault.verified for fault in judge(path).faults] == [True, True, True, False]


@pytest.mark.parametrize(("heard", "alike"), [([7, 7], True), ([7, 0], True), ([7], True), ([7, 8], False)])
def test_a_node_that_was_heard_of_was_not_cut_off(heard: list[int], alike: bool, tmp_path: Path) -> None:
    run = experiment()
    run.faults.append({**struck(3, "blackhole", "agent-1", "agent-1", 7.0), "heard": heard})
    run.find("phase", what="healed")["faults"] = 4
    said = ["the broker heard of agent-1 under the blackhole of it"]
    assert disagreements(history_of(run.write(tmp_path))) == ([] if alike else said)


def test_without_a_schedule_nothing_was_planned(tmp_path: Path) -> None:
    assert disagreements(history_of(experiment().write(tmp_path))) == []


@pytest.mark.parametrize("kind", ["crash", "restart"])
def test_a_process_that_was_ended_and_not_started_again_was_not_ended(kind: str, tmp_path: Path) -> None:
    run = experiment()
    run.faults[1]["kind"] = kind
    run.nodes = [start for start in run.nodes if start["incarnation"] == 1]
    assert f"the {kind} of agent-1 was followed by no further start of it" in disagreements(
        history_of(run.write(tmp_path))
    )


def test_one_start_stands_for_one_end(tmp_path: Path) -> None:
    run = experiment()
    run.faults.append(struck(3, "crash", "agent-1", "agent-1", 5.1))
    assert len(disagreements(history_of(run.write(tmp_path)))) == 1
    run.start(5.9, "agent-1", 3)
    assert disagreements(history_of(run.write(tmp_path))) == []


@pytest.mark.parametrize("schedule", ["interval = 3", "[[interval]]\nfault = 3", "\x00"])
def test_a_schedule_that_cannot_be_read_is_a_doubt(schedule: str, tmp_path: Path) -> None:
    found = doubts(history_of(written(experiment(), tmp_path, schedule)))
    assert any(doubt.startswith("schedule.toml is unusable") for doubt in found)
