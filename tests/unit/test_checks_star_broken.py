"""What the checks of star say of histories in which a promise is broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.histories import T
from tests.unit.star_doctored import (
    Doctor,
    decide_late,
    hand_over,
    judged,
    lose,
    reduces_for_ever,
    shift,
    slow,
    still,
    take_over_once_more,
    twice,
    undegraded,
)
from tests.unit.star_histories import effect, good_star

from squall.services.rules.hub import UNREQUESTED

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
