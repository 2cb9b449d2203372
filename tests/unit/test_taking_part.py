"""L5 on doctored histories: an agent that is left alone and has room takes part in the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import Run, T, case_in, good_run

from squall.chaos.judge.checks.taking_part import BACK_S, IDLE_S, SHARES, all_take_part

Doctor = Callable[[Run], Any]

TO_S = 18.0
"""Until when both work."""

IDLE = (10.0, 10.0 + IDLE_S + 1.0)
"""When one of them begins nothing."""

OF_ONE = 2 * SHARES + 20
"""Tasks that the other begins meanwhile: more than so many shares of two."""


def idle(run: Run, *, others: int = OF_ONE, slots: int = 4) -> None:
    """The second agent begins nothing for a while, in which the first begins many."""
    run.faults.clear()
    run.spec["slots"] = slots
    run.nodes.append({"node": "nemesis", "role": "nemesis", "incarnation": 1, "started_s": T})
    step_s = (IDLE[1] - IDLE[0]) / (others + 1)
    for n in range(others):
        begin(run, f"b-{n}", "agent-1", IDLE[0] + (n + 1) * step_s)
    begin(run, "c-1", "agent-2", IDLE[0])
    begin(run, "c-2", "agent-2", IDLE[1])
    begin(run, "c-3", "agent-1", TO_S)


def begin(run: Run, task: str, agent: str, at_s: float, *, for_s: float = 0.05, attempt: int = 1) -> None:
    run.submit(at_s - 0.1, task)
    run.line(at_s, agent, "run", "invoke", task=task, attempt=attempt)
    run.register(at_s + for_s, task, term=10, agent=agent)


def struck(run: Run, node: str, start_s: float) -> None:
    run.faults.append(
        {"kind": "sever", "target": node, "node": node, "start_s": T + start_s, "end_s": T + start_s + 0.5}
        | {"verified": True, "healed_s": T + start_s + 0.5}
    )


def full(run: Run) -> None:
    """All its slots are taken by tasks that take as long."""
    idle(run, slots=2)
    for n in range(2):
        begin(run, f"d-{n}", "agent-2", IDLE[0] - 0.2, for_s=IDLE[1] - IDLE[0] + 1.0)


def suspect(run: Run, *, attempt: int) -> None:
    idle(run)
    run.spec["attempts"] = 5
    begin(run, "d-1", "agent-2", IDLE[0] + 0.01, for_s=IDLE[1] - IDLE[0] - 0.1, attempt=attempt)


AS_LONG = IDLE[1] - IDLE[0]

CASES: list[tuple[str, Doctor, str, str]] = [
    ("idle with room", idle, "fail", f"agent-2 began nothing for {AS_LONG:.1f} s, undisturbed"),
    ("others begin few", lambda r: idle(r, others=SHARES), "pass", "none left more than"),
    ("all slots taken", full, "pass", "none left more than"),
    ("struck", lambda r: (idle(r), struck(r, "agent-2", IDLE[0] + 0.5)), "pass", "none left more than"),
    ("broker struck", lambda r: (idle(r), struck(r, "broker", IDLE[0] - 1.0)), "pass", "none left more"),
    ("another struck", lambda r: (idle(r), struck(r, "agent-1", IDLE[0])), "fail", "agent-2 began nothing"),
    ("a suspect runs alone", lambda r: suspect(r, attempt=3), "pass", "none left more than"),
    ("a second attempt", lambda r: suspect(r, attempt=2), "fail", "agent-2 began nothing"),
    ("just started", lambda r: (idle(r), r.start(IDLE[1] - BACK_S, "agent-2", 2)), "pass", "none left more"),
]


@pytest.mark.parametrize(("what", "doctor", "verdict", "says"), CASES, ids=[row[0] for row in CASES])
def test_an_agent_that_begins_nothing(
    what: str, doctor: Doctor, verdict: str, says: str, tmp_path: Path
) -> None:
    run = good_run()
    doctor(run)
    found = all_take_part(case_in(run.write(tmp_path)))
    assert (found.verdict, says in found.detail) == (verdict, True), found.detail


def test_agents_that_were_never_left_alone_are_not_judged(tmp_path: Path) -> None:
    run = good_run()
    idle(run)
    for at_s in range(20):
        struck(run, "broker", float(at_s))
    assert all_take_part(case_in(run.write(tmp_path))).verdict == "unknown"
