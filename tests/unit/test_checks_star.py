"""What the checks of star say of good, empty and doctored histories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import T, case_in
from tests.unit.star_histories import StarRun, effect, good_star, judged_case

from squall.chaos.evidence.model import History
from squall.chaos.judge.case import case_of
from squall.chaos.judge.checks import leading
from squall.chaos.judge.checks.hub_log import Decide
from squall.chaos.judge.checks.star import PROMISES
from squall.chaos.judge.decide import Finding
from squall.services.rules import exposure
from squall.services.rules.hub import UNREQUESTED

Doctor = Callable[[StarRun], Any]

OWN = ("S1", "S2", "S3", "S4", "S5", "S6", "E1")
CHECKS = {promise.id: promise.check for promise in PROMISES.promises if promise.id in OWN}
LISTENERS = ("agent-1", "agent-2", "gateway")


def judged(run: StarRun, path: Path) -> dict[str, Finding]:
    case = judged_case(run, path)
    return {name: check(case) for name, check in CHECKS.items()}


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
    } == set(OWN)


@pytest.mark.parametrize("name", CHECKS)
def test_a_good_history_passes(name: str, tmp_path: Path) -> None:
    found = judged(good_star(), tmp_path)[name]
    assert found.verdict == "pass", found.detail


@pytest.mark.parametrize("name", CHECKS)
def test_an_empty_history_is_unknown(name: str) -> None:
    assert CHECKS[name](case_of(History(), Decide)).verdict == "unknown"


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


FAILING: list[tuple[str, str, Doctor, str]] = [
    (
        "S1",
        "a hub decides in a term that is over",
        decide_late,
        "1 decisions of a term that was over: a-4 in",
    ),
    (
        "S1",
        "a hub acts in the term of another",
        lambda r: r.find("decide", term=20).update(node="hub-1"),
        "by who does not hold it: hub-1 in term 20",
    ),
    (
        "S1",
        "two lead in one term",
        lambda r: r.line(3.3, "hub-1", "lead", "ok", term=20),
        "1 term has two leaders: 20",
    ),
    (
        "S1",
        "a decision comes before any term",
        lambda r: r.drop("final", what="term", seq=1),
        "3 decisions before any term",
    ),
    (
        "S1",
        "a decision is told of and not there",
        lambda r: r.drop("final", what="decision", task="b-2"),
        "lines tell of 1 decisions that are not in the log",
    ),
    (
        "S2",
        "a hub that was followed decides",
        decide_late,
        "1 decisions of a hub that was followed: a-4 by hub-1",
    ),
    (
        "S2",
        "a spoke obeys a hub that was followed",
        lambda r: r.line(4.7, "agent-1", "command", "ok", what="lead", term=1, holder="hub-1"),
        "a lower term was obeyed by agent-1 (term 1 after 20)",
    ),
    (
        "S2",
        "a hub goes on announcing what it has given up",
        lambda r: r.line(6.5, "agent-1", "command", "fail", what="lead", term=1, highest=20, holder="hub-1"),
        "announced long after they had been given up: hub-1 of term 1, after 1.9 s",
    ),
    (
        "S3",
        "the first decision is late",
        lambda r: slow(r, 2.5, "b-1", "a-4"),
        "hub-2 decided 3.80 s after the",
    ),
    ("S3", "a hand-over takes long", lambda r: hand_over(r, 1.4), "the bound is 1.00 s"),
    (
        "S3",
        "nobody ever follows anybody",
        lambda r: (
            r.drop("lead", term=20),
            r.drop("lead", term=40),
            r.faults.clear(),
            r.fault("pause", "hub-1", 2.0, 9.0),
        ),
        "nobody took over from hub-1 within 3.00 s of its pause",
    ),
    (
        "S3",
        "nobody follows",
        lambda r: (
            r.drop("lead", term=40),
            r.drop("final", what="term", seq=40),
            r.faults.pop(),
            r.fault("pause", "hub-1", 4.4, 4.5),
        ),
        "nobody took over from hub-2 within 3.00 s of its pause",
    ),
    ("S4", "a task is lost", lambda r: lose(r, "a-2"), "1 task lost (0 head, 1 middle, 0 tail): a-2"),
    ("S4", "a task is decided twice", twice, "1 task has more than one decision: a-1"),
    (
        "S4",
        "a register says other than its decision",
        lambda r: r.find("final", what="register", task="a-1").update(agent="agent-2"),
        "another register than its decision: a-1",
    ),
    (
        "S4",
        "a decision has no register",
        lambda r: r.drop("final", what="register", task="a-1"),
        "1 decision has no register: a-1",
    ),
    ("S4", "an intent is filled twice", lambda r: r.filled(5.0, "a-1"), "more than one fill: a-1-0"),
    ("S4", "nothing intends an order", lambda r: r.filled(5.0, "c-1"), "no register that intends it: c-1-0"),
    (
        "S4",
        "an order has two bodies",
        lambda r: r.journal.append(("a-1-0", '{"quantity":2}')),
        "two different bodies: a-1-0",
    ),
    (
        "S4",
        "a task is dead that is no poison",
        lambda r: r.find("final", what="register", task="a-1").update(
            status="dead", effects=[], reason=UNREQUESTED
        ),
        "1 task dead-lettered, the first a-1: acknowledged without a request",
    ),
    (
        "S4",
        "a hub buries a task that was asked for",
        lambda r: r.decision("a-1").update(status="dead", effects=[], request=0, reason=UNREQUESTED),
        "1 task has a request in the log that the hub ended it without: a-1",
    ),
    (
        "S5",
        "a spoke is degraded though a hub leads",
        lambda r: r.degraded(8.0, 8.5, "agent-1"),
        "agent-1 was degraded 0.00 s after hub-2 had led undisturbed, and 2 leases are 2.00 s",
    ),
    (
        "S5",
        "a spoke is degraded before two leases are over",
        lambda r: r.find("degraded", what="begin", node="agent-1").update(time_s=T + 11.0),
        "agent-1 was degraded 1.00 s after hub-2 had led undisturbed, and 2 leases are 2.00 s",
    ),
    (
        "S5",
        "a spoke does not hear the hub that leads now",
        lambda r: r.find("degraded", what="end", node="agent-1").update(time_s=T + 18.5),
        "agent-1 was still degraded when hub-1 had led 2.50 s undisturbed",
    ),
    (
        "S5",
        "a spoke comes back though the hub stands still",
        lambda r: r.find("degraded", what="end", node="agent-1").update(term=20, time_s=T + 12.6),
        "agent-1 was degraded no more while hub-2 of term 20 was silent",
    ),
    (
        "S5",
        "a cut spoke comes back with its link",
        lambda r: (
            r.find("degraded", what="end", node="agent-1").update(term=20, time_s=T + 12.6),
            r.fault("refuse", "agent-1", 12.3, 12.5),
        ),
        "agent-1 was degraded no more while hub-2 of term 20 was silent",
    ),
    (
        "S5",
        "a spoke comes back by a term that there is not",
        lambda r: r.find("degraded", what="end", node="agent-1").update(term=41),
        "agent-1 was degraded no more by term 41, which nobody led",
    ),
    (
        "S5",
        "a spoke does not notice",
        lambda r: undegraded(r, "agent-2"),
        "agent-2 was not degraded though nobody",
    ),
    (
        "S5",
        "a spoke notices late",
        lambda r: shift(r, "begin", 13.2, "agent-1"),
        "agent-1 was degraded 3.20 s after the hub was lost, the bound is 3.00 s",
    ),
    (
        "S5",
        "a spoke comes back late",
        lambda r: shift(r, "end", 16.5, "agent-1"),
        "agent-1 was degraded for more than 2 s after hub-1 had taken over",
    ),
    (
        "S5",
        "a spoke does not come back",
        lambda r: r.drop("degraded", what="end", node="gateway"),
        "gateway was still degraded when hub-1 had led 4.00 s undisturbed",
    ),
    (
        "S5",
        "the gateway lets through what is no reduction",
        lambda r: r.refill(13.5, "a-4"),
        "in degraded mode though it is no reduction: a-4-0",
    ),
    (
        "S5",
        "more than a reduction is allowed",
        lambda r: r.decision("b-2").update(reduces=False),
        "asked for a reduction and been allowed more: b-2",
    ),
    (
        "S5",
        "spokes ask for reductions only while a hub leads",
        reduces_for_ever,
        "5 requests ask for reductions only, and no hub was missed: a-1 of agent-1",
    ),
    (
        "S5",
        "a degraded spoke asks for more",
        lambda r: r.find("final", what="request", task="b-2").update(reduce_only=False),
        "1 requests of degraded spokes may be more than reductions: b-2 of agent-2",
    ),
    (
        "S6",
        "a leader is followed that nothing struck",
        lambda r: take_over_once_more(r, 19.5),
        "hub-2 took over from hub-1, which nothing struck",
    ),
    (
        "S6",
        "one fault is followed by two changes",
        lambda r: (
            r.faults.clear(),
            r.fault("crash", "broker", 2.0, 2.0),
            r.start(13.0, "broker", 2),
        ),
        "crash of broker was followed by 2 changes",
    ),
    (
        "S6",
        "the broker is back within the lease",
        lambda r: (
            r.spec.update(lease_s=9.0),
            r.faults.clear(),
            still(r),
            take_over_once_more(r, 19.5),
            r.fault("crash", "broker", 18.5, 18.5),
            r.start(18.7, "broker", 2),
        ),
        "hub-2 took over from hub-1, which nothing struck",
    ),
    (
        "E1",
        "a decision allows more than there is room for",
        lambda r: r.decision("a-3").update(effects=[effect("a-3", "buy", 4)]),
        "another content than its request demands: a-3 (request 6)",
    ),
    (
        "E1",
        "a request is passed over",
        lambda r: r.decision("a-1").update(request=5),
        "another content than its request demands: a-1",
    ),
    (
        "E1",
        "a decision answers no request",
        lambda r: r.drop("final", what="request", task="b-2"),
        "no request that it could answer: b-2",
    ),
    (
        "E1",
        "a request of who has not the class is decided",
        lambda r: r.find("final", what="request", task="b-2").update(agent="agent-1"),
        "no request that it could answer: b-2",
    ),
    (
        "E1",
        "the hub holds other positions",
        lambda r: r.find("final", what="snapshot").update(positions={"wti": 1}),
        "the hub's snapshot holds {'wti': 1}",
    ),
    (
        "E1",
        "the venue filled more than was decided",
        lambda r: setattr(r, "more_filled", 1),
        "another content than its input demands",
    ),
    ("E1", "an intent was never filled", lambda r: r.fills.pop(), "1 order has no row in the ledger: b-2-0"),
]


@pytest.mark.parametrize(
    ("check", "doctor", "words"),
    [pytest.param(check, doctor, words, id=f"{check}-{what}") for check, what, doctor, words in FAILING],
)
def test_a_doctored_history_fails(check: str, doctor: Doctor, words: str, tmp_path: Path) -> None:
    run = good_star()
    doctor(run)
    found = judged(run, tmp_path)[check]
    assert found.verdict == "fail", found.detail
    assert words.lower() in found.detail.lower()


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


def still(run: StarRun) -> None:
    """One hub leads all the time."""
    for term in (20, 40):
        run.drop("lead", term=term)


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
