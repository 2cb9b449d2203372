"""What the checks of a stage's breaker say of a good history, and of doctored ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.histories import Run, T, case_in
from tests.unit.test_checks_ring import TASKS, case, good_run

from squall.bus.stages import DEAD_BEFORE
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.ring import no_loss
from squall.chaos.judge.checks.ring_breakers import half_open_discipline, isolation, trips_and_heals
from squall.services.node.interference import FAILED
from squall.services.roles.guarded import LEFT_ALONE

ROW = 10


def attempt(
    run: Run, at_s: float, task: str, end: str, *, node: str = "agent-3", took_s: float = 0.02
) -> None:
    """An attempt at stage 3: ``failed``, ``ok``, or not made, as it was ``left`` alone."""
    told = {"stage": 3, "task": task, "attempt": 1}
    run.line(at_s, node, "stage-run", "invoke", **told)
    if end == "ok":
        run.line(at_s + took_s, node, "stage-commit", "ok", status="ok", **told)
    else:
        reason = LEFT_ALONE if end == "left" else FAILED
        run.line(at_s + took_s, node, "stage-attempt", "fail", reason=reason, **told)


def turn(run: Run, at_s: float, event: str, state: str, node: str = "agent-3", **facts: object) -> None:
    told = {"stage": 3, "event": event, "state": state, "why": "some failed", "opened": 1, **facts}
    run.line(at_s, node, "breaker", "ok", **told)


def failing_run() -> Run:
    """As the good one; then stage 3 fails from 30 to 40, is left alone, probed twice, and goes on."""
    run = good_run()
    run.spec |= {"breaker_window_s": 6.0, "breaker_wait_s": 1.5, "breaker_wait_s_max": 6.0}
    for n in range(ROW):
        attempt(run, 30.1 + n / 10, f"x-{n}", "failed")
    turn(run, 31.2, "trip", "open", for_s=4.5)
    turn(run, 31.5, "trip", "open", node="router-1", for_s=4.5, shared=True)
    turn(run, 36.0, "waited", "half-open")
    for n in range(3):
        attempt(run, 36.1 + n / 100, f"y-{n}", "failed", took_s=0.1)
    turn(run, 36.5, "failed", "open", for_s=6.0, opened=2)
    turn(run, 42.5, "waited", "half-open")
    for n in range(3):
        attempt(run, 42.6 + n / 100, f"z-{n}", "ok", took_s=0.1)
    turn(run, 42.9, "passed", "closed", opened=2)
    for n in range(40):
        at_s = 31.6 + n / 20
        run.submit(at_s, f"w-{n}")
        told = {"stage": 2, "task": f"w-{n}", "attempt": 1}
        run.line(at_s + 0.1, "agent-2", "stage-run", "invoke", **told)
        run.line(at_s + 0.2, "agent-2", "stage-commit", "ok", status="ok", **told)
    run.faults.append(
        {
            "id": "1/agent-3",
            "kind": "errors",
            "target": "stage-3",
            "node": "agent-3",
            "start_s": T + 30.0,
            "verified_s": T + 30.05,
            "held_s": T + 40.0,
            "end_s": T + 40.1,
            "healed_s": T + 40.1,
            "verified": True,
        }
    )
    return run


def failing(tmp_path: Path, doctor: Callable[[Run], object] = lambda run: None) -> Case:
    run = failing_run()
    doctor(run)
    run.rows.sort(key=lambda row: row["time_s"])
    tmp_path.mkdir(exist_ok=True)
    return case_in(run.write(tmp_path / "run"))


def shown(check: Callable[[Case], object], case_: Case) -> tuple[str, str]:
    found = check(case_)
    return found.verdict, found.detail  # type: ignore[attr-defined]


def is_fine(found: tuple[str, str]) -> bool:
    """Whether nothing is held against it; that tasks of such a run did not end is nothing to these checks."""
    return found[0] != "fail"


def test_a_breaker_that_opens_and_closes_in_time_is_fine(tmp_path: Path) -> None:
    good = failing(tmp_path)
    for check in (trips_and_heals, half_open_discipline, isolation):
        assert is_fine(shown(check, good)), shown(check, good)


@pytest.mark.parametrize("check", [trips_and_heals, half_open_discipline, isolation])
def test_where_nothing_failed_nothing_is_said(tmp_path: Path, check: Callable[[Case], object]) -> None:
    found = check(case(tmp_path))
    assert (found.verdict, found.exercised) == ("unknown", False)  # type: ignore[attr-defined]
    off = case(tmp_path, lambda run: run.spec.update(breaker="off"))
    assert "off" in check(off).detail  # type: ignore[attr-defined]


def never_open(run: Run) -> None:
    run.rows = [row for row in run.rows if row["op"] != "breaker"]
    for n in range(3 * ROW):
        attempt(run, 32.0 + n / 50, f"v-{n}", "failed")


def opened_for_nothing(run: Run) -> None:
    turn(run, 10.0, "trip", "open", for_s=1.5)


def opened_for_what_was_not_made(run: Run) -> None:
    for n in range(ROW):
        attempt(run, 10.0 + n / 50, f"v-{n}", "left")
    opened_for_nothing(run)


def seldom(run: Run, *, well: bool) -> None:
    """A row of failures over a long time, and whether an attempt ended well in the middle of them."""
    for n in range(ROW):
        attempt(run, 10.0 + 1.5 * n, f"v-{n}", "ok" if well and n == ROW // 2 else "failed")
    why = f"{ROW} calls failed one after the other"
    turn(run, 10.1 + 1.5 * ROW, "trip", "open", for_s=1.5, why=why)


def test_failures_one_after_the_other_open_a_breaker_however_long_they_take(tmp_path: Path) -> None:
    assert is_fine(shown(trips_and_heals, failing(tmp_path / "row", lambda run: seldom(run, well=False))))
    verdict, why = shown(trips_and_heals, failing(tmp_path / "no-row", lambda run: seldom(run, well=True)))
    assert (verdict, "opened after" in why) == ("fail", True), why


def stays_open(run: Run) -> None:
    run.rows = [row for row in run.rows if not str(row.get("task", "")).startswith("z-")]
    attempt(run, 90.0, "v-1", "failed")


@pytest.mark.parametrize(
    ("doctor", "why"),
    [
        (never_open, "no breaker was open 4.0 s later"),
        (opened_for_nothing, "opened after 0 failed attempts"),
        (opened_for_what_was_not_made, "opened after 0 failed attempts"),
        (stays_open, "nothing ended well at it"),
    ],
)
def test_what_opens_late_or_for_nothing_or_stays_open_fails(
    tmp_path: Path, doctor: Callable[[Run], object], why: str
) -> None:
    verdict, detail = shown(trips_and_heals, failing(tmp_path, doctor))
    assert (verdict, why in detail) == ("fail", True), detail


@pytest.mark.parametrize(("status", "is_failure"), [("dead", True), ("ok", False)])
def test_an_attempt_whose_result_came_second_says_what_it_came_to(
    tmp_path: Path, status: str, is_failure: bool
) -> None:
    """Its breaker counted it, though somebody else's result is its task's."""

    def last_of_the_row(run: Run) -> None:
        told = {"stage": 3, "task": f"x-{ROW - 1}"}
        run.rows = [row for row in run.rows if row.get("task") != told["task"] or row["op"] == "submit"]
        run.line(31.0, "agent-3", "stage-run", "invoke", attempt=5, **told)
        facts = {"status": status, "reason": "already", "attempt": 5}
        run.line(31.02, "agent-3", "stage-commit", "fail", **facts, **told)

    verdict, detail = shown(trips_and_heals, failing(tmp_path, last_of_the_row))
    assert (verdict != "fail") is is_failure, detail
    assert ("opened after 9 failed attempts, not 10" in detail) is not is_failure


def test_one_probe_more_than_its_share_fails(tmp_path: Path) -> None:
    def one_more(run: Run) -> None:
        attempt(run, 36.2, "y-9", "failed", took_s=0.1)

    verdict, detail = shown(half_open_discipline, failing(tmp_path, one_more))
    assert (verdict, "4 probes" in detail) == ("fail", True), detail


def test_an_attempt_while_its_breaker_is_open_fails_but_for_what_was_let_through_before(
    tmp_path: Path,
) -> None:
    def late(run: Run) -> None:
        attempt(run, 34.0, "v-1", "failed")

    def soon(run: Run) -> None:
        attempt(run, 31.5, "v-1", "failed")

    verdict, detail = shown(half_open_discipline, failing(tmp_path / "late", late))
    assert (verdict, "was open" in detail) == ("fail", True), detail
    assert is_fine(shown(half_open_discipline, failing(tmp_path / "soon", soon)))


@pytest.mark.parametrize("verb", ["force-open", "disable", "observe"])
def test_a_breaker_that_an_operator_had_stand_otherwise_is_not_held_to_its_rule(
    tmp_path: Path, verb: str
) -> None:
    def operated(run: Run) -> None:
        never_open(run)
        turn(run, 29.0, verb, "operated", node="router-1", shared=True)

    assert is_fine(shown(trips_and_heals, failing(tmp_path / "before", operated)))

    def operated_later(run: Run) -> None:
        never_open(run)
        turn(run, 41.0, verb, "operated", node="router-1", shared=True)

    assert shown(trips_and_heals, failing(tmp_path / "after", operated_later))[0] == "fail"


def test_an_attempt_while_its_breaker_is_forced_open_fails(tmp_path: Path) -> None:
    def forced(run: Run) -> None:
        turn(run, 50.0, "told", "forced-open")
        attempt(run, 55.0, "v-1", "ok")

    verdict, detail = shown(half_open_discipline, failing(tmp_path, forced))
    assert (verdict, "was open" in detail) == ("fail", True), detail


def test_the_stage_before_that_stands_still_meanwhile_fails(tmp_path: Path) -> None:
    def stands(run: Run) -> None:
        run.rows = [
            row for row in run.rows if row.get("stage") != 2 or not str(row.get("task")).startswith("w")
        ]

    verdict, detail = shown(isolation, failing(tmp_path, stands))
    assert (verdict, "stage 2 ended 0 tasks" in detail) == ("fail", True), detail


def dead_after(attempts: int, *, faulty: bool = True) -> Callable[[Run], None]:
    """One task is dead at stage 3, after so many attempts that a fault had fail."""

    def doctor(run: Run) -> None:
        run.spec |= {"attempts": 3}
        task = TASKS[0]
        reason = DEAD_BEFORE + (FAILED if faulty else "it cannot be done")
        run.find("final", task=task).update(status="dead", effects=[], reason=reason)
        run.rows = [row for row in run.rows if not (row.get("stage") == 3 and row.get("task") == task)]
        for n in range(attempts - 1):
            attempt(run, 1.2 + n / 10, task, "failed")
        told = {"stage": 3, "task": task, "attempt": attempts}
        run.line(1.9, "agent-3", "stage-run", "invoke", **told)
        run.line(1.95, "agent-3", "stage-commit", "ok", status="dead", **told)

    return doctor


@pytest.mark.parametrize(
    ("doctor", "is_innocent"),
    [(dead_after(3), False), (dead_after(1), True), (dead_after(3, faulty=False), True)],
)
def test_a_task_whose_attempts_a_fault_used_up_at_a_stage_may_be_dead(
    tmp_path: Path, doctor: Callable[[Run], None], is_innocent: bool
) -> None:
    _, detail = shown(no_loss, case(tmp_path, doctor))
    assert ("dead-lettered, the first" in detail) is is_innocent, detail
