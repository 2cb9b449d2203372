"""U1 on doctored histories: which restarts have a reason, and which counts fail it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import Run, T, case_in, good_run

from squall.bus.ended import WORKERS_DIED
from squall.chaos.judge.checks.explained import NEVER, nothing_unexplained
from squall.chaos.plan.poison import HANDLER, is_poison
from squall.chaos.tell.documents import judge

Doctor = Callable[[Run], Any]

MUST_BE_ZERO = (
    "violations",
    "unreadable",
    "dropped",
    "unasked",
    "spoiled",
    "overlooked",
    "redispatched",
    "buried",
)
"""Named here once more: a table made of `NEVER` would shrink with it."""

POISON = next(f"a-{n}" for n in range(1000) if is_poison(f"a-{n}"))


def in_good_order(run: Run) -> None:
    """Producer and agents have written their last lines."""
    for node in ("producer", "agent-1", "agent-2"):
        run.line(20.9, node, "counters", "ok", counters={})


def again(run: Run, node: str = "agent-1", at_s: float = 5.0, incarnation: int = 2) -> None:
    run.start(at_s, node, incarnation)


def slowly(run: Run, took_s: float, *, struck_by: str = "", node: str = "agent-1") -> None:
    """It crashed, and took so long to serve again."""
    struck(run, "crash", 4.9)
    again(run, at_s=5.0 + took_s)
    run.nodes[-1]["launched_s"] = T + 5.0
    if struck_by:
        struck(run, struck_by, 6.0, node)


def struck(run: Run, kind: str, at_s: float, node: str = "agent-1") -> None:
    run.faults.append(
        {"kind": kind, "target": node, "node": node, "start_s": T + at_s, "end_s": T + at_s, "verified": True}
    )


def counted(run: Run, **counts: int) -> None:
    run.counters[-1]["counters"].update(counts)


def forget(run: Run, node: str) -> None:
    run.counters = [row for row in run.counters if row["node"] != node]


def at_work(run: Run, task: str, *, ended: str = "") -> None:
    run.line(4.8, "agent-1", "run", "invoke", task=task, attempt=1)
    if ended:
        run.line(4.9, "agent-1", ended, "fail", task=task, attempt=1, reason="already")
    again(run)


def opinions(run: Run, tasks: int, slots: int) -> None:
    at_once(run, slots, slots=slots)
    for n in range(tasks):
        run.line(1.0, "agent-1", "consider", "invoke", task=f"o-{n}", attempt=1)
    for n in range(tasks):
        run.line(1.1, "agent-1", "consider", "ok", task=f"o-{n}", attempt=1)


def at_once(run: Run, attempts: int, slots: int) -> None:
    """An agent has begun so many attempts before the first of them ends."""
    run.spec.update(slots=slots)
    for number in range(attempts):
        run.line(4.8, "agent-1", "run", "invoke", task=f"b-{number}", attempt=1)
    for number in range(attempts):
        run.line(4.9, "agent-1", "commit", "fail", task=f"b-{number}", attempt=1, reason="already")


def buried(run: Run) -> None:
    """A task of which two workers died is a dead letter, and says so."""
    at_work(run, "a-6")
    run.find("final", what="register", task="a-6").update(status="dead", effects=[], reason=WORKERS_DIED)


EXPLAINED: list[tuple[str, Doctor]] = [
    ("nothing was started again", lambda r: None),
    ("a crash", lambda r: (struck(r, "crash", 4.9), again(r))),
    ("a restart", lambda r: (struck(r, "restart", 4.0), again(r))),
    ("a crash of the broker", lambda r: (struck(r, "crash", 4.9, "broker"), again(r, "broker"))),
    ("poison was at work", lambda r: (r.spec.update(handler=HANDLER), at_work(r, POISON))),
    ("a task was buried because its workers died", buried),
    (
        "it said that a handler outlived its time-out",
        lambda r: (r.line(4.9, "agent-1", "end", "ok", reason="a handler outlived its time-out"), again(r)),
    ),
    (
        "the command killed it for a reason",
        lambda r: (
            r.line(4.9, "squall", "killed", "ok", agent="agent-1", incarnation=1, reason="silent for 9 s"),
            again(r),
        ),
    ),
    (
        "a start failed while the node was cut off",
        lambda r: (struck(r, "crash", 4.0), struck(r, "refuse", 4.5), again(r, incarnation=3)),
    ),
    ("counts of what may happen", lambda r: counted(r, reconnects=40, late=9, suppressed=3, refused=2)),
    ("a start that lived too briefly to be heard of", lambda r: (
        struck(r, "crash", 4.9), again(r), struck(r, "crash", 6.0), again(r, at_s=6.2, incarnation=3),
        r.counters.pop(-2),
    )),
    ("what died with its node had no end", lambda r: (
        r.drop("commit", task="a-2"), r.drop("submit", task="a-2", type="ok"),
    )),
    ("an attempt that its node cut off", lambda r: (
        in_good_order(r), r.find("commit", task="a-2").update(op="attempt", type="unknown"),
    )),
    ("a node that was cut off nearly all its life", lambda r: (
        forget(r, "agent-1"),
        r.faults.append({"kind": "refuse", "target": "agent-1", "node": "agent-1", "start_s": T,
                         "end_s": T + 18.0, "verified": True}),
    )),
    ("an agent had all its slots in use", lambda r: at_once(r, 3, slots=3)),
    ("one carries out what it was asked about, beside the next", lambda r: opinions(r, 3, slots=3)),
    ("it served again at once", lambda r: slowly(r, 4.0)),
    ("it was paused as it began", lambda r: slowly(r, 8.0, struck_by="pause")),
    ("the broker was away as it began", lambda r: slowly(r, 8.0, struck_by="crash", node="broker")),
    ("the last counts are in the history alone", lambda r: (
        forget(r, "agent-1"), r.line(20.6, "agent-1", "counters", "ok", counters={"done": 3}),
    )),
]  # fmt: skip

FAILING: list[tuple[str, Doctor, str]] = [
    ("nobody did anything", lambda r: again(r), "start 2 of agent-1 has no reason on record"),
    (
        "somebody else was struck",
        lambda r: (struck(r, "crash", 4.9, "agent-2"), again(r)),
        "start 2 of agent-1",
    ),
    ("a fault that ends no process", lambda r: (struck(r, "pause", 4.9), again(r)), "start 2 of agent-1"),
    ("the crash came later", lambda r: (again(r), struck(r, "crash", 5.5)), "start 2 of agent-1"),
    (
        "one crash, two restarts",
        lambda r: (struck(r, "crash", 4.9), again(r), again(r, at_s=9.0, incarnation=3)),
        "start 3 of agent-1",
    ),
    (
        "another start was killed for a reason",
        lambda r: (
            r.line(4.9, "squall", "killed", "ok", agent="agent-1", incarnation=2, reason="silent"),
            again(r),
        ),
        "start 2 of agent-1",
    ),
    ("an ordinary task was at work", lambda r: at_work(r, "a-3"), "start 2 of agent-1"),
    (
        "poison had ended before",
        lambda r: (r.spec.update(handler=HANDLER), at_work(r, POISON, ended="commit")),
        "start 2 of agent-1",
    ),
    (
        "a start failed",
        lambda r: (struck(r, "crash", 4.9), again(r, at_s=19.0, incarnation=3)),
        "follows 1 that did not come to serve",
    ),
    ("it was slow to serve", lambda r: slowly(r, 8.0), "start 2 of agent-1 took 8.0 s to serve"),
    (
        "it was slow to serve while another was paused",
        lambda r: slowly(r, 8.0, struck_by="pause", node="agent-2"),
        "start 2 of agent-1 took 8.0 s to serve",
    ),
    ("the venue came back", lambda r: again(r, "venue"), "start 2 of venue"),
    (
        "an agent was put out",
        lambda r: (r.line(4.9, "squall", "expel", "ok", agent="agent-1", reason="held \x1b all"), again(r)),
        r"agent-1 was put out: held \x1b all",
    ),
    (
        "a node takes back in its last word what it counted",
        lambda r: (counted(r, dropped=2), r.line(20.6, r.counters[-1]["node"], "counters", "ok",
                                                 counters={"dropped": 0})),
        "dropped messages were counted",
    ),
    (
        "its heartbeats tell of less than its last word",
        lambda r: (counted(r, dropped=0), r.line(20.6, r.counters[-1]["node"], "counters", "ok",
                                                 counters={"dropped": 2})),
        "dropped messages were counted",
    ),
    *(
        (f"{kind} were counted", lambda r, kind=kind: counted(r, **{kind: 3}), f"{kind} messages")
        for kind in MUST_BE_ZERO
    ),
    (
        "an attempt of a node that ended in good order has no end",
        lambda r: (in_good_order(r), r.drop("commit", task="a-2")),
        "no line tells the end of 1 attempt of agent-1, start 1",
    ),
    (
        "an offer of a producer that ended in good order has no outcome",
        lambda r: (in_good_order(r), r.drop("submit", task="a-2", type="ok")),
        "no line tells the end of 1 offer of producer, start 1",
    ),
    (
        "an agent was asked about more than slots",
        lambda r: opinions(r, 4, slots=3),
        "agent-1, start 1, had 4 attempts under way at a time, with 3 slots",
    ),
    (
        "an agent had more under way than slots",
        lambda r: at_once(r, 4, slots=3),
        "agent-1, start 1, had 4 attempts under way at a time, with 3 slots",
    ),
    (
        "a node's last word tells of more than its heartbeats",
        lambda r: r.line(20.6, "agent-1", "counters", "ok", counters={"violations": 1}),
        "violations messages were counted by agent-1 (start 1): 1",
    ),
]  # fmt: skip

UNKNOWN: list[tuple[str, Doctor, str]] = [
    ("a node's counts are gone", lambda r: forget(r, "agent-1"), "was counted by start 1 of agent-1"),
    ("all counts are gone", lambda r: r.counters.clear(), "and 3 more"),
    ("a lost line may have been the reason", lambda r: (again(r), r.drop("commit", task="a-1")), ""),
    ("nothing is known of any node", lambda r: r.nodes.clear(), "othing is known of any node"),
]


@pytest.mark.parametrize(("what", "doctor"), EXPLAINED, ids=[what for what, _ in EXPLAINED])
def test_what_has_a_reason_on_record_passes(what: str, doctor: Doctor, tmp_path: Path) -> None:
    run = good_run()
    doctor(run)
    check = nothing_unexplained(case_in(run.write(tmp_path)))
    assert check.verdict == "pass", check.detail


@pytest.mark.parametrize(("what", "doctor", "says"), FAILING, ids=[row[0] for row in FAILING])
def test_what_has_none_fails_and_is_named(what: str, doctor: Doctor, says: str, tmp_path: Path) -> None:
    run = good_run()
    doctor(run)
    check = nothing_unexplained(case_in(run.write(tmp_path)))
    assert (check.verdict, says.lower() in check.detail.lower()) == ("fail", True), check.detail


@pytest.mark.parametrize(("what", "doctor", "says"), UNKNOWN, ids=[row[0] for row in UNKNOWN])
def test_what_cannot_be_known_is_unknown(what: str, doctor: Doctor, says: str, tmp_path: Path) -> None:
    run = good_run()
    doctor(run)
    path = run.write(tmp_path)
    if what.startswith("a lost line"):
        run.find("submit", task="a-2")["task"] = "a-2"
        lines = (path / "history.jsonl").read_bytes().splitlines(keepends=True)
        (path / "history.jsonl").write_bytes(b"".join(lines[:3] + lines[4:]))
    check = nothing_unexplained(case_in(path))
    assert (check.verdict, says.lower() in check.detail.lower()) == ("unknown", True), check.detail


def test_a_count_is_left_out_by_nobody() -> None:
    assert NEVER == MUST_BE_ZERO


def test_every_run_is_held_to_it(tmp_path: Path) -> None:
    run = good_run()
    again(run)
    checks = {check.id: check.verdict for check in judge(run.write(tmp_path)).checks}
    assert checks == {**dict.fromkeys(("H1", "H2", "H4", "H5"), "pass"), "U1": "fail", "U2": "pass"}


def refused(run: Run, *, after_s: float, times: int = 1, steady_s: float = 2.0, last_s: float = 3.3) -> None:
    """A producer with patience of half a second gives up the task of 2.7 s, and goes on for a while."""
    run.spec["patience_s"] = 0.5
    run.faults.clear()
    run.nodes.append({"node": "nemesis", "role": "nemesis", "incarnation": 1, "started_s": T})
    run.line(steady_s, "nemesis", "phase", "ok", what="steady", seconds=1.0)
    run.line(19.0, "nemesis", "phase", "ok", what="healed", bound_s=12.0, backlog=0, faults=0)
    run.find("submit", task="a-7", type="fail").update(time_s=T + 2.7 + after_s, refusals=times)
    run.submit(last_s, "a-9", "fail")


@pytest.mark.parametrize(
    ("doctor", "verdict", "says"),
    [
        (lambda r: refused(r, after_s=0.51), "pass", ""),
        (lambda r: refused(r, after_s=0.1), "fail", "refused before the producer's patience ended: a-7"),
        (lambda r: refused(r, after_s=0.1, times=0), "pass", ""),  # it could not be dispatched
        (lambda r: refused(r, after_s=0.1, last_s=2.75), "pass", ""),  # the load was ended
        (lambda r: (refused(r, after_s=0.1), struck(r, "clock-off", 2.0, "producer")), "pass", ""),
        (lambda r: refused(r, after_s=0.51, steady_s=3.5), "fail", "refused in the steady state"),
    ],
)
def test_what_is_refused_without_need(doctor: Doctor, verdict: str, says: str, tmp_path: Path) -> None:
    run = good_run()
    doctor(run)
    check = nothing_unexplained(case_in(run.write(tmp_path)))
    assert (check.verdict, says in check.detail) == (verdict, True), check.detail
