"""U2: who runs a task again has a reason for it, or fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import Run, T, case_in, good_run

from squall.chaos.evidence.model import History
from squall.chaos.judge.case import case_of
from squall.chaos.judge.checks.repeats import UNEXPLAINED, no_needless_repeat

AGAIN = UNEXPLAINED + 1
"""Tasks that are run twice."""


def repeated() -> Run:
    """Some tasks are run a second time by another agent, half a second after the first."""
    run = good_run()
    run.faults.clear()
    run.spec["ack_wait_s"] = 1.0
    for n in range(AGAIN):
        run.line(8.0, "agent-1", "run", "invoke", task=f"b-{n}", attempt=1)
        run.line(8.5, "agent-2", "run", "invoke", task=f"b-{n}", attempt=2)
    return run


def struck(run: Run, node: str, kind: str, since_s: float, until_s: float) -> None:
    run.faults.append(
        {
            "kind": kind,
            "target": node,
            "node": node,
            "start_s": T + since_s,
            "end_s": T + until_s,
            "verified": True,
        }
    )


def test_tasks_that_are_run_again_for_nothing_fail(tmp_path: Path) -> None:
    found = no_needless_repeat(case_in(repeated().write(tmp_path)))
    assert found.verdict == "fail"
    assert found.detail == (
        f"{AGAIN} tasks of {AGAIN + 3} run again though nothing had happened: b-0, b-1, b-2 and 1 more."
    )


@pytest.mark.parametrize(("pause_s", "verdict"), [(0.05, "fail"), (0.9, "pass")])
def test_failed_attempts_that_are_made_again_too_soon_fail(
    pause_s: float, verdict: str, tmp_path: Path
) -> None:
    """The pause after a first attempt is between nothing and two seconds."""
    run = good_run()
    run.spec.update(retry_base_s=1.0, retry_cap_s=60.0)
    for n in range(20):
        run.line(8.0, "agent-1", "run", "invoke", task=f"b-{n}", attempt=1)
        run.line(8.1, "agent-1", "attempt", "fail", task=f"b-{n}", attempt=1, reason="raised")
        run.line(8.1 + pause_s, "agent-2", "run", "invoke", task=f"b-{n}", attempt=2)
    found = no_needless_repeat(case_in(run.write(tmp_path)))
    assert (found.verdict, "20 failed attempts were made again" in found.detail) == (verdict, pause_s < 0.5)


REASONS: list[tuple[str, Callable[[Run], Any]]] = [
    ("the first agent was struck", lambda r: struck(r, "agent-1", "pause", 8.1, 8.4)),
    ("the second was, before", lambda r: struck(r, "agent-2", "late", 6.0, 7.2)),
    ("the broker was", lambda r: struck(r, "broker", "crash", 8.2, 8.2)),
    ("the first ended", lambda r: r.start(8.3, "agent-1", 2)),
    ("the first ended, and is up again later", lambda r: r.start(11.0, "agent-1", 2)),
    (
        "the first was put out",
        lambda r: r.line(8.2, "squall", "expel", "ok", agent="agent-1", reason="it hogs"),
    ),
    ("the first left the swarm", lambda r: r.line(8.2, "squall", "leave", "ok", agent="agent-1")),
    (
        "the attempts failed",
        lambda r: [
            r.line(8.1, "agent-1", "attempt", "fail", task=f"b-{n}", attempt=1, reason="?")
            for n in range(AGAIN)
        ],
    ),
]


@pytest.mark.parametrize(("what", "happens"), REASONS, ids=[what for what, _ in REASONS])
def test_what_has_a_reason_passes(what: str, happens: Callable[[Run], Any], tmp_path: Path) -> None:
    run = repeated()
    happens(run)
    found = no_needless_repeat(case_in(run.write(tmp_path)))
    assert found.verdict == "pass", found.detail


def test_a_fault_of_somebody_else_is_no_reason(tmp_path: Path) -> None:
    run = repeated()
    struck(run, "gateway", "pause", 8.1, 8.4)
    struck(run, "agent-1", "pause", 8.6, 8.9)
    struck(run, "agent-1", "pause", 5.0, 6.0)
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict == "fail"


def test_an_end_of_the_agent_before_or_long_after_is_no_reason(tmp_path: Path) -> None:
    run = repeated()
    run.start(7.0, "agent-2", 2)
    run.start(14.0, "agent-1", 2)
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict == "fail"


def held_up(
    run: Run, node: str, over_s: float, for_s: float, *, inc: int = 1, handler: str = "m:decide"
) -> None:
    run.find("note")["handler"] = handler
    facts = {"at": "m.py:3 in decide", "line": "m.py:3 in decide: time.sleep(1)", "times": 1}
    run.line(over_s, node, "held-up", "ok", inc, seconds=for_s, took_s=for_s, **facts)


HOLD_UPS: list[tuple[str, dict[str, Any], str]] = [
    ("the first agent's", {"node": "agent-1", "over_s": 8.6, "for_s": 0.6}, "pass"),
    ("the second's, before it began", {"node": "agent-2", "over_s": 8.4, "for_s": 0.8}, "pass"),
    ("half an ack wait at least", {"node": "agent-1", "over_s": 8.4, "for_s": 0.4}, "fail"),
    ("none of it later", {"node": "agent-1", "over_s": 9.4, "for_s": 0.8}, "fail"),
    ("none of it long before", {"node": "agent-1", "over_s": 6.4, "for_s": 0.8}, "fail"),
    ("no other agent's", {"node": "agent-3", "over_s": 8.4, "for_s": 0.8}, "fail"),
    ("no other start's", {"node": "agent-1", "over_s": 8.4, "for_s": 0.8, "inc": 2}, "fail"),
    (
        "none of the harness's own handlers",
        {"node": "agent-1", "over_s": 8.4, "for_s": 0.8, "handler": "squall.chaos.inject.handlers:varied"},
        "fail",
    ),
]


@pytest.mark.parametrize(("what", "hold_up", "verdict"), HOLD_UPS, ids=[what for what, *_ in HOLD_UPS])
def test_a_hold_up_by_the_handler_excuses_what_it_had_delivered_again(
    what: str, hold_up: dict[str, Any], verdict: str, tmp_path: Path
) -> None:
    run = repeated()
    held_up(run, **hold_up)
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict == verdict


def test_of_several_tellings_of_one_hold_up_each_moment_counts_once(tmp_path: Path) -> None:
    run = repeated()
    for over_s in (8.25, 8.3, 8.35):
        held_up(run, "agent-1", over_s, over_s - 8.0)
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict == "fail"
    held_up(run, "agent-1", 8.55, 0.55)
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict == "pass"


def test_a_few_may_be_the_machine(tmp_path: Path) -> None:
    run = repeated()
    run.drop("run", task="b-0", node="agent-2")
    found = no_needless_repeat(case_in(run.write(tmp_path)))
    assert found.verdict == "pass"
    assert f"{UNEXPLAINED} times for no reason on record ({UNEXPLAINED} allowed)" in found.detail


def test_where_nothing_is_known_of_what_ran_nothing_is_said() -> None:
    assert no_needless_repeat(case_of(History(), None)).verdict == "unknown"


def let_go() -> Run:
    """Some tasks are begun for the first time when they are delivered for the second."""
    run = good_run()
    run.faults.clear()
    run.spec["ack_wait_s"] = 1.0
    for n in range(AGAIN):
        run.line(8.5, "agent-2", "run", "invoke", task=f"b-{n}", attempt=2)
    return run


def test_tasks_that_are_let_go_for_nothing_fail(tmp_path: Path) -> None:
    found = no_needless_repeat(case_in(let_go().write(tmp_path)))
    assert found.verdict == "fail"
    said = f"{AGAIN} tasks of {AGAIN + 3} delivered and not begun though nothing had happened: b-0, b-1, b-2"
    assert found.detail == f"{said} and 1 more."


@pytest.mark.parametrize(
    "reason",
    [
        lambda run: struck(run, "agent-1", "pause", 7.2, 7.4),
        lambda run: struck(run, "broker", "crash", 7.2, 7.2),
        lambda run: run.start(11.0, "agent-1", 2),
        lambda run: run.line(8.2, "squall", "expel", "ok", agent="agent-1", reason="it hogs"),
        lambda run: held_up(run, "agent-1", 8.4, 0.8),
    ],
)
def test_tasks_that_are_let_go_for_a_reason_do_not(reason: Callable[[Run], Any], tmp_path: Path) -> None:
    run = let_go()
    reason(run)
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict != "fail"


@pytest.mark.parametrize(
    ("what", "node", "back_s", "verdict"),
    [
        ("it was back just before", "agent-1", 7.4, "pass"),
        ("another was back", "agent-2", 7.4, "fail"),
        ("it was not back as it should", "agent-1", 8.3, "fail"),
    ],
)
def test_a_fault_keeps_deliveries_from_its_node_until_that_is_back(
    what: str, node: str, back_s: float, verdict: str, tmp_path: Path
) -> None:
    run = let_go()
    struck(run, "agent-1", "refuse", 4.0, 5.0)
    run.line(back_s, node, "link", "ok")
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict == verdict


@pytest.mark.parametrize(
    ("what", "order", "each_s", "verdict"),
    [
        ("each waits for the one before it", "strict", 3.0, "pass"),
        ("nobody waits for it that long", "strict", 3.6, "fail"),
        ("nobody waits for another", "relaxed", 3.0, "fail"),
    ],
)
def test_in_a_strict_order_tasks_wait_behind_one_that_comes_again(
    what: str, order: str, each_s: float, verdict: str, tmp_path: Path
) -> None:
    run = good_run()
    run.faults.clear()
    run.spec |= {"ack_wait_s": 1.0, "order": order}
    struck(run, "agent-1", "pause", 2.0, 4.2)
    for n in range(AGAIN + 1):
        run.line(6.0 + each_s * n, "agent-2", "run", "invoke", task=f"b-{n}", attempt=2)
        run.register(6.1 + each_s * n, f"b-{n}", term=1)
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict == verdict


def test_a_strict_order_excuses_nobody_where_nothing_happened(tmp_path: Path) -> None:
    run = let_go()
    run.spec["order"] = "strict"
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict == "fail"


def waits(
    run: Run, *, attempts: int, until_s: float = 8.49, number: int = 1, told_s: float | None = None
) -> None:
    """Who begins them has worked on another task since long before, when all agents were struck.

    Args:
        until_s: When that task ended.
        number: Which attempt at it that was.
        told_s: When the attempt itself ended, where somebody else's had ended the task.
    """
    run.spec["attempts"] = attempts
    struck(run, "agent-1", "one-way-down", 6.0, 6.8)
    run.line(7.3, "agent-2", "run", "invoke", task="slow-1", attempt=number)
    if told_s is not None:
        run.line(told_s, "agent-2", "commit", "fail", task="slow-1", attempt=number, reason="already")
    run.register(until_s, "slow-1", term=1)


@pytest.mark.parametrize(
    ("what", "waiting", "verdict"),
    [
        ("a suspect lets what runs come to its end", {"attempts": 2}, "pass"),
        ("who is none waits for nothing", {"attempts": 5}, "fail"),
        ("what waits is begun at once then", {"attempts": 2, "until_s": 8.2}, "fail"),
        (
            "the task had ended, and its last attempt had not",
            {"attempts": 2, "until_s": 7.2, "number": 2, "told_s": 8.49},
            "pass",
        ),
        (
            "both had ended before",
            {"attempts": 2, "until_s": 7.2, "number": 2, "told_s": 8.2},
            "fail",
        ),
    ],
)
def test_what_waited_in_its_agent_was_delivered_before(
    what: str, waiting: dict[str, Any], verdict: str, tmp_path: Path
) -> None:
    run = let_go()
    waits(run, **waiting)
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict == verdict


@pytest.mark.parametrize(
    ("what", "attempts", "until_s", "verdict"),
    [
        ("one ran alone until then", 2, 7.95, "pass"),
        ("nothing ran alone", 5, 7.95, "fail"),
        ("what ran alone had ended long before", 2, 7.5, "fail"),
    ],
)
def test_what_waited_in_its_agent_may_have_been_delivered_again_since(
    what: str, attempts: int, until_s: float, verdict: str, tmp_path: Path
) -> None:
    run = repeated()
    run.spec["attempts"] = attempts
    struck(run, "agent-1", "late", 5.0, 5.6)
    run.line(6.0, "agent-1", "run", "invoke", task="slow-1", attempt=2)
    run.line(until_s, "agent-1", "commit", "ok", task="slow-1", attempt=2, status="ok")
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict == verdict


def sent_again(times: int) -> Run:
    """Orders come to the venue again, and nobody was struck."""
    run = good_run()
    run.faults.clear()
    run.journal += [("a-1.0", '{"quantity":1}')] * (times - 1)  # one is there
    return run


def test_orders_that_are_sent_again_for_nothing_fail(tmp_path: Path) -> None:
    found = no_needless_repeat(case_in(sent_again(UNEXPLAINED + 1).write(tmp_path)))
    assert found.verdict == "fail"
    assert (
        found.detail == f"Orders came to the venue again {UNEXPLAINED + 1} times though nothing had happened."
    )


def test_a_few_of_them_may_be_the_machine(tmp_path: Path) -> None:
    found = no_needless_repeat(case_in(sent_again(UNEXPLAINED).write(tmp_path)))
    assert found.verdict == "pass"
    assert found.detail.endswith(f"{UNEXPLAINED} orders sent again for none.")


@pytest.mark.parametrize("node", ["gateway", "venue", "broker"])
def test_orders_that_are_sent_again_for_a_reason_do_not(node: str, tmp_path: Path) -> None:
    run = sent_again(UNEXPLAINED + 1)
    struck(run, node, "pause", -2.0, -1.0)
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict == "pass"


def test_nor_do_they_where_the_gateway_was_started_again(tmp_path: Path) -> None:
    run = sent_again(UNEXPLAINED + 1)
    run.start(-0.5, "gateway", 2)
    assert no_needless_repeat(case_in(run.write(tmp_path))).verdict != "fail"
