"""What the checks of stages in a row say of a good history, and of doctored ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.histories import Run, T, case_in

from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.ring import PROMISES, is_strict, no_loss, order

TASKS = [f"{key}-{n}" for n in range(1, 4) for key in ("a", "b")]


def good_run() -> Run:
    """Two keys of three tasks each, four stages, of which the last has one instance."""
    run = Run()
    run.spec |= {"pattern": "ring", "agents": 4, "order": "strict", "tasks": 6, "pause_leader": False}
    nodes = ("broker", "venue", "router-1", "gateway", *(f"agent-{n}" for n in range(1, 5)), "producer")
    for node in nodes:
        run.start(-1.0, node)
    run.counters.append({"node": "router-1", "incarnation": 1, "counters": {"reconnects": 0}})
    run.line(0.0, "router-1", "lead", "ok", term=2)
    for place, task in enumerate(TASKS, 1):
        key = task.rsplit("-", 1)[0]
        facts = {"task": task, "key": key, "job": "momentum", "submit_s": T + place / 10}
        run.line(place / 10, "producer", "submit", "invoke", **facts)
        run.line(place / 10 + 0.01, "producer", "submit", "ok", task=task, seq=place, refusals=0)
        for stage in range(1, 4):
            at_s = 1.0 + place / 10 + stage / 100
            told = {"stage": stage, "task": task, "attempt": 1}
            run.line(at_s, f"agent-{stage}", "stage-run", "invoke", **told)
            run.line(at_s + 0.005, f"agent-{stage}", "stage-commit", "ok", status="ok", **told)
        run.line(2.0 + place / 10, "agent-4", "run", "invoke", task=task, attempt=1)
        run.line(2.01 + place / 10, "agent-4", "commit", "ok", task=task, attempt=1, status="ok")
        run.register(2.01 + place / 10, task, term=0, agent="agent-4")
        run.fill(2.1 + place / 10, task)
    for stage in range(1, 5):
        run.line(20.0, "squall", "final", "ok", what="stage", stage=stage, arrivals=len(TASKS), left=0)
    run.line(20.5, "router-1", "resign", "ok", term=2)
    run.line(21.0, "squall", "final", "ok", what="complete", drained=True, bound_s=60.0, took_s=1.0)
    return run


def case(tmp_path: Path, doctor: Callable[[Run], object] = lambda run: None) -> Case:
    run = good_run()
    doctor(run)
    return case_in(run.write(tmp_path / "run"))


def test_a_good_run_passes(tmp_path: Path) -> None:
    good = case(tmp_path)
    assert [(promise.id, promise.check(good).verdict) for promise in PROMISES.promises[:2]] == [
        ("R1", "pass"),
        ("R2", "pass"),
    ], (order(good), no_loss(good))
    assert "6 tasks of 2 keys" in order(good).detail


def swap(run: Run, one: str, other: str) -> None:
    """As if one register had been written before another."""
    first, second = run.find("final", task=one), run.find("final", task=other)
    at = run.rows.index(first), run.rows.index(second)
    run.rows[at[0]], run.rows[at[1]] = second, first


def test_two_of_a_key_that_changed_places_fail_the_order(tmp_path: Path) -> None:
    finding = order(case(tmp_path, lambda run: swap(run, "a-1", "a-3")))
    assert finding.verdict == "fail"
    assert "a-" in finding.detail
    assert no_loss(case(tmp_path, lambda run: swap(run, "a-1", "a-3"))).verdict == "pass"


def test_two_of_different_keys_may_change_places(tmp_path: Path) -> None:
    assert order(case(tmp_path, lambda run: swap(run, "a-1", "b-1"))).verdict == "pass"


@pytest.mark.parametrize(("task", "key", "verdict"), [("a-2", "another", "pass"), ("b-1", "a", "fail")])
def test_a_key_is_what_a_task_belongs_to_and_not_how_its_name_begins(
    tmp_path: Path, task: str, key: str, verdict: str
) -> None:
    def belong(run: Run) -> None:
        run.find("final", task=task)["key"] = key
        swap(run, "a-1", task)

    assert order(case(tmp_path, belong)).verdict == verdict


def test_what_came_in_the_other_way_round_ends_so(tmp_path: Path) -> None:
    def other_way(run: Run) -> None:
        for task, place in (("a-1", 5), ("a-3", 1)):
            run.find("submit", task=task, type="ok")["seq"] = place
        swap(run, "a-1", "a-3")

    assert order(case(tmp_path, other_way)).verdict == "pass"


def test_a_relaxed_run_is_not_held_to_an_order(tmp_path: Path) -> None:
    relaxed = case(tmp_path, lambda run: run.spec.update(order="relaxed"))
    assert not is_strict(relaxed.history)
    assert not PROMISES.promises[0].when(relaxed.history)


def test_what_a_broker_copied_once_more_into_a_stage_is_no_loss_at_the_next(tmp_path: Path) -> None:
    again = case(tmp_path, lambda run: run.find("final", stage=1).update(arrivals=8))
    assert no_loss(again).verdict == "pass"


@pytest.mark.parametrize(
    ("doctor", "why"),
    [
        (lambda run: run.drop("final", task="a-2"), "a-2"),
        (lambda run: run.fills.pop(), "1 intent"),
        (lambda run: run.fills.append(("a-1.0", T + 9.0)), "more than one fill"),
        (lambda run: run.find("final", stage=2).update(left=1), "stage 2 has 1"),
        (
            lambda run: run.find("final", stage=3).update(arrivals=5),
            "stage 3 took in 5, and 6 tasks have ended",
        ),
        (lambda run: run.find("final", task="b-1").update(status="dead", effects=[], reason="why"), "why"),
    ],
)
def test_what_is_lost_or_done_twice_fails(tmp_path: Path, doctor: Callable[[Run], object], why: str) -> None:
    finding = no_loss(case(tmp_path, doctor))
    assert (finding.verdict, why in finding.detail.lower()) == ("fail", True), finding.detail


def test_what_is_not_known_of_the_stages_leaves_it_open(tmp_path: Path) -> None:
    def nothing_of_stages(run: Run) -> None:
        run.rows = [row for row in run.rows if row.get("what") != "stage"]

    assert no_loss(case(tmp_path, nothing_of_stages)).verdict == "unknown"


def test_of_an_empty_history_nothing_is_said(tmp_path: Path) -> None:
    def nothing(run: Run) -> None:
        run.rows = [row for row in run.rows if row.get("what") == "complete"]

    empty = case(tmp_path, nothing)
    assert (order(empty).verdict, no_loss(empty).verdict) == ("unknown", "unknown")
