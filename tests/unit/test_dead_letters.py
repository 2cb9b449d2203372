"""What a dead letter says is what was submitted, and how it ended: it is all there is to try a task again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import Run, T, case_in, good_run

from squall.chaos.judge.checks.poison import containment
from squall.chaos.plan.poison import HANDLER, is_poison

POISON = next(f"a-{n}" for n in range(9, 1000) if is_poison(f"a-{n}"))
END: dict[str, Any] = {"attempt": 3, "agent": "agent-1", "reason": "no result: its workers died or hung"}
LETTER: dict[str, Any] = {"what": "dead-letter", "task": POISON, "of": POISON, "input": 7, **END}


def poisoned(letter: dict[str, Any]) -> Run:
    """A run with one task of poison, which ends as it should."""
    run = good_run()
    run.spec.update(handler=HANDLER, attempts=3)
    run.submit(3.0, POISON)
    run.find("submit", type="invoke", task=POISON)["input"] = 7
    for at_s in (3.0, 4.5, 6.0):
        run.line(at_s, "agent-1", "run", "invoke", task=POISON, attempt=1)
    run.register(8.0, POISON, term=1, status="dead", **END)
    run.line(20.0, "squall", "final", "ok" if letter["of"] else "fail", **letter)
    return run


LETTERS: list[tuple[str, dict[str, Any], str, str]] = [
    ("as it was", LETTER, "pass", ""),
    (
        "of before letters were read",
        {key: LETTER[key] for key in ("what", "task")} | {"of": None},
        "pass",
        "",
    ),
    ("without its input", LETTER | {"input": 0}, "fail", "another task or input than was submitted"),
    ("of another task", LETTER | {"of": "a-1"}, "fail", "another task or input than was submitted"),
    ("that nobody can read", LETTER | {"of": ""}, "fail", "another task or input than was submitted"),
    ("of fewer attempts", LETTER | {"attempt": 1}, "fail", "another end than its register tells of"),
    ("by another agent", LETTER | {"agent": "agent-2"}, "fail", "another end than its register tells of"),
    ("for another reason", LETTER | {"reason": "none"}, "fail", "another end than its register tells of"),
]


@pytest.mark.parametrize(("what", "letter", "verdict", "says"), LETTERS, ids=[row[0] for row in LETTERS])
def test_a_dead_letter(what: str, letter: dict[str, Any], verdict: str, says: str, tmp_path: Path) -> None:
    found = containment(case_in(poisoned(letter).write(tmp_path)))
    assert (found.verdict, says in found.detail) == (verdict, True), found.detail


def spent(run: Run, *faults: tuple[str, float, float]) -> None:
    """Two attempts at a task were cut off: their agents were, for longer than an ack wait."""
    run.faults.clear()
    run.spec.update(attempts=2, ack_wait_s=1.0)
    for node, since_s, until_s in faults:
        run.faults.append(
            {"kind": "blackhole", "target": node, "node": node, "verified": True}
            | {"start_s": T + since_s, "end_s": T + until_s}
        )
    run.line(3.1, "agent-1", "run", "invoke", task="s-1", attempt=1)
    run.line(4.6, "agent-2", "run", "invoke", task="s-1", attempt=2)
    run.submit(3.0, "s-1")
    run.register(6.1, "s-1", term=10, status="dead", **END | {"attempt": 2})
    run.line(20.0, "squall", "final", "ok", **LETTER | {"task": "s-1", "of": "s-1", "input": 0, "attempt": 2})


FIRST, SECOND = ("agent-1", 3.2, 5.0), ("agent-2", 4.7, 6.5)


def fewer(run: Run) -> None:
    run.spec["attempts"] = 3


def failed_at_first(run: Run) -> None:
    run.line(3.2, "agent-1", "attempt", "fail", task="s-1", attempt=1, reason="it raised")


def failed_at_last(run: Run) -> None:
    run.line(4.7, "agent-2", "attempt", "fail", task="s-1", attempt=2, reason="it raised")


def another_reason(run: Run) -> None:
    run.find("final", what="register", task="s-1")["reason"] = "it did not like it"


def never_begun(run: Run) -> None:
    run.drop("run", task="s-1", attempt=2)


def ended(run: Run) -> None:
    run.start(4.5, "agent-1", 2)


def counted_and_never_begun(run: Run) -> None:
    """Its first agent was started again at 4.5 s, and nobody began it after that."""
    ended(run)
    never_begun(run)


def killed_by_a_neighbour(run: Run) -> None:
    ended(run)
    run.spec["handler"] = HANDLER


def both_killed_by_neighbours(run: Run) -> None:
    killed_by_a_neighbour(run)
    run.start(5.9, "agent-2", 2)


SPENT: list[tuple[str, Callable[[Run], Any], tuple[tuple[str, float, float], ...], str]] = [
    ("both were cut off", lambda run: None, (FIRST, SECOND), "pass"),
    ("the broker was", lambda run: None, (("broker", 3.2, 6.0),), "pass"),
    ("only the first was", lambda run: None, (FIRST,), "fail"),
    ("only the second was", lambda run: None, (SECOND,), "fail"),
    ("the first failed, and the second was", failed_at_first, (SECOND,), "pass"),
    ("the first was, and the second failed", failed_at_last, (FIRST,), "fail"),
    ("others were", lambda run: None, (("agent-2", 3.2, 4.0), ("gateway", 4.7, 6.0)), "fail"),
    ("it was to have one more", fewer, (FIRST, SECOND), "fail"),
    ("it is dead for another reason", another_reason, (FIRST, SECOND), "fail"),
    ("the first ended with its agent, which nothing killed", ended, (SECOND,), "fail"),
    # Not a failure; but no poison was there to be judged.
    ("the first ended with its agent, of poison", killed_by_a_neighbour, (SECOND,), "unknown"),
    ("both did", both_killed_by_neighbours, (), "fail"),
    ("the last was never begun", never_begun, (FIRST, SECOND), "fail"),
    ("the last was struck before it was begun", counted_and_never_begun, (FIRST, SECOND), "pass"),
    ("the last was never begun, and nothing struck", counted_and_never_begun, (FIRST,), "fail"),
    ("the last was struck, and the first by nothing", counted_and_never_begun, (SECOND,), "fail"),
]


@pytest.mark.parametrize(("what", "doctor", "faults", "verdict"), SPENT, ids=[row[0] for row in SPENT])
def test_a_task_whose_attempts_were_all_cut_off_is_dead_by_nobodys_mistake(
    what: str,
    doctor: Callable[[Run], Any],
    faults: tuple[tuple[str, float, float], ...],
    verdict: str,
    tmp_path: Path,
) -> None:
    run = good_run()
    spent(run, *faults)
    doctor(run)
    found = containment(case_in(run.write(tmp_path)))
    assert found.verdict == verdict, found.detail
    if verdict == "pass":
        assert found.detail.startswith(
            "1 task dead-lettered, as each of its 2 attempts failed, or was cut off"
        )
