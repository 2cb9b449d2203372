"""What somebody might do to a good history of a hierarchy, and which promises that breaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.histories import Run, T, case_in

from squall.chaos.judge.checks.hierarchical import PROMISES
from squall.chaos.judge.decide import Finding

Doctor = Callable[[Run], Any]

CHECKS = {
    promise.id: promise.check for promise in PROMISES.promises if promise.id in ("H1", "H2", "H4", "H5", "H6")
}


def judged(run: Run, path: Path) -> dict[str, Finding]:
    case = case_in(run.write(path))
    return {name: check(case) for name, check in CHECKS.items()}


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
