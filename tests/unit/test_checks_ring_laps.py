"""What R6 says of a good history of closed stages, and of doctored ones; and what R1 and R2 ask of laps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.histories import Run, case_in
from tests.unit.test_checks_ring import good_run, swap

from squall.bus.stages import over
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.ring import no_loss, order
from squall.chaos.judge.checks.ring_laps import hop_bound, laps_made
from squall.chaos.judge.mistakes import by_lap

MOST = 2


def told(run: Run, at_s: float, task: str, lap: int, *, again: bool = False, status: str = "ok") -> None:
    """The last stage begins a task in a lap, and writes what came of it."""
    more = {"again": True} if again else {}
    run.line(at_s, "agent-4", "run", "invoke", task=task, attempt=1, lap=lap)
    run.line(at_s + 0.01, "agent-4", "commit", "ok", task=task, attempt=1, lap=lap, status=status, **more)


def record(run: Run, task: str, lap: int) -> None:
    run.line(19.0, "squall", "final", "ok", what="round", task=task, lap=lap, time_s_stored=1.0)


def closed_run() -> Run:
    """Of the six tasks one made two laps, and one was to make three and is dead; two laps are allowed."""
    run = good_run()
    run.spec |= {"closed": True, "laps_max": MOST}
    for row in run.rows:
        if row.get("op") in ("run", "commit", "stage-run", "stage-commit"):
            row["lap"] = 1
    for task, status in (("a-2", "ok"), ("b-3", "dead")):
        run.find("commit", task=task)["again"] = True
        told(run, 3.0, task, 2, again=status == "dead", status=status)
        record(run, task, 1)
    run.find("final", task="b-3").update(status="dead", effects=[], reason=over(MOST))
    run.fills = [fill for fill in run.fills if not str(fill[0]).startswith("b-3")]
    letter = {"what": "dead-letter", "task": "b-3", "of": "b-3", "reason": over(MOST), "attempt": 1}
    run.line(20.0, "squall", "final", "ok", agent="agent-4", **letter)
    last = run.find("final", what="complete")
    run.rows.sort(key=lambda row: row is last)
    return run


def case(tmp_path: Path, doctor: Callable[[Run], object] = lambda run: None) -> Case:
    run = closed_run()
    doctor(run)
    return case_in(run.write(tmp_path))


def test_a_good_run_in_laps_passes(tmp_path: Path) -> None:
    good = case(tmp_path)
    finding = hop_bound(good)
    assert finding.verdict == "pass", finding
    assert "2 tasks went round, 2 times in all; none made more than 2 laps, and 1 task" in finding.detail
    assert laps_made(good.history) == {"a-2": 2, "b-3": 2}
    assert [*by_lap(good.history, "a-2")] == [1, 2]
    assert order(good).verdict == "pass", order(good)


def test_of_stages_that_are_open_or_where_nothing_went_round_nothing_is_said(tmp_path: Path) -> None:
    opened = hop_bound(case_in(good_run().write(tmp_path / "open")))
    assert (opened.verdict, opened.exercised) == ("unknown", False)
    assert "not closed" in opened.detail
    still = good_run()
    still.spec |= {"closed": True, "laps_max": MOST}
    finding = hop_bound(case_in(still.write(tmp_path / "still")))
    assert (finding.verdict, finding.exercised) == ("unknown", False)
    assert "nothing went round" in finding.detail.lower()


@pytest.mark.parametrize(
    ("doctor", "said"),
    [
        (lambda run: record(run, "b-3", 2), "gone on after its last lap, of 2: b-3"),
        (lambda run: told(run, 4.0, "a-2", 3), "gone on after its last lap, of 2: a-2"),
        (lambda run: run.find("commit", task="b-3", lap=2).update(status="ok"), "gone on after its last lap"),
        (
            lambda run: run.find("final", task="b-3").update(status="ok", reason=""),
            "been to go on after its last lap, and is not dead: b-3",
        ),
        (lambda run: run.drop("final", what="round", task="a-2"), "a lap that nothing went round into: a-2"),
        (
            lambda run: run.find("final", what="register", task="a-1").update(
                status="dead", reason=over(MOST)
            ),
            "died of the hop bound before lap 2: a-1",
        ),
        (lambda run: run.find("commit", task="a-2", lap=1).pop("again"), "both ended and gone round"),
    ],
)
def test_a_doctored_history_fails(tmp_path: Path, doctor: Callable[[Run], object], said: str) -> None:
    finding = hop_bound(case(tmp_path, doctor))
    assert (finding.verdict, said in finding.detail) == ("fail", True), finding.detail


def test_a_lap_that_was_leapt_over_fails(tmp_path: Path) -> None:
    def leapt(run: Run) -> None:
        run.spec["laps_max"] = 3
        run.find("final", what="register", task="b-3").update(status="ok", reason="")
        run.drop("final", what="round", task="b-3")
        record(run, "b-3", 2)

    assert "gone round from a lap that it was not in: b-3" in hop_bound(case(tmp_path, leapt)).detail


def test_who_was_to_go_round_and_of_whom_no_record_says_so_fails(tmp_path: Path) -> None:
    finding = hop_bound(case(tmp_path, lambda run: run.find("commit", task="a-1").update(again=True)))
    assert finding.verdict == "fail"
    assert "been to go round, and no record that it did: a-1" in finding.detail


def test_who_goes_round_may_be_overtaken_and_overtakes_nobody(tmp_path: Path) -> None:
    late = case(tmp_path / "late", lambda run: swap(run, "a-2", "a-3"))  # a-2 made a lap more than a-3
    assert order(late).verdict == "pass", order(late)
    early = case(tmp_path / "early", lambda run: swap(run, "a-1", "a-2"))
    assert order(early).verdict == "fail"


def test_a_task_that_the_bound_ended_is_no_loss_and_another_dead_one_is(tmp_path: Path) -> None:
    good = no_loss(case(tmp_path / "good"))
    assert good.verdict == "pass", good

    def unreached(run: Run) -> None:
        run.drop("final", what="round", task="b-3")

    bad = no_loss(case(tmp_path / "bad", unreached))
    assert bad.verdict == "fail"
    assert "hop bound" in bad.detail
