"""What the checks of the hierarchical pattern say of what was not seen, of what may happen, and of bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.hierarchical_doctored import CHECKS, Doctor, crash, handed_over, idle, judged, silenced
from tests.unit.histories import Run, T, case_in, good_run

from squall.chaos.evidence.facts import Injected, Phase, Refusal
from squall.chaos.evidence.model import History, Submission
from squall.chaos.judge.case import case_of
from squall.chaos.judge.checks.ledger import ORDINARY_HANDLER, differences
from squall.chaos.judge.checks.recovery import recovery

UNKNOWN: list[tuple[str, str, Doctor, str]] = [
    ("H1", "nothing was accepted", lambda r: _refuse_all(r), "othing was accepted"),
    (
        "H1",
        "hardly an outcome is known",
        lambda r: _forget_outcomes(r),
        "not known whether they were accepted",
    ),
    ("H1", "the producer ended early", lambda r: r.spec.update(tasks=9), "8 of the 9 tasks asked for"),
    ("H1", "the work queue was not read", lambda r: r.drop("final", what="queue"), "of the work queue"),
    (
        "H1",
        "it did not drain, so the count lags",
        lambda r: (
            r.find("final", what="complete").update(drained=False),
            r.find("final", what="queue").update(dispatched=5),
        ),
        "had not drained",
    ),
    (
        "H2",
        "it did not drain",
        lambda r: r.find("final", what="complete").update(drained=False),
        "not drained",
    ),
    (
        "H5",
        "it did not drain",
        lambda r: r.find("final", what="complete").update(drained=False),
        "not drained",
    ),
    ("H2", "nothing was filled", lambda r: r.fills.clear(), "Nothing was filled"),
    ("H4", "nobody took over", lambda r: r.drop("lead", term=10), "No failover happened"),
    (
        "H4",
        "the next leader came when all was over",
        lambda r: r.find("lead", term=10).update(time_s=T + 20.8),
        "No failover happened",
    ),
    ("H4", "the lease is not known", lambda r: r.spec.pop("lease_s"), "lease is not known"),
    ("H4", "the fault was not in force", lambda r: r.faults[0].update(verified=False), "not verified"),
    ("H4", "the resumed leader wrote nothing", lambda r: r.drop("fenced"), "no write refused"),
    (
        "H4",
        "another had its write refused",
        lambda r: r.find("fenced").update(node="agent-1"),
        "no write refused",
    ),
    ("H4", "the fault is not logged", lambda r: r.faults.clear(), "no such fault is logged"),
    (
        "H4",
        "no job was opened",
        lambda r: [r.drop("final", what="job") for _ in range(2)],
        "No job was opened",
    ),
    ("H4", "an idle leader was followed for no known reason", idle, "after the last dispatch"),
    ("H4", "somebody led unseen", lambda r: r.find("final", task="a-6").update(term=17), "term 17 acted"),
]


def _forget_outcomes(run: Run) -> None:
    for row in run.rows:
        if row["op"] == "submit" and row["type"] == "ok" and row["task"] != "a-1":
            row["type"] = "unknown"


def _refuse_all(run: Run) -> None:
    run.rows = [row for row in run.rows if row.get("what") != "register"]
    for row in run.rows:
        if row["op"] == "submit" and row["type"] == "ok":
            row["type"] = "fail"


@pytest.mark.parametrize(("name", "what", "doctor", "says"), UNKNOWN, ids=[f"{u[0]} {u[1]}" for u in UNKNOWN])
def test_what_was_not_seen_is_unknown(
    name: str, what: str, doctor: Doctor, says: str, tmp_path: Path
) -> None:
    run = good_run()
    doctor(run)
    check = judged(run, tmp_path)[name]
    assert check.verdict == "unknown", check.detail
    assert says.lower() in check.detail.lower()


def late_line(run: Run) -> None:
    """The paused leader's last batch was stored before the takeover; it says so when it wakes."""
    run.line(4.55, "coordinator-1", "dispatch", "ok", term=2, tasks=1, first=7)
    run.find("final", what="queue").update(dispatched=7, arrivals=7)


def producer_died(run: Run) -> None:
    """An offer without an answer is made again by the next incarnation."""
    run.start(2.9, "producer", 2)
    run.submit(2.85, "a-9", "none")
    run.submit(3.0, "a-9", "ok", inc=2)
    run.register(3.7, "a-9", term=10)
    run.fill(3.8, "a-9")


HARMLESS: list[tuple[str, str, Doctor]] = [
    ("H1", "an unknown submission was stored", lambda r: (
        r.register(3.7, "a-8", term=10), r.fill(3.8, "a-8")
    )),
    ("H1", "a leader died before it said what it had stored", lambda r: r.drop("dispatch", term=10)),
    ("H1", "a broker that was started again copied anew", lambda r: (
        r.start(3.0, "broker", 2), r.find("final", what="queue").update(arrivals=9)
    )),
    ("H1", "a producer died", producer_died),
    ("H1", "the user interrupted", lambda r: (
        r.spec.update(tasks=99), r.find("final", what="complete").update(interrupted=True)
    )),
    ("H1", "a killed writer left half a line", lambda r: setattr(r, "truncated", b'{"time_s":17')),
    ("H2", "a repeat was refused", lambda r: r.journal.append(("a-1.0", '{"quantity":1}'))),
    ("H4", "the leader crashed", crash),
    ("H4", "the leader handed over", lambda r: handed_over(r, 0.2)),
    ("H4", "a batch was stored in time and reported late", late_line),
    ("H4", "who could have followed a silenced leader was struck too", lambda r: r.faults.extend(
        [silenced("coordinator-2", 6.0, 18.0), silenced("coordinator-1", 6.5, 18.0)]
    )),
    ("H4", "nobody could take over while the broker was away", lambda r: (
        r.faults[0].update(start_s=T + 0.2), r.start(3.0, "broker", 2)
    )),
]  # fmt: skip


@pytest.mark.parametrize(("name", "what", "doctor"), HARMLESS, ids=[f"{h[0]} {h[1]}" for h in HARMLESS])
def test_what_may_happen_passes(name: str, what: str, doctor: Doctor, tmp_path: Path) -> None:
    run = good_run()
    doctor(run)
    check = judged(run, tmp_path)[name]
    assert check.verdict == "pass", check.detail


def test_of_several_takeovers_it_is_told_how_many_were_timed(tmp_path: Path) -> None:
    """The first leader follows the second, and was itself struck just before."""
    run = good_run()
    run.faults += [silenced("coordinator-2", 6.0, 9.0), silenced("coordinator-1", 6.5, 7.0)]
    run.line(8.0, "coordinator-1", "lead", "ok", term=20)
    run.line(9.1, "coordinator-2", "fenced", "fail", term=10, code=10071)
    found = judged(run, tmp_path)["H4"]
    assert found.verdict == "pass", found.detail
    assert "1 of 2 takeovers timed, the slowest 1.25 s after the fault (bound 3 s)" in found.detail


@pytest.mark.parametrize(("offered_s", "under_faults"), [(4.0, False), (5.5, True), (12.0, False)])
def test_without_load_under_the_faults_nothing_is_said_of_recovery(
    offered_s: float, under_faults: bool
) -> None:
    history = History(
        phases=(Phase(time_s=10.0, what="healed", bound_s=20.0),),
        faults=(Injected(kind="pause", target="leader", start_s=5.0, end_s=6.0),),
        submissions={"a": Submission(task="a", intended_s=offered_s, outcome="accepted")},
    )
    detail = recovery(case_of(history, None)).detail
    assert ("othing was accepted from the first fault" in detail) is not under_faults


def taken_up_again(*, passes_over: bool) -> Run:
    """A producer ends with an offer under way; the next one goes on, and asks again or does not."""
    run = good_run()
    run.submit(2.85, "a-9", "none")
    run.start(2.9, "producer", 2)
    if not passes_over:
        run.submit(3.0, "a-9", "fail", inc=2)
    run.submit(3.1, "a-10", "fail", inc=2)
    return run


def test_a_task_that_the_next_producer_passes_over_fails(tmp_path: Path) -> None:
    found = CHECKS["H1"](case_in(taken_up_again(passes_over=True).write(tmp_path)))
    assert found.verdict == "fail"
    assert "1 task has been begun by a producer that ended, and not by the next: a-9" in found.detail
    found = CHECKS["H1"](case_in(taken_up_again(passes_over=False).write(tmp_path / "again")))
    assert "begun by a producer" not in found.detail


def test_an_offer_under_way_as_the_last_producer_ends_is_unknown_and_no_more(tmp_path: Path) -> None:
    run = good_run()
    run.submit(2.85, "a-9", "none")
    assert "begun by a producer" not in CHECKS["H1"](case_in(run.write(tmp_path))).detail


def test_of_a_run_that_had_not_drained_jobs_that_have_not_ended_are_late(tmp_path: Path) -> None:
    run = good_run()
    run.find("final", what="job", job="pairs")["done"] = False
    assert CHECKS["H4"](case_in(run.write(tmp_path))).verdict == "fail"
    run.find("final", what="complete")["drained"] = False
    case = case_in(run.write(tmp_path))
    assert CHECKS["H4"](case).verdict == "fail"
    assert CHECKS["H4"](replace(case, busy="the machine had no time left")).verdict == "unknown"


def test_a_job_that_counts_fewer_ends_than_registers_fails_however_busy_the_machine_is(
    tmp_path: Path,
) -> None:
    run = good_run()
    run.find("final", what="job", job="momentum").update(done=False, ok=4, dead=1)
    run.find("final", what="complete")["drained"] = False
    found = CHECKS["H4"](replace(case_in(run.write(tmp_path)), busy="the machine had no time left"))
    assert found.verdict == "fail"
    assert "1 job has fewer tasks counted as ended than have a register: momentum (5 of 6)" in found.detail


def test_an_order_that_the_gateway_alone_says_was_declined_is_missing(tmp_path: Path) -> None:
    run = good_run()
    run.spec |= {"handler": ORDINARY_HANDLER, "venue": "idempotent"}
    case = case_in(run.write(tmp_path))
    assert "a-1.0" in case.tally.intents
    row = ("a-1.0", "a", "s", 1, "buy", 1, 1.0)
    venue = replace(case.history.venue, fills={}, ledger=())
    for what, missing in (("declined", True), ("unsendable", False)):
        refused = Refusal(task="a-1", order_id="a-1.0", what=what, reason="no")
        history = replace(case.history, venue=venue, refusals=(refused,))
        found = differences(case_of(history, None), {"a-1.0": row}, (), {"a-1.0": row})
        assert (found.inferred == ["1 order has no row in the ledger: a-1.0"]) is missing


def test_a_job_that_ended_without_all_its_tasks_fails(tmp_path: Path) -> None:
    run = good_run()
    run.find("final", what="job", job="momentum").update(ok=4, dead=1)
    found = CHECKS["H4"](case_in(run.write(tmp_path)))
    assert found.verdict == "fail"
    assert "1 job has fewer tasks counted as ended than have a register: momentum (5 of 6)" in found.detail
