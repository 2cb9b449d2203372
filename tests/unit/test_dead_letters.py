"""What a dead letter says is what was submitted, and how it ended: it is all there is to try a task again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import Run, case_in, good_run

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
