"""One task's timeline: what is in it, in which order, and what became of the task."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import Run, T, good_run
from tests.unit.star_histories import good_star

from squall.chaos.errors import NotARunError
from squall.chaos.evidence.task import gather, nearest, newest_run
from squall.chaos.plan.varied import HANDLER
from squall.chaos.tell.executions import EXECUTIONS_MAX
from squall.chaos.tell.trace import Timeline, timeline


def journaled(path: Path, *rows: tuple[float, str, str | None]) -> None:
    """Let the venue have received just these: when, which order, and its body, None if it was no order."""
    with closing(sqlite3.connect(path / "venue.sqlite")) as database, database:
        database.execute("DELETE FROM journal")
        database.executemany(
            "INSERT INTO journal (time_s, order_id, account, body) VALUES (?, ?, ?, ?)",
            [(T + at_s, order, None if body is None else "a", body or "?") for at_s, order, body in rows],
        )


def traced(path: Path, name: str) -> Timeline:
    evidence = gather(path, name)
    assert evidence is not None
    return timeline(evidence)


def told(found: Timeline) -> list[tuple[float, str, str]]:
    """When, who, what; in seconds from when the task was due."""
    assert found.due_s is not None
    return [(round(m.time_s - found.due_s, 3), m.node, m.what) for m in found.moments]


def detail(found: Timeline, what: str) -> str:
    return next(moment.detail for moment in found.moments if moment.what == what)


def test_a_task_is_followed_from_due_to_filled(tmp_path: Path) -> None:
    path = good_run().write(tmp_path / "it")
    journaled(path, (1.09, "a-1.0", "{}"))
    found = traced(path, "a-1")
    assert told(found) == [
        (0.0, "producer", "due"),
        (0.0, "producer", "submitted"),
        (0.01, "producer", "accepted"),
        (0.9, "coordinator-1", "dispatched"),
        (0.99, "venue", "received"),
        (1.0, "agent-1", "attempt 1 begun"),
        (1.0, "venue", "filled"),
        (1.1, "agent-1", "attempt 1 committed"),
        (1.1, "agent-1", "register"),
    ]
    assert (found.run, found.task, found.job, found.due_s) == ("it", "a-1", "momentum", T + 0.1)
    assert detail(found, "register") == "as the broker has it: ok, attempt 1, term 2, orders a-1.0"
    assert detail(found, "dispatched") == "term 2, in a batch of 3"
    assert detail(found, "received") == "order a-1.0, which it filled"
    assert (found.fate, found.outcome) == ("filled", "Filled once 1,000.0 ms after it was due.")
    assert found.not_recorded == ()


def test_a_fault_a_restart_and_a_fail_over_stand_between(tmp_path: Path) -> None:
    run = good_run()
    run.start(3.6, "agent-2", 2)
    run.start(3.65, "agent-1", 2)  # had nothing to do with it
    run.find("final", what="register", task="a-4").update(agent="agent-2", attempt=2)
    run.find("commit", task="a-4").update(inc=2, attempt=2)
    run.line(3.55, "agent-2", "run", "invoke", task="a-4", attempt=1)
    run.line(3.65, "agent-2", "run", "invoke", 2, task="a-4", attempt=2)
    path = run.write(tmp_path / "it")
    journaled(path, (3.85, "a-4.0", "{}"))
    found = traced(path, "a-4")
    between = [moment[1:] for moment in told(found)]
    assert between[:3] == [
        ("coordinator-1", "fault pause"),  # began before the task was due
        ("producer", "due"),
        ("producer", "submitted"),
    ]
    assert between[4:6] == [("coordinator-2", "leads"), ("coordinator-2", "dispatched")]
    assert ("agent-2", "started again") in between
    assert not any(node == "agent-1" and what == "started again" for node, what in between)
    assert detail(found, "fault pause") == "of leader, verified"
    assert detail(found, "attempt 2 begun") == "incarnation 2"
    assert found.not_recorded == ("how attempt 1 by agent-2, incarnation 1, ended",)


def test_a_second_attempt_after_the_register_is_told_as_suppressed(tmp_path: Path) -> None:
    path = good_run().write(tmp_path / "it")
    journaled(path, (1.2, "a-3.0", "{}"), (4.1, "a-3.0", "{}"))
    found = traced(path, "a-3")
    assert detail(found, "attempt 2 suppressed") == "its register was written before"
    answers = [m.detail.partition(", ")[2] for m in found.moments if m.what == "received"]
    assert answers == ["which it filled", "a repeat, which it refused"]
    assert found.outcome == "Filled once 1,000.0 ms after it was due."


def test_a_request_that_the_venue_did_not_live_to_fill_is_told_so(tmp_path: Path) -> None:
    path = good_run().write(tmp_path / "it")
    journaled(path, (1.05, "a-1.0", "{}"), (1.09, "a-1.0", "{}"))
    answers = [m.detail.partition(", ")[2] for m in traced(path, "a-1").moments if m.what == "received"]
    assert answers == ["which it did not come to fill", "which it filled"]


@pytest.mark.parametrize(
    ("received_s", "rows"),
    [
        (1.0975, [("filled", "order a-1.0, received 2.5 ms before")]),
        (1.0925, [("received", "order a-1.0, which it filled"), ("filled", "order a-1.0")]),
    ],
)
def test_a_request_that_is_filled_at_once_is_one_moment(
    tmp_path: Path, received_s: float, rows: list[tuple[str, str]]
) -> None:
    path = good_run().write(tmp_path / "it")
    journaled(path, (received_s, "a-1.0", "{}"))
    moments = traced(path, "a-1").moments
    assert [(m.what, m.detail) for m in moments if m.node == "venue"] == rows


@pytest.mark.parametrize(
    ("kind", "took_s", "rows"),
    [
        ("crash", 0.012, [("fault crash", "of leader, verified, done within 12.0 ms")]),
        (
            "restart",
            0.2,
            [("fault restart", "of leader, verified"), ("fault restart ends", "after 200.0 ms")],
        ),
        ("pause", 0.012, [("fault pause", "of leader, verified"), ("fault pause ends", "after 12.0 ms")]),
    ],
)
def test_a_fault_that_is_over_at_once_is_one_moment(
    tmp_path: Path, kind: str, took_s: float, rows: list[tuple[str, str]]
) -> None:
    run = good_run()
    run.faults[0].update(kind=kind, start_s=T + 2.5, end_s=T + 2.5 + took_s)
    moments = traced(run.write(tmp_path / "it"), "a-4").moments
    assert [(m.what, m.detail) for m in moments if m.what.startswith("fault")] == rows


def test_where_several_batches_are_possible_none_is_named(tmp_path: Path) -> None:
    run = good_run()
    run.line(0.5, "coordinator-1", "dispatch", "ok", term=2, tasks=1, first=3)
    found = traced(run.write(tmp_path / "it"), "a-1")
    assert detail(found, "dispatched") == (
        "term 2, in one of 2 batches told of within 500.0 ms; which is not recorded"
    )


def dead(run: Run) -> None:
    run.find("final", what="register", task="a-1").update(
        status="dead", effects=[], attempt=5, reason="no result: its workers died or hung."
    )
    run.line(20.0, "squall", "final", "ok", what="dead-letter", task="a-1")
    run.fills = [fill for fill in run.fills if fill[0] != "a-1.0"]
    run.journal = [row for row in run.journal if row[0] != "a-1.0"]


def dead_without_letter(run: Run) -> None:
    dead(run)
    run.drop("final", what="dead-letter")


def without_order(run: Run) -> None:
    dead_without_letter(run)
    run.find("final", what="register", task="a-1").update(status="ok", attempt=1, reason="")


def unregistered(run: Run) -> None:
    run.drop("final", what="register", task="a-1")
    run.fills = [fill for fill in run.fills if fill[0] != "a-1.0"]
    run.journal = [row for row in run.journal if row[0] != "a-1.0"]


def unclosed(run: Run) -> None:
    unregistered(run)
    run.drop("final", what="complete")


def unfilled(run: Run) -> None:
    run.fills = [fill for fill in run.fills if fill[0] != "a-1.0"]


def filled_twice(run: Run) -> None:
    run.fill(5.0, "a-1")


def registered_twice(run: Run) -> None:
    run.register(5.0, "a-1", term=2)


def of_two_bodies(run: Run) -> None:
    run.journal.append(("a-1.0", '{"quantity":2}'))


def stray(run: Run) -> None:
    unregistered(run)
    run.journal.append(("a-1-0", "{}"))
    run.fills.append(("a-1-0", T + 5.0))


def contradicted(run: Run) -> None:
    run.find("submit", type="ok", task="a-1").update(type="fail", reason="no room")


def of_two_orders(run: Run) -> None:
    run.find("final", what="register", task="a-1")["effects"] = ["a-1.0", "a-1.1"]
    run.fills.append(("a-1.1", T + 1.6))


@pytest.mark.parametrize(
    ("doctor", "fate", "outcome"),
    [
        (dead, "dead", "Dead after 5 attempts: no result: its workers died or hung."),
        (
            dead_without_letter,
            "dead",
            "Dead after 5 attempts: no result: its workers died or hung; there is NO dead letter of it.",
        ),
        (without_order, "ended", "Ended without an order 1,100.0 ms after it was due."),
        (unregistered, "lost", "LOST: accepted and no register."),
        (unclosed, "open", "Open: accepted, and the run's registers were not read back."),
        (unfilled, "lost", "LOST: order a-1.0 was never filled."),
        (filled_twice, "doubled", "DOUBLED: 2 fills of order a-1.0."),
        (registered_twice, "doubled", "DOUBLED: 2 registers."),
        (of_two_bodies, "conflicting", "CONFLICTING: order a-1.0 came with different bodies."),
        (stray, "stray", "STRAY: order a-1-0 was filled and no register intends it."),
        (contradicted, "contradicted", "CONTRADICTED: its submission was refused and it has a register."),
        (of_two_orders, "filled", "2 orders filled, each once, the last 1,500.0 ms after it was due."),
    ],
)
def test_what_became_of_a_task_is_said(doctor: Any, fate: str, outcome: str, tmp_path: Path) -> None:
    run = good_run()
    doctor(run)
    found = traced(run.write(tmp_path / "it"), "a-1")
    assert (found.fate, found.outcome) == (fate, outcome)


def test_a_dead_letter_is_told_as_read_back(tmp_path: Path) -> None:
    run = good_run()
    dead(run)
    last = traced(run.write(tmp_path / "it"), "a-1").moments[-1]
    assert (last.time_s, last.what) == (T + 20.0, "dead letter")
    assert "not recorded" in last.detail


@pytest.mark.parametrize(
    ("task", "fate", "outcome"),
    [
        ("a-7", "refused", "Refused, and nothing came of it: no room."),
        ("a-8", "unknown", "Whether it was accepted is not known, and it has no register."),
    ],
)
def test_a_task_that_was_not_accepted_is_told_so(task: str, fate: str, outcome: str, tmp_path: Path) -> None:
    found = traced(good_run().write(tmp_path / "it"), task)
    assert (found.fate, found.outcome) == (fate, outcome)


def test_a_producer_that_did_not_hear_an_answer_offers_again(tmp_path: Path) -> None:
    run = good_run()
    run.start(2.9, "producer", 2)
    run.drop("submit", type="ok", task="a-1")
    run.submit(3.0, "a-1", inc=2)
    found = traced(run.write(tmp_path / "it"), "a-1")
    assert found.due_s == T + 0.1, "it was due when it was first offered"
    assert "what came back to producer, incarnation 1" in found.not_recorded
    assert found.fate == "filled"


def test_without_its_submission_times_count_from_the_first_line(tmp_path: Path) -> None:
    run = good_run()
    run.drop("submit", type="invoke", task="a-1")
    path = run.write(tmp_path / "it")
    journaled(path, (1.09, "a-1.0", "{}"))
    found = traced(path, "a-1")
    assert (found.due_s, found.origin_s) == (None, T + 0.11)
    assert (found.not_recorded, found.outcome) == (("when it was due",), "Filled once.")


def test_without_the_venue_a_fill_is_not_claimed(tmp_path: Path) -> None:
    path = good_run().write(tmp_path / "it")
    (path / "venue.sqlite").unlink()
    found = traced(path, "a-1")
    assert found.fate == "unknown"
    assert "what the venue did: there is no database of it" in found.not_recorded


def test_an_order_leads_to_its_task(tmp_path: Path) -> None:
    run = good_run()
    path = run.write(tmp_path / "it")
    assert traced(path, "a-2.0") == traced(path, "a-2")
    stray(run)
    path = run.write(tmp_path / "it")
    assert traced(path, "a-1-0") == traced(path, "a-1"), "no register names it, its id does"


def test_a_task_whose_name_begins_another_is_not_taken_for_it(tmp_path: Path) -> None:
    run = good_run()
    run.submit(0.35, "a-1-x")
    run.register(1.2, "a-1-x", term=2)
    run.fill(1.15, "a-1-x")
    orders = {
        m.detail.split(",")[0]
        for m in traced(run.write(tmp_path / "it"), "a-1").moments
        if "order a" in m.detail
    }
    assert orders == {"order a-1.0"}


def test_an_unknown_task_has_near_ones(tmp_path: Path) -> None:
    path = good_run().write(tmp_path / "it")
    for name in ("a-99", "a-1-7", "", "nothing like it"):
        assert gather(path, name) is None
    assert "a-1" in nearest(path, "a-11")
    assert nearest(path, "nothing like it") == []


def test_malformed_lines_are_said_and_half_a_line_is_not(tmp_path: Path) -> None:
    run = good_run()
    run.truncated = b'{"task":"a-1","op'
    path = run.write(tmp_path / "it")
    assert traced(path, "a-1").not_recorded == ()
    history = path / "history.jsonl"
    history.write_bytes(b'{"task":"a-1"}\n' + history.read_bytes())
    assert traced(path, "a-1").not_recorded == ("1 malformed lines of history.jsonl",)


def test_a_directory_without_a_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotARunError, match=r"neither spec\.toml nor history\.jsonl"):
        gather(tmp_path, "a-1")
    (tmp_path / "spec.toml").touch()
    with pytest.raises(NotARunError, match=r"holds no history\.jsonl"):
        gather(tmp_path, "a-1")


def test_the_newest_run_is_the_one_whose_history_was_written_last(tmp_path: Path) -> None:
    for name, written_s in (("old", 1), ("series/seed-1", 4), ("new", 3), ("older", 2)):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "history.jsonl").touch()
        os.utime(tmp_path / name / "history.jsonl", (written_s, written_s))
    (tmp_path / "old" / "report.html").touch()  # a report on an older run
    (tmp_path / "file").touch()
    assert newest_run(tmp_path) == tmp_path / "series" / "seed-1", "a run of a series is a run"
    with pytest.raises(NotARunError, match="there is no run"):
        newest_run(tmp_path / "new")
    with pytest.raises(NotARunError, match="there is no run"):
        newest_run(tmp_path / "missing")


def test_a_line_that_only_its_pattern_understands_is_told_as_it_stands(tmp_path: Path) -> None:
    run = good_run()
    run.line(1.15, "agent-1", "vote", "ok", task="a-1", ballot=7, why="a \x07 bell")
    gathered = gather(run.write(tmp_path), "a-1")
    assert gathered is not None
    (moment,) = [moment for moment in timeline(gathered).moments if moment.what == "vote ok"]
    assert (moment.node, moment.detail) == ("agent-1", r"ballot 7, why a \x07 bell")


def test_what_was_read_back_of_a_hub_s_log_is_told_record_by_record(tmp_path: Path) -> None:
    found = traced(good_star().written(tmp_path / "it"), "a-3")
    assert [moment for moment in told(found) if moment[2] in ("request", "decision", "decide")] == [
        (0.5, "agent-1", "request"),
        (0.6, "hub-1", "decision"),
    ]
    assert detail(found, "request") == "ok, at 6 of the log"
    assert detail(found, "decision") == "ok, term 1, at 10 of the log"


def begun_twice() -> Run:
    """Agent 1 began a task and ended; agent 2 was given it again."""
    run = good_run()
    run.spec["handler"] = HANDLER
    run.drop("commit", task="a-1")
    run.start(1.5, "agent-1", 2)
    run.line(1.6, "agent-2", "run", "invoke", task="a-1", attempt=2)
    run.line(1.7, "agent-2", "commit", "ok", task="a-1", attempt=2, status="ok")
    return run


def log_witness(path: Path, node: str, *lines: tuple[float, str], zone_s: float = 0.0) -> None:
    """Let a node's log hold lines of its handler, in the local time of some zone."""
    (path / "logs").mkdir(exist_ok=True)
    text = "".join(
        f"{datetime.fromtimestamp(T + at_s + zone_s, UTC):%Y-%m-%d %H:%M:%S,%f}"[:-3]
        + f" INFO witness {what}\n"
        for at_s, what in lines
    )
    (path / "logs" / f"{node}.log").write_text(text)


def test_each_start_of_a_handler_is_counted_by_the_lines_of_the_agents(tmp_path: Path) -> None:
    run = begun_twice()
    del run.spec["handler"]
    found = traced(run.write(tmp_path / "it"), "a-1")
    assert found.executed == 2
    first, second = found.executions
    assert (first.node, first.incarnation, first.attempt) == ("agent-1", 1, 1)
    assert (first.begun_s, first.ended_s) == (T + 1.1, None)
    assert first.end == "no line tells, and incarnation 2 followed"
    assert (second.node, second.ended_s, second.end) == ("agent-2", T + 1.7, "committed: ok")
    assert {first.witness, second.witness} == {None}, "its handlers write nothing"
    run.line(1.8, "agent-2", "run", "invoke", task="a-2", attempt=3)
    run.line(1.9, "agent-2", "attempt", "fail", task="a-2", attempt=3, reason="it raised")
    run.line(2.0, "agent-2", "run", "invoke", task="a-2", attempt=4)
    run.line(2.1, "agent-2", "attempt", "unknown", task="a-2", attempt=4, reason="its worker stopped")
    assert [one.end for one in traced(run.write(tmp_path / "it"), "a-2").executions] == [
        "committed: ok",
        "failed: it raised",
        "cut off: its worker stopped",
    ]


def test_what_a_handler_wrote_stands_beside_its_execution(tmp_path: Path) -> None:
    path = begun_twice().write(tmp_path / "it")
    log_witness(path, "agent-1", (1.1004, "a-1 1 given"), (1.2, "a-2 1 given"))
    log_witness(path, "agent-2", (1.6, "a-1 2 given"), (1.65, "a-1 2 returned 3"), zone_s=-12_600.0)
    found = traced(path, "a-1")
    assert [one.witness for one in found.executions] == [
        "given, wrote of no return",
        "given, returned 3 effects",
    ]
    assert [one.witness for one in traced(path, "a-3").executions] == ["its handler wrote nothing"]


def test_of_two_executions_of_one_attempt_each_has_what_was_written_in_its_time(tmp_path: Path) -> None:
    run = begun_twice()
    run.line(9.0, "agent-1", "run", "invoke", 2, task="a-1", attempt=1)
    path = run.write(tmp_path / "it")
    log_witness(path, "agent-1", (9.001, "a-1 1 given"), (9.2, "a-1 1 returned 1"))
    first, _, third = traced(path, "a-1").executions
    assert (first.witness, third.witness) == (
        "its handler wrote nothing",
        "given, returned 1 effect",
    )


def test_a_call_that_nobody_began_is_named(tmp_path: Path) -> None:
    path = begun_twice().write(tmp_path / "it")
    log_witness(path, "agent-1", (1.1, "a-1 1 given"), (1.1, "a-1 1 given"), (1.2, "a-1 4 given"))
    assert traced(path, "a-1").not_recorded[-2:] == (
        "who began attempt 1 at agent-1, of which its handler writes",
        "who began attempt 4 at agent-1, of which its handler writes",
    )


def test_however_often_a_task_was_begun_what_is_told_of_it_is_bounded(tmp_path: Path) -> None:
    run = begun_twice()
    for n in range(3 * EXECUTIONS_MAX):
        run.line(3.0 + n / 100, "agent-2", "run", "invoke", task="a-1", attempt=3 + n)
    path = run.write(tmp_path / "it")
    log_witness(path, "agent-2", *((9.0, f"a-1 {100 + n} given") for n in range(3 * EXECUTIONS_MAX)))
    found = traced(path, "a-1")
    assert (len(found.executions), found.executed) == (EXECUTIONS_MAX, 2 + 3 * EXECUTIONS_MAX)
    assert sum("of which its handler writes" in untold for untold in found.not_recorded) == EXECUTIONS_MAX
