"""What R8 and R2 say of tasks that were shed as they were to be, and of doctored histories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.histories import Run, T, case_in
from tests.unit.test_checks_ring import good_run
from tests.unit.test_checks_ring_breakers import turn

from squall.bus.stages import DEAD_BEFORE
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.ring import no_loss
from squall.chaos.judge.checks.ring_shedding import shedding, sheds
from squall.services.rules.shedding import Shed, reason

MARK = 4
WHY = DEAD_BEFORE + reason(Shed(6, 3, MARK))


def at_stage(run: Run, at_s: float, task: str, stage: int) -> None:
    told = {"stage": stage, "task": task, "attempt": 1}
    run.line(at_s, f"agent-{stage}", "stage-run", "invoke", **told)
    run.line(at_s + 0.02, f"agent-{stage}", "stage-commit", "ok", status="ok", **told)


def shed_run() -> Run:
    """Stage 3 is left alone from 31 to 36; six wait, of which the first two are shed, and four go on."""
    run = good_run()
    run.spec |= {"shed": "drop-oldest", "backlog_max": MARK, "rate_per_s": 1.0, "tasks": 12}
    turn(run, 31.0, "trip", "open", node="router-1", for_s=5.0, shared=True)
    for n in range(6):
        run.submit(31.0 + n / 10, f"c-{n}")
        run.find("submit", task=f"c-{n}", type="ok")["seq"] = 10 + n
        at_stage(run, 31.05 + n / 10, f"c-{n}", 2)
    run.line(32.0, "squall", "waiting", "ok", stage=3, waiting=6)
    for n in range(2):
        run.line(32.1 + n / 100, "router-1", "shed", "ok", task=f"c-{n}", stage=3, waiting=6, seq=10 + n)
        run.register(32.2, f"c-{n}", term=0, status="dead", reason=WHY, agent="agent-4")
    for n in range(2, 6):
        at_stage(run, 36.5 + n / 10, f"c-{n}", 3)
        run.line(37.0, "agent-4", "run", "invoke", task=f"c-{n}", attempt=1)
        run.line(37.1, "agent-4", "commit", "ok", task=f"c-{n}", attempt=1, status="ok")
        run.register(37.1, f"c-{n}", term=0, agent="agent-4")
        run.fill(37.2, f"c-{n}")
    run.line(33.5, "squall", "waiting", "ok", stage=3, waiting=MARK)
    run.find("final", what="complete")["time_s"] = T + 60.0
    return run


def case(tmp_path: Path, doctor: Callable[[Run], object] = lambda run: None) -> Case:
    run = shed_run()
    doctor(run)
    return case_in(run.write(tmp_path / "run"))


def test_what_is_shed_as_it_was_to_be_passes_and_is_counted(tmp_path: Path) -> None:
    good = case(tmp_path)
    assert sheds(good.history)
    finding = shedding(good)
    assert (finding.verdict, "2 tasks were shed" in finding.detail) == ("pass", True), finding


def test_where_nothing_was_shed_it_is_not_exercised(tmp_path: Path) -> None:
    def none(run: Run) -> None:
        run.rows = [row for row in run.rows if row["op"] != "shed" and row.get("task") not in ("c-0", "c-1")]

    finding = shedding(case(tmp_path, none))
    assert (finding.verdict, finding.exercised) == ("unknown", False), finding


def newest_first(run: Run) -> None:
    """As if the two that came last had been shed, and the first two had gone on."""
    names = {"c-0": "c-4", "c-1": "c-5", "c-4": "c-0", "c-5": "c-1"}
    for row in run.rows:
        if row["op"] == "shed" or row.get("stage") == 3 or row.get("what") == "register":
            row["task"] = names.get(row.get("task", ""), row.get("task"))


@pytest.mark.parametrize(
    ("doctor", "why"),
    [
        (newest_first, "shed before one that waited for longer"),
        (lambda run: run.find("shed", task="c-1").update(time_s=T + 50.0), "its stage was not left alone"),
        (lambda run: run.find("shed", task="c-1").update(stage=2), "its stage was not left alone"),
        (
            lambda run: run.find("final", task="c-1").update(reason=reason(Shed(4, 3, MARK))),
            "though no more waited than may",
        ),
        (lambda run: run.find("final", task="c-1").update(reason="something else"), "and another end"),
        (lambda run: run.drop("shed", task="c-1"), "no line says by whom"),
        (lambda run: run.find("waiting", waiting=MARK).update(waiting=8), "8 waited at stage 3"),
    ],
)
def test_what_is_shed_wrongly_fails(tmp_path: Path, doctor: Callable[[Run], object], why: str) -> None:
    finding = shedding(case(tmp_path, doctor))
    assert (finding.verdict, why in finding.detail) == ("fail", True), finding


def test_a_task_that_says_it_was_shed_where_nothing_is_to_be_is_lost(tmp_path: Path) -> None:
    finding = no_loss(case(tmp_path, lambda run: run.spec.update(shed="reject-new", backlog_max=0)))
    assert finding.verdict == "fail", finding
    assert "2 tasks dead-lettered" in finding.detail


def diverted_run() -> Run:
    """The same, and the two that were shed had been set aside before."""
    run = shed_run()
    run.spec["shed"] = "divert"
    for n in range(2):
        run.line(32.05 + n / 100, "router-1", "divert", "ok", task=f"c-{n}", stage=3, term=2)
        run.find("final", task=f"c-{n}").update(reason=WHY.replace("shed", "diverted"))
        run.line(50.0, "squall", "final", "ok", what="diverted", task=f"c-{n}", stage=3, of=f"c-{n}")
    return run


def lost_race(run: Run) -> None:
    """Another was set aside, and an instance had ended it before its register could say so."""
    run.line(33.0, "router-1", "divert", "ok", task="c-2", stage=3, term=2)
    run.line(33.1, "router-1", "shed", "fail", task="c-2", stage=3, waiting=6, seq=12)
    run.line(33.2, "router-1", "divert", "ok", task="c-3", stage=3, term=2)  # it dies after this
    for task in ("c-2", "c-3"):
        run.line(50.0, "squall", "final", "ok", what="diverted", task=task, stage=3, of=task)


def died_in_between(run: Run) -> None:
    """A router set one aside and ended; the next one sets it aside again, and there is one copy."""
    run.line(32.0, "router-1", "divert", "ok", task="c-0", stage=3, term=1)


def of_diverted(tmp_path: Path, doctor: Callable[[Run], object]) -> Case:
    run = diverted_run()
    doctor(run)
    tmp_path.mkdir(exist_ok=True)
    return case_in(run.write(tmp_path / "run"))


def copy(run: Run, task: str) -> dict[str, object]:
    return run.find("final", what="diverted", task=task)


@pytest.mark.parametrize(
    ("doctor", "says"),
    [
        (lambda run: None, "A copy of each is set aside."),
        (lost_race, "of 2 tasks that ended otherwise there is one as well"),
        (died_in_between, "A copy of each is set aside."),
    ],
)
def test_what_is_set_aside_as_it_was_to_be_passes(
    doctor: Callable[[Run], object], says: str, tmp_path: Path
) -> None:
    finding = shedding(of_diverted(tmp_path, doctor))
    assert (finding.verdict, says in finding.detail) == ("pass", True), finding


def idle_copy(run: Run) -> None:
    """One is set aside and nobody ends it, though who did it goes on."""
    run.line(32.04, "router-1", "divert", "ok", task="c-3", stage=3, term=2)
    run.line(50.0, "squall", "final", "ok", what="diverted", task="c-3", stage=3, of="c-3")


def lost(run: Run) -> None:
    idle_copy(run)
    run.drop("final", what="register", task="c-3")


def untold_copies(run: Run) -> None:
    """Two are there of which nobody tells; one may be who died before its line."""
    for task in ("c-3", "c-4"):
        run.line(50.0, "squall", "final", "ok", what="diverted", task=task, stage=3, of=task)


@pytest.mark.parametrize(
    ("doctor", "why"),
    [
        (lambda run: run.rows.remove(copy(run, "c-1")), "and is not set aside: c-1"),
        (lambda run: run.rows.append(dict(copy(run, "c-1"))), "been set aside twice: c-1"),
        (lambda run: copy(run, "c-1").update(of="c-0"), "what is no copy of it: c-1"),
        (lambda run: copy(run, "c-1").update(stage=2), "and is not set aside: c-1"),
        (lambda run: run.fills.append(("c-1-0", T + 40.0)), "carried out of a task that was diverted: c-1-0"),
        (
            lambda run: run.find("final", what="register", task="c-1").update(reason=WHY),
            "been shed otherwise than its file says",
        ),
        (idle_copy, "set aside and not ended, and nothing says why: c-3"),
        (lost, "been set aside, and has no end: c-3"),
        (untold_copies, "set aside and not ended, and nothing says why: c-4"),
    ],
)
def test_what_is_set_aside_wrongly_fails(doctor: Callable[[Run], object], why: str, tmp_path: Path) -> None:
    finding = shedding(of_diverted(tmp_path, doctor))
    assert (finding.verdict, why in finding.detail) == ("fail", True), finding


def test_more_may_wait_where_no_more_can_be_set_aside(tmp_path: Path) -> None:
    def crowded(run: Run) -> None:
        run.find("waiting", waiting=MARK).update(waiting=9)

    def full(run: Run) -> None:
        crowded(run)
        run.line(33.0, "router-1", "divert", "fail", stage=3, term=2, reason="maximum bytes exceeded")

    assert "9 waited at stage 3" in shedding(of_diverted(tmp_path / "1", crowded)).detail
    assert shedding(of_diverted(tmp_path / "2", full)).verdict == "pass"
