"""What the checks of star say of good and empty histories, of what was not seen, and of what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import T, case_in
from tests.unit.star_doctored import (
    CHECKS,
    LISTENERS,
    OWN,
    Doctor,
    hand_over,
    judged,
    lose,
    no_refusal,
    shift,
    slow,
    still,
    take_over_once_more,
    undegraded,
    without_zombies,
)
from tests.unit.star_histories import StarRun, good_star

from squall.chaos.evidence.model import History
from squall.chaos.judge.case import case_of
from squall.chaos.judge.checks import leading
from squall.chaos.judge.checks.hub_log import Decide
from squall.chaos.judge.checks.star import PROMISES
from squall.services.rules import exposure


def test_every_promise_of_the_pattern_is_tried_here() -> None:
    assert {promise.id for promise in PROMISES.promises} - {
        "L1",
        "L2",
        "L3",
        "L4",
        "U1",
        "U2",
        "U3",
        "E2",
        "W1",
        "H7",  # of every pattern that gives tasks by name, and tried by itself
    } == set(OWN)


@pytest.mark.parametrize("name", CHECKS)
def test_a_good_history_passes(name: str, tmp_path: Path) -> None:
    found = judged(good_star(), tmp_path)[name]
    assert found.verdict == "pass", found.detail


@pytest.mark.parametrize("name", CHECKS)
def test_an_empty_history_is_unknown(name: str) -> None:
    assert CHECKS[name](case_of(History(), Decide)).verdict == "unknown"


def trimmed(run: StarRun) -> None:
    """The log begins with the second request, and without the decision on the first."""
    run.find("final", what="snapshot").update(trimmed=5)
    run.drop("final", what="request", task="a-1")
    run.drop("final", what="decision", task="a-1")


UNKNOWN: list[tuple[str, str, Doctor, str]] = [
    ("S1", "the log was trimmed", trimmed, "the hub's log was trimmed below 5"),
    ("S4", "the log was trimmed", trimmed, "the hub's log was trimmed below 5"),
    ("E1", "the log was trimmed", trimmed, "the hub's log was trimmed below 5"),
    ("S1", "no snapshot was read", lambda r: r.drop("final", what="snapshot"), "no snapshot of the hub"),
    ("S2", "no hub came back", without_zombies, "no hub came back after it was followed"),
    (
        "S2",
        "no write was refused",
        lambda r: no_refusal(r, "fenced"),
        "no hub that came back had a write refused",
    ),
    ("S2", "no announcement was refused", lambda r: no_refusal(r, "command"), "had an announcement refused"),
    (
        "S3",
        "no hub was followed",
        lambda r: [r.drop("lead", term=term) for term in (20, 40)],
        "no hub was followed by another",
    ),
    (
        "S3",
        "each successor was itself struck",
        lambda r: r.fault("latency", "hub-2", 2.5, 3.0),
        "hub-2 was itself under a fault when it was to decide",
    ),
    (
        "S4",
        "a line is missing",
        lambda r: (
            lose(r, "a-2"),
            setattr(r, "truncated", b'{"time_s":1,"node":"x","inc":1,"i":1,"op":"x","type":"ok"}\n'),
        ),
        "",
    ),
    (
        "S5",
        "nobody was degraded",
        lambda r: (undegraded(r, *LISTENERS), r.faults.clear()),
        "nobody was degraded",
    ),
    ("S6", "nothing was struck", lambda r: (r.faults.clear(), still(r)), "no hub and no broker was struck"),
    (
        "E1",
        "the bound is not known",
        lambda r: r.spec.pop("exposure_max"),
        "the bound is not known",
    ),
    ("E1", "nothing was filled", lambda r: r.fills.clear(), "nothing was filled"),
]


@pytest.mark.parametrize(
    ("check", "doctor", "words"),
    [pytest.param(check, doctor, words, id=f"{check}-{what}") for check, what, doctor, words in UNKNOWN],
)
def test_what_was_not_seen_is_unknown(check: str, doctor: Doctor, words: str, tmp_path: Path) -> None:
    run = good_star()
    doctor(run)
    found = judged(run, tmp_path)[check]
    assert found.verdict == "unknown", found.detail
    assert words.lower() in found.detail.lower()


GOOD: list[tuple[str, str, Doctor]] = [
    (
        "S2",
        "what a hub announced was held up on its way",
        lambda r: (
            r.line(6.5, "agent-1", "command", "fail", what="lead", term=1, highest=20, holder="hub-1"),
            r.fault("latency", "agent-1", 5.0, 6.0),
        ),
    ),
    (
        "S5",
        "a spoke that is struck is degraded though a hub leads",
        lambda r: (r.degraded(8.0, 8.5, "agent-1"), r.fault("latency", "agent-1", 5.5, 8.4)),
    ),
    (
        "S5",
        "a degraded gateway is killed, and started again",
        lambda r: (
            r.drop("degraded", what="end", node="gateway"),
            r.fault("crash", "gateway", 14.5, 14.5),
            r.start(15.5, "gateway", 2),
        ),
    ),
    (
        "S5",
        "a spoke is degraded while the broker is away",
        lambda r: (r.degraded(8.0, 8.5, "agent-1"), r.fault("pause", "broker", 5.5, 8.4)),
    ),
    ("S3", "a hand-over is quick", lambda r: hand_over(r, 0.7)),
    (
        "S3",
        "a hand-over to who has just handed over itself waits for it",
        lambda r: (hand_over(r, 1.4), r.line(1.5, "hub-2", "resign", "ok", term=0)),
    ),
    (
        "S3",
        "the new hub has nothing to decide at first",
        lambda r: [
            (slow(r, 5.0, task), r.find("final", what="request", task=task).update(time_s_stored=T + 8.29))
            for task in ("b-1", "a-4")
        ],
    ),
    ("S5", "a struck spoke comes back late", lambda r: (
        shift(r, "end", 17.0, "agent-1"), r.fault("refuse", "agent-1", 14.0, 16.0)
    )),
    ("S5", "a gateway that a fault had ended is not there again", lambda r: (
        undegraded(r, "gateway"), r.fault("crash", "gateway", 8.5, 8.6), r.start(13.2, "gateway", 2)
    )),
    ("S5", "a spoke that stood still hears late what was said before", lambda r: (
        r.find("degraded", what="end", node="agent-1").update(term=20, time_s=T + 12.6),
        r.fault("pause", "agent-1", 9.0, 12.5),
    )),
    ("S5", "what was on its way arrives", lambda r: r.refill(12.3, "a-4")),
    ("S6", "the broker is away for longer than the lease", lambda r: (
        take_over_once_more(r, 18.0), r.fault("crash", "broker", 16.5, 16.5), r.start(17.8, "broker", 2)
    )),
    ("E1", "a task is buried, and its request comes later", lambda r: (
        r.decision("b-2").update(request=0, status="dead", effects=[], reduces=True),
        r.find("final", what="register", task="b-2").update(status="dead", effects=[]),
        setattr(r, "fills", [fill for fill in r.fills if fill[0] != "b-2-0"]),
        r.find("final", what="snapshot").update(positions={"wti": 9}),
    )),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "doctor"),
    [pytest.param(check, doctor, id=f"{check}-{what}") for check, what, doctor in GOOD],
)
def test_what_is_allowed_passes(check: str, doctor: Doctor, tmp_path: Path) -> None:
    run = good_star()
    doctor(run)
    found = judged(run, tmp_path)[check]
    assert found.verdict == "pass", found.detail


GIVEN = {"a-1": 3, "a-2": 3, "a-3": 3, "b-1": 7, "a-4": 7, "b-2": 21}
"""Where each task of the good star is given to who asks for it."""


def given_by_name(run: StarRun, **differs: dict[str, Any]) -> StarRun:
    run.spec["distribution"] = "round-robin"
    for task, seq in GIVEN.items():
        asker = run.find("final", what="request", task=task)["agent"]
        facts = {"seq": seq, "to": asker, "term": 20 if seq > 20 else 1, **differs.get(task, {})}
        run.line(20.0, "squall", "final", "ok", what="gift", task=task, **facts)
    return run


@pytest.mark.parametrize(
    ("differs", "check", "says"),
    [
        ({}, "E1", ""),
        ({}, "S1", ""),
        ({"b-2": {"to": "agent-1"}}, "E1", "no request that it could answer: b-2"),
        ({"b-2": {"seq": 31}}, "E1", "no request that it could answer: b-2"),
        ({"b-2": {"term": 1}}, "S1", "1 gifts of a term that was over: b-2 in term 1, in that of hub-2"),
    ],
)
def test_where_tasks_are_given_by_name_a_request_is_for_what_was_given_before(
    differs: dict[str, dict[str, Any]], check: str, says: str, tmp_path: Path
) -> None:
    found = judged(given_by_name(good_star(), **differs), tmp_path)[check]
    assert (found.verdict, says in found.detail) == ("fail" if says else "pass", True), found.detail


def test_a_bound_that_is_passed_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposure, "_room", lambda order, *held, **bounds: order.quantity)
    found = judged(good_star(), tmp_path)["E1"]
    assert found.verdict == "fail", found.detail
    assert "1 decision has another content than its request demands: a-3 (request 6)" in found.detail
    assert "2 decisions have more than 10 of its symbol held after it: a-3, a-4" in found.detail


def test_a_hub_without_a_standby_is_not_missed_for_want_of_one(tmp_path: Path) -> None:
    """It was killed and led again; later it stood still for long, and nobody was there to follow it."""
    run = good_star()
    run.nodes = [node for node in run.nodes if node["node"] != "hub-2"]
    run.faults.clear()
    run.rows = [row for row in run.rows if row["node"] != "hub-2"]
    run.fault("pause", "hub-1", 15.5, 19.5)
    assert leading.unreplaced(case_in(run.written(tmp_path / "run"))) == []


def test_a_leader_that_leaves_the_swarm_asks_for_its_follower(tmp_path: Path) -> None:
    run = good_star()
    take_over_once_more(run, 19.5)
    run.line(19.6, "squall", "leave", "ok", agent="hub-1")
    assert judged(run, tmp_path)["S6"].verdict == "pass"
