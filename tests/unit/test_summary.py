"""A result in words: from its document alone, for a trader, and never against its checks."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.chaos.judge.series import SeriesCheck, SeriesResult
from squall.chaos.tell.summary import in_words as series_in_words
from squall.services.run.result import Busy, Check, Environment, Fault, Latency, Recovery, Result, Verdict
from squall.services.run.summary import in_words, spans_busy, unstruck

T = 1_700_000_000.0  # 22:13:20 UTC

GOOD: dict[str, Any] = {
    "offered": 5000, "accepted": 5000, "refused": 0, "effects": 5000, "lost": 0, "duplicated": 0,
    "conflicting": 0, "dead_letters": 0, "cancelled": 0, "refused_effects": 0, "interrupted": False,
    "one_order_each": True,
}  # fmt: skip

PAUSED = Fault(kind="pause", target="leader", start_s=T, end_s=T + 2.5, verified=True)


def check(
    verdict: Verdict, of: str = "H1", name: str = "no-loss", detail: str = "It is so.", **more: Any
) -> Check:
    return Check(id=of, name=name, verdict=verdict, detail=detail, **more)


IDLE = check("unknown", "H4", "coordinator-failover", "No failover happened.", exercised=False)


def result(**fields: Any) -> Result:
    nothing: dict[str, Any] = {
        **dict.fromkeys(Result.__struct_fields__),
        "run": "r1",
        "pattern": "hierarchical",
        "latency_ms": Latency(),
        "recovery_s": Recovery(),
        "faults": (),
        "checks": (check("pass"),),
        "limits": (),
        "environment": Environment(),
        "broker": (),
    }
    return Result(**{**nothing, **GOOD, **fields})


def slow(at_s: float, took_s: float | None = 2.2, what: str = "slow-call") -> Busy:
    return Busy(what=what, at_s=T + at_s, took_s=took_s, said="x took too long")


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "all is well": (
        {"faults": (PAUSED,), "recovery_s": Recovery(detect=1.319)},
        "5,000 orders accepted, each filled once. The leading coordinator was frozen for 2.5 s; "
        "another took over after 1.3 s.",
    ),
    "another pattern's leader": (
        {"pattern": "star", "faults": (PAUSED,), "recovery_s": Recovery(detect=1.2)},
        "5,000 orders accepted, each filled once. The leading hub was frozen for 2.5 s; another "
        "took over after 1.2 s.",
    ),
    "a pattern that is not known here": (
        {"pattern": "nowhere", "faults": (PAUSED,)},
        "5,000 orders accepted, each filled once. The leader was frozen for 2.5 s; that another "
        "took over is not on record.",
    ),
    "frozen, as nobody saw": (
        {"faults": (msgspec.structs.replace(PAUSED, verified=False),)},
        "5,000 orders accepted, each filled once. That the leader was frozen was not seen.",
    ),
    "lost": (
        {"effects": 4997, "lost": 3, "checks": (check("fail", detail="3 tasks have no register: a, b, c."),)},
        "3 orders of 5,000 accepted tasks were never filled. H1 no-loss failed: 3 tasks have no "
        "register: a, b, c. 5,000 tasks accepted, 4,997 orders filled.",
    ),
    "one lost": (
        {"effects": 4999, "lost": 1, "checks": (check("fail", detail=""), check("fail", "E1", "ledger"))},
        "1 order of 5,000 accepted tasks was never filled. H1 no-loss failed. Also failed: E1 ledger. "
        "5,000 tasks accepted, 4,999 orders filled.",
    ),
    "doubled": (
        {"duplicated": 2, "conflicting": 1, "checks": (check("fail", "H2", "one-effect"),)},
        "2 orders were filled twice, or filled unasked. 1 order came with two different contents. "
        "H2 one-effect failed: It is so. 5,000 tasks accepted, 5,000 orders filled.",
    ),
    "a check failed though the counts are good": (
        {"checks": (check("fail", "E1", "ledger-as-computed", "1 row differs: a-1. More of it."),)},
        "E1 ledger-as-computed failed: 1 row differs: a-1. 5,000 orders accepted, each filled once.",
    ),
    "a third refused": (
        {"accepted": 3333, "effects": 3333, "refused": 1667},
        "A third of what was offered was refused: 1,667 of 5,000. 3,333 orders accepted, each filled once.",
    ),
    "many refused": (
        {"accepted": 2900, "effects": 2900, "refused": 2100},
        "42 % of what was offered was refused: 2,100 of 5,000. 2,900 orders accepted, each filled once.",
    ),
    "few refused, some not known": (
        {"accepted": 4980, "effects": 4980, "refused": 12},
        "4,980 orders accepted, each filled once. 12 of 5,000 offered were refused. Whether 8 "
        "more were accepted is not known.",
    ),
    "all refused": (
        {"accepted": 0, "effects": 0, "refused": 5000, "checks": (check("unknown"),)},
        "All of what was offered was refused: 5,000 of 5,000. No task was accepted, by what is "
        "on record. Not decided: H1 no-loss.",
    ),
    "dead letters and orders that are none": (
        {"effects": 4900, "dead_letters": 40, "refused_effects": 60},
        "5,000 tasks accepted, 4,900 orders filled, each once; 40 given up as dead letters, 60 refused.",
    ),
    "a handler of one's own": (
        {"effects": 7480},
        "5,000 tasks accepted, 7,480 orders filled, each once.",
    ),
    "a handler that orders nothing for one and two for another": (
        {"one_order_each": False},
        "5,000 tasks accepted, 5,000 orders filled, each once.",
    ),
    "a handler that orders nothing": (
        {"effects": 0, "one_order_each": False},
        "5,000 tasks accepted, no order filled.",
    ),
    "a handler that fails": (
        {"accepted": 100, "offered": 100, "effects": 0, "dead_letters": 100, "one_order_each": False},
        "100 tasks accepted, no order filled; 100 given up as dead letters.",
    ),
    "undecided": (
        {"checks": (check("pass"), check("unknown", "H4", "failover"), check("unknown", "H6", "pressure"))},
        "5,000 orders accepted, each filled once, by what is on record. Not decided: H4 failover, "
        "H6 pressure.",
    ),
    "not exercised": (
        {"checks": (check("pass"), IDLE)},
        "5,000 orders accepted, each filled once. Not exercised: H4 coordinator-failover.",
    ),
    "interrupted": (
        {"interrupted": True, "offered": 3210, "accepted": 3210, "effects": 3210},
        "Interrupted before its end. 3,210 orders accepted, each filled once.",
    ),
    "killed": (
        {
            **dict.fromkeys(GOOD),
            "offered": 3210,
            "accepted": 3200,
            "refused": 0,
            "checks": (check("unknown"),),
        },
        "The run did not come to its end, or its record did not. 3,200 tasks accepted; what "
        "became of them is not on record. Whether 10 more were accepted is not known. Not "
        "decided: H1 no-loss.",
    ),
    "nothing is known": (
        {**dict.fromkeys(GOOD), "checks": ()},
        "What was offered is not on record. No check was made.",
    ),
    "many faults": (
        {
            "faults": (PAUSED, Fault(kind="crash", target="any-agent", start_s=T, verified=False)),
            "recovery_s": Recovery(detect=1.4),
        },
        "5,000 orders accepted, each filled once. 2 faults of 2 kinds planned, 1 of them seen in "
        "force. A lost leader was followed within 1.4 s.",
    ),
    "one fault": (
        {"faults": (Fault(kind="crash", target="any-agent", start_s=T, end_s=T, verified=True),)},
        "5,000 orders accepted, each filled once. 1 fault struck, and seen in force.",
    ),
    "a busy broker": (
        {"broker": (slow(10.0), slow(10.5), slow(30.0, 1.5), slow(40.0, None, "slow-consumer"))},
        "5,000 orders accepted, each filled once. The broker was busy for 2.7 s at 22:13:27 UTC, "
        "and 1 more time. A client was too slow for the broker once, though nothing was struck then.",
    ),
}


@pytest.mark.parametrize(("fields", "told"), CASES.values(), ids=CASES)
def test_a_run_is_told_in_words(fields: dict[str, Any], told: str) -> None:
    assert in_words(result(**fields)) == told


def test_words_come_from_the_document_alone() -> None:
    """So that whoever judges the directory again, or reads the document, is told the same."""
    for fields, told in CASES.values():
        document = msgspec.json.encode(result(**fields))
        assert in_words(msgspec.json.decode(document, type=Result)) == told


COUNTS = st.one_of(st.none(), st.integers(0, 3))


@given(
    counts=st.fixed_dictionaries(
        {name: COUNTS for name in GOOD if name not in ("offered", "interrupted", "one_order_each")}
    ),
    more=st.integers(0, 3),
    interrupted=st.sampled_from([True, False, None]),
    checks=st.lists(st.sampled_from([check("pass"), check("fail"), check("unknown"), IDLE]), max_size=3),
)
def test_words_never_contradict_the_counts_or_the_checks(
    counts: dict[str, Any], more: int, interrupted: bool | None, checks: list[Check]
) -> None:
    offered = None if counts["accepted"] is None else counts["accepted"] + (counts["refused"] or 0) + more
    told = in_words(result(**counts, offered=offered, interrupted=interrupted, checks=tuple(checks)))
    known = counts["accepted"] is not None and counts["lost"] is not None and counts["effects"] is not None
    bad = any(counts[name] for name in counts if name not in ("accepted", "effects", "refused"))
    if not known or bad or not counts["accepted"]:
        assert "each filled once" not in told
    for name, says in (
        ("lost", "never filled"),
        ("duplicated", "filled twice"),
        ("conflicting", "two different"),
    ):
        assert (says in told) is bool(counts[name])
    assert ("failed" in told) is any(one.verdict == "fail" for one in checks)
    is_open = any(one.verdict == "unknown" and one.exercised for one in checks)
    assert ("Not decided" in told) is is_open
    if is_open and "filled once" in told:
        assert "by what is on record" in told
    assert ("Not exercised" in told) is (IDLE in checks)
    assert ("Interrupted" in told) is (interrupted is True)
    assert re.fullmatch(r"[^\n]+\.", told)


def test_a_broker_that_was_struck_is_not_called_busy() -> None:
    words = (slow(10.0), slow(60.0))
    own = Fault(kind="pause", target="broker", start_s=T + 7.0, end_s=T + 9.0, verified=True)
    assert [round(start_s - T, 1) for start_s, _ in spans_busy(words, (own,))] == [57.8]
    assert len(spans_busy(words, (msgspec.structs.replace(own, target="any-agent"),))) == 2
    assert spans_busy((slow(5.0, 0.4),), ()) == []


@pytest.mark.parametrize(
    ("word", "fault", "matters"),
    [
        (slow(10.0), None, True),
        (slow(10.0), ("pause", "any-agent", 8.0, 12.0), True),
        (slow(10.0), ("pause", "broker", 8.0, 9.0), False),
        (slow(10.0), ("pause", "broker", 8.0, None), False),
        (slow(10.0, 0.4), None, False),
        (slow(10.0, None, "slow-consumer"), None, True),
        (slow(10.0, None, "slow-consumer"), ("pause", "any-agent", 2.0, 9.5), False),
        (slow(10.0, None, "slow-consumer"), ("pause", "any-agent", 2.0, 8.5), True),
        (slow(10.0, None, "slow-consumer"), ("crash", "broker", 10.5, 10.6), True),
    ],
)
def test_what_a_fault_explains_of_the_brokers_words_does_not_matter(
    word: Busy, fault: tuple[str, str, float, float | None] | None, matters: bool
) -> None:
    faults = ()
    if fault is not None:
        kind, target, start_s, end_s = fault
        ended_s = None if end_s is None else T + end_s
        faults = (Fault(kind=kind, target=target, start_s=T + start_s, end_s=ended_s, verified=True),)
    assert unstruck((word,), faults) == ([word] if matters else [])


def series(runs: list[Result], checks: list[SeriesCheck]) -> SeriesResult:
    return SeriesResult(
        runs=tuple(runs),
        checks=tuple(checks),
        recovery=(),
        coverage=(),
        exercised=(),
        all_faults=True,
        verdict="pass",
    )


def of_all(verdict: Verdict, of: str = "H1", detail: str = "Passed in 2 of 2 runs.") -> SeriesCheck:
    return SeriesCheck(pattern="hierarchical", id=of, name="no-loss", verdict=verdict, detail=detail)


CRASH = Fault(kind="crash", target="any-agent", start_s=T, verified=True)

SERIES: dict[str, tuple[list[Result], list[SeriesCheck], str]] = {
    "all is well": (
        [
            result(faults=(PAUSED, CRASH), recovery_s=Recovery(detect=1.2)),
            result(recovery_s=Recovery(detect=1.4)),
        ],
        [of_all("pass")],
        "2 runs. 10,000 orders accepted, each filled once. 2 faults of 2 kinds struck, each seen "
        "in force. A lost leader was followed within 1.4 s.",
    ),
    "lost in one": (
        [result(), result(run="seed-2", lost=3, effects=4997)],
        [of_all("fail", detail="seed-2: 3 tasks have no register: a, b, c.")],
        "2 runs. 3 orders of 10,000 accepted tasks were never filled. That was in seed-2. H1 no-loss "
        "failed: seed-2: 3 tasks have no register: a, b, c. 10,000 tasks accepted, 9,997 orders filled.",
    ),
    "lost in one, and another was killed": (
        [
            result(run="seed-1", **{**dict.fromkeys(GOOD), "offered": 10, "accepted": 10, "refused": 0}),
            result(run="seed-2", lost=3, effects=4997),
        ],
        [of_all("fail")],
        "2 runs. 3 orders of 5,000 accepted tasks were never filled. That was in seed-2. H1 no-loss failed: "
        "Passed in 2 of 2 runs. 5,010 tasks accepted; what became of them is not on record.",
    ),
    "one was killed": (
        [result(), result(**{**dict.fromkeys(GOOD), "offered": 10, "accepted": 10, "refused": 0})],
        [of_all("unknown", "V2")],
        "2 runs. 5,010 tasks accepted; what became of them is not on record. Not decided: V2 no-loss.",
    ),
    "none is here": ([], [of_all("unknown", "V2")], "No run of the series is here."),
}


@pytest.mark.parametrize(("runs", "checks", "told"), SERIES.values(), ids=SERIES)
def test_a_series_is_told_in_words(runs: list[Result], checks: list[SeriesCheck], told: str) -> None:
    assert series_in_words(series(runs, checks)) == told
