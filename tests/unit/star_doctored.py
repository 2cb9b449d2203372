"""What somebody might do to a good history of a star."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.histories import T
from tests.unit.star_histories import StarRun, judged_case

from squall.chaos.judge.checks.star import PROMISES
from squall.chaos.judge.decide import Finding

Doctor = Callable[[StarRun], Any]

OWN = ("S1", "S2", "S3", "S4", "S5", "S6", "E1")
CHECKS = {promise.id: promise.check for promise in PROMISES.promises if promise.id in OWN}
LISTENERS = ("agent-1", "agent-2", "gateway")


def judged(run: StarRun, path: Path) -> dict[str, Finding]:
    case = judged_case(run, path)
    return {name: check(case) for name, check in CHECKS.items()}


def decide_late(run: StarRun) -> None:
    """The first hub decides once more after the second has claimed its term."""
    run.decision("a-4").update(term=1)
    run.find("final", what="register", task="a-4").update(term=1)


def lose(run: StarRun, *tasks: str) -> None:
    for task in tasks:
        run.drop("final", what="decision", task=task)
        run.drop("final", what="register", task=task)


def twice(run: StarRun) -> None:
    first = run.decision("a-1")
    run.rows.append({**first, "seq": 26, "term": 20, "time_s_stored": T + 3.3})


def slow(run: StarRun, by_s: float, *tasks: str) -> None:
    for task in tasks:
        run.decision(task)["time_s_stored"] += by_s


def hand_over(run: StarRun, took_s: float) -> None:
    """The first change of leader was planned, and took that long from the order to the first decision."""
    del run.faults[0]
    run.fault("hand-over", "hub-1", 3.3 - took_s, 3.3 - took_s)


def without_zombies(run: StarRun) -> None:
    """The hubs that were followed never came back."""
    for fault in run.faults:
        fault["kind"] = "crash"


def undegraded(run: StarRun, *nodes: str) -> None:
    for node in nodes:
        for what in ("begin", "end"):
            run.rows = [
                r for r in run.rows if (r["op"], r["node"], r.get("what")) != ("degraded", node, what)
            ]


def shift(run: StarRun, what: str, to_s: float, *nodes: str) -> None:
    for node in nodes:
        next(r for r in run.rows if (r["op"], r["node"], r.get("what")) == ("degraded", node, what))[
            "time_s"
        ] = T + to_s


def no_refusal(run: StarRun, op: str) -> None:
    run.rows = [row for row in run.rows if (row["op"], row["type"]) != (op, "fail")]


def take_over_once_more(run: StarRun, at_s: float) -> None:
    """Somebody takes over from a hub that nothing has struck."""
    run.line(at_s, "hub-2", "lead", "ok", term=60)
    run.line(20.0, "squall", "final", "ok", what="term", seq=60, holder="hub-2", time_s_stored=T + at_s)


def reduces_for_ever(run: StarRun) -> None:
    """All requests ask for reductions only, long before anybody is degraded."""
    for row in run.rows:
        if row.get("what") == "request" and not row["reduce_only"]:
            row.update(reduce_only=True, time_s_stored=T + 9.5)
        elif row.get("what") == "decision":
            row["reduces"] = True


def still(run: StarRun) -> None:
    """One hub leads all the time."""
    for term in (20, 40):
        run.drop("lead", term=term)
