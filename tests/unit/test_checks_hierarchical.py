"""What the checks of the hierarchical pattern say of good, empty and doctored histories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import Run, T, case_in, good_run

from squall.chaos.evidence.facts import Injected, Phase, Refusal
from squall.chaos.evidence.model import History, Submission
from squall.chaos.judge.case import case_of
from squall.chaos.judge.checks.hierarchical import PROMISES, Dispatch
from squall.chaos.judge.checks.ledger import ORDINARY_HANDLER, differences
from squall.chaos.judge.checks.recovery import recovery
from squall.chaos.judge.decide import Finding
from squall.services.run.result import Verdict

Doctor = Callable[[Run], Any]

CHECKS = {
    promise.id: promise.check for promise in PROMISES.promises if promise.id in ("H1", "H2", "H4", "H5", "H6")
}


def judged(run: Run, path: Path) -> dict[str, Finding]:
    case = case_in(run.write(path))
    return {name: check(case) for name, check in CHECKS.items()}


@pytest.mark.parametrize("name", CHECKS)
def test_a_good_history_passes(name: str, tmp_path: Path) -> None:
    assert judged(good_run(), tmp_path)[name].verdict == "pass"


@pytest.mark.parametrize("name", CHECKS)
def test_an_empty_history_is_unknown(name: str) -> None:
    assert CHECKS[name](case_of(History(), Dispatch)).verdict == "unknown"


def lose_register(run: Run, n: int) -> None:
    run.drop("final", what="register", task=f"a-{n}")


def crash(run: Run) -> None:
    """The first leader is killed instead of paused, and started again."""
    run.faults.clear()
    run.spec["pause_leader"] = False
    run.drop("fenced")
    run.drop("resign", term=2)
    run.start(2.4, "coordinator-1", 2)


def slow_crash(run: Run) -> None:
    crash(run)
    run.find("lead", term=10)["time_s"] = T + 5.5
    run.find("dispatch", term=10)["time_s"] = T + 5.6


def idle(run: Run) -> None:
    """Nothing tells why the first leader went, and it had dispatched long before."""
    run.faults.clear()
    run.spec["pause_leader"] = False
    run.drop("resign", term=2)
    run.find("lead", term=10)["time_s"] = T + 4.2
    run.find("dispatch", term=10)["time_s"] = T + 4.3


def silenced(node: str, start_s: float, end_s: float) -> dict[str, Any]:
    """A fault that lets nothing through that a node sends."""
    return {
        "kind": "blackhole-nofin", "target": node, "node": node, "verified": True,
        "start_s": T + start_s, "end_s": T + end_s,
    }  # fmt: skip


def handed_over(run: Run, took_s: float) -> None:
    """The first leader is asked to hand over instead of being paused."""
    run.spec["pause_leader"] = False
    run.drop("fenced")
    run.find("resign", term=2)["time_s"] = T + 3.1
    run.faults[0].update(kind="hand-over", start_s=T + 3.25 - took_s, end_s=T + 3.3)


def impatient(run: Run) -> None:
    """The standby takes over from a leader that nothing struck, and that dispatched a moment ago."""
    idle(run)
    run.line(4.1, "coordinator-1", "dispatch", "ok", term=2, tasks=0, first=7)


def consumers(run: Run, held: int) -> None:
    """The broker's count of what its consumers had left."""
    for stream, consumer, left in (("W", "pool", 0), ("R", "gateway", held)):
        where = {"stream": stream, "consumer": consumer}
        run.line(20.0, "squall", "final", "ok", what="consumer", **where, pending=0, held=left)


@pytest.mark.parametrize(("stored", "verdict"), [(5, "unknown"), (6, "pass"), (9, "pass"), (10, "unknown")])
def test_the_broker_s_count_of_submissions_agrees(stored: int, verdict: str, tmp_path: Path) -> None:
    """Six were accepted, of one it is not known; two jobs may have been closed."""
    run = good_run()
    run.line(20.0, "squall", "final", "ok", what="ingress", stored=stored)
    assert judged(run, tmp_path)["H1"].verdict == verdict


def wide_open(run: Run) -> None:
    """One task waits over a takeover while three more are dispatched, and the window holds two."""
    run.spec["window_max"] = 2


def places(run: Run, messages: int) -> None:
    """The broker's count of the records left where none should be."""
    for stream, subjects, left in (("IN", "", 0), ("JOB", "sw.x.job.*.task.>", messages)):
        run.line(20.0, "squall", "final", "ok", what="place", stream=stream, subjects=subjects, messages=left)


FAILING: list[tuple[str, str, Doctor, str]] = [
    (
        "H1",
        "the log was not trimmed",
        lambda r: places(r, 6),
        "6 records left in JOB under sw.x.job.*.task.> after all had ended",
    ),
    ("H1", "a register is left with the gateway", lambda r: consumers(r, 1), "1 task left in R for gateway"),
    (
        "H6",
        "more is open than the window holds",
        wide_open,
        "4 tasks were open at a time, and the window holds 2",
    ),
    ("H4", "a leader that is heard of is followed", impatient, "which had written 0.10 s before"),
    ("H1", "a task is lost at the head", lambda r: lose_register(r, 1), "1 head, 0 middle, 0 tail"),
    ("H1", "a task is lost in the middle", lambda r: lose_register(r, 3), "0 head, 1 middle, 0 tail): a-3"),
    ("H1", "a task is lost at the tail", lambda r: lose_register(r, 6), "0 head, 0 middle, 1 tail"),
    ("H1", "every task is lost", lambda r: [lose_register(r, n) for n in range(1, 7)], "and 3 more"),
    ("H1", "an intent is never filled", lambda r: r.fills.pop(), "1 intent has no fill: a-6.0"),
    ("H1", "a task has two registers", lambda r: r.register(2.0, "a-1", term=2), "more than one register"),
    (
        "H1",
        "two registers intend one order",
        lambda r: r.find("final", task="a-2").update(effects=["a-1.0", "a-2.0"]),
        "two registers that intend it: a-1.0",
    ),
    (
        "H1",
        "a task was never submitted",
        lambda r: r.register(2.0, "b-1", term=2, effects=[]),
        "no submission: b-1",
    ),
    (
        "H1",
        "a refused task was run",
        lambda r: r.register(2.0, "a-7", term=2, effects=[]),
        "though the submission was refused: a-7",
    ),
    (
        "H1",
        "a register holds no record",
        lambda r: r.line(
            20.0, "squall", "final", "fail", what="register", subject="sw.s.res.1.x", reason="?"
        ),
        "no record in it",
    ),
    (
        "H1",
        "a dispatch never arrived",
        lambda r: r.find("final", what="queue").update(arrivals=5),
        "6 dispatch records and 5 arrivals",
    ),
    (
        "H1",
        "a message arrived that was not dispatched",
        lambda r: r.find("final", what="queue").update(arrivals=7),
        "6 dispatch records and 7 arrivals",
    ),
    (
        "H1",
        "more arrived than a broker that was started again after three dispatches can have copied",
        lambda r: (r.start(3.0, "broker", 2), r.find("final", what="queue").update(arrivals=10)),
        "6 dispatch records and 10 arrivals",
    ),
    ("H1", "lines tell of more dispatches", lambda r: r.find("dispatch").update(tasks=9), "tell of 12"),
    ("H1", "an intent is filled twice", lambda r: r.fill(5.0, "a-2"), "more than one fill: a-2.0"),
    (
        "H1",
        "a task is lost and the bound passed",
        lambda r: (lose_register(r, 3), r.find("final", what="complete").update(drained=False)),
        "a-3",
    ),
    ("H2", "an intent is filled twice", lambda r: r.fill(5.0, "a-2"), "more than one fill: a-2.0"),
    ("H2", "nothing intends an order", lambda r: r.fill(5.0, "b-9"), "no register that intends it: b-9.0"),
    ("H2", "a dead task is filled", lambda r: r.find("final", task="a-2").update(status="dead"), "a-2.0"),
    (
        "H2",
        "an order has two bodies",
        lambda r: r.journal.append(("a-2.0", '{"quantity":2}')),
        "two different bodies: a-2.0",
    ),
    ("H4", "the takeover is late", lambda r: r.faults[0].update(start_s=T + 0.2), "the bound is 3.00 s"),
    (
        "H4",
        "nobody ever took over",
        lambda r: (r.drop("lead", term=10), r.faults[0].update(end_s=T + 6.0)),
        "took over from coordinator-1 within 3.00 s of its pause",
    ),
    ("H4", "the takeover after a crash is late", slow_crash, "3.10 s after the death of coordinator-1"),
    (
        "H4",
        "a job is not ended",
        lambda r: r.find("final", job="pairs").update(done=False),
        "not ended: pairs",
    ),
    (
        "H4",
        "a deposed leader dispatches",
        lambda r: r.line(4.55, "coordinator-1", "dispatch", "ok", term=2, tasks=1, first=15),
        "deposed leaders: coordinator-1 in term 2",
    ),
    (
        "H4",
        "a term has two leaders",
        lambda r: r.line(3.3, "coordinator-1", "lead", "ok", term=10),
        "two leaders: 10",
    ),
    (
        "H4",
        "a silenced leader is never followed",
        lambda r: r.faults.append(silenced("coordinator-2", 6.0, 18.0)),
        "obody took over from coordinator-2 within 3.00 s of its blackhole-nofin, which lasted 12.00 s",
    ),
    (
        "H4",
        "a hand-over takes too long",
        lambda r: handed_over(r, 3.2),
        "3.20 s after the hand-over of coordinator-1",
    ),
    (
        "H4",
        "a job is on no list",
        lambda r: r.drop("final", what="job", job="momentum"),
        "no line of the coordinator: momentum",
    ),
    (
        "H5",
        "a task is cancelled",
        lambda r: r.find("final", task="a-2").update(status="cancelled", effects=[]),
        "been cancelled, which nobody asked for: a-2",
    ),
    (
        "H5",
        "a task is dead",
        lambda r: r.find("final", task="a-2").update(status="dead", effects=[], reason="ValueError: no bars"),
        "the first a-2: ValueError: no bars",
    ),
    (
        "H5",
        "a dead letter has no register",
        lambda r: r.line(20.0, "squall", "final", "ok", what="dead-letter", task="a-2"),
        "no register that says so: a-2",
    ),
]


@pytest.mark.parametrize(("name", "what", "doctor", "says"), FAILING, ids=[f"{f[0]} {f[1]}" for f in FAILING])
def test_a_broken_promise_fails_its_check(
    name: str, what: str, doctor: Doctor, says: str, tmp_path: Path
) -> None:
    run = good_run()
    doctor(run)
    check = judged(run, tmp_path)[name]
    assert check.verdict == "fail", check.detail
    assert says in check.detail


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


def test_a_takeover_carries_open_tasks_over(tmp_path: Path) -> None:
    assert "1 task dispatched before a takeover ended after it" in judged(good_run(), tmp_path)["H4"].detail


def without_each_line(run: Run, path: Path) -> list[tuple[bytes, dict[str, Verdict]]]:
    """Every line of a written history, and the verdicts once it alone is gone."""
    run.write(path)
    lines = run.lines()
    found = []
    for place, line in enumerate(lines):
        (path / "history.jsonl").write_bytes(b"".join(lines[:place] + lines[place + 1 :]))
        case = case_in(path)
        found.append((line, {name: check(case).verdict for name, check in CHECKS.items()}))
    return found


def test_no_check_passes_once_any_line_is_gone(tmp_path: Path) -> None:
    for line, verdicts in without_each_line(good_run(), tmp_path):
        assert "pass" not in verdicts.values(), line


@pytest.mark.parametrize(("name", "what", "doctor", "says"), FAILING, ids=[f"{f[0]} {f[1]}" for f in FAILING])
def test_no_lost_line_turns_a_failure_into_a_pass(
    name: str, what: str, doctor: Doctor, says: str, tmp_path: Path
) -> None:
    run = good_run()
    doctor(run)
    for line, verdicts in without_each_line(run, tmp_path):
        assert verdicts[name] != "pass", line


def test_what_lines_show_fails_even_where_others_are_missing(tmp_path: Path) -> None:
    run = good_run()
    run.fill(5.0, "a-2")
    for line, verdicts in without_each_line(run, tmp_path):
        if b'"register"' not in line:
            assert verdicts["H2"] == "fail", line


def test_what_is_only_inferred_is_unknown_while_lines_are_missing(tmp_path: Path) -> None:
    run = good_run()
    run.write(tmp_path)
    lines = [line for line in run.lines() if b'"register","task":"a-3"' not in line]
    (tmp_path / "history.jsonl").write_bytes(b"".join(lines))
    assert CHECKS["H1"](case_in(tmp_path)).verdict == "unknown"


def test_a_window_is_not_overfilled_by_registers_that_are_missing(tmp_path: Path) -> None:
    """Of a history whose end is cut off dispatches are there, and registers, which stand last, are not."""
    run = good_run()
    run.spec["window_max"] = 4
    assert judged(run, tmp_path)["H6"].verdict == "pass"
    lines = [line for line in run.lines() if b'"final"' not in line]
    (tmp_path / "history.jsonl").write_bytes(b"".join(lines))
    found = CHECKS["H6"](case_in(tmp_path))
    assert found.verdict == "unknown"
    assert "the window holds 4" in found.detail


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
