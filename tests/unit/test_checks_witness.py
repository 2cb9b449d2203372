"""E2: what handlers log of their work is held against what was counted and registered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.histories import Run, case_in, good_run

from squall.chaos.evidence.model import History
from squall.chaos.judge.case import case_of
from squall.chaos.judge.checks.witness import as_handled, is_witnessed
from squall.chaos.judge.decide import Finding
from squall.chaos.plan.varied import HANDLER

AT = "2026-11-26 17:52:00,123 INFO "

GOOD = [f"witness a-{n} 1 {what}" for n in range(1, 7) for what in ("given", "returned 1")]


def good() -> Run:
    run = good_run()
    run.spec["handler"] = HANDLER
    for n in range(4, 7):
        run.line(3.6, "agent-2", "run", "invoke", task=f"a-{n}", attempt=1)
    return run


def judged(path: Path, *lines: str, doctor: Callable[[Run], object] = lambda run: None) -> Finding:
    run = good()
    doctor(run)
    run.write(path)
    (path / "logs").mkdir()
    (path / "logs" / "agent-1.log").write_text("starting\n" + "".join(f"{AT}{line}\n" for line in lines) + AT)
    return as_handled(case_in(path))


def test_what_was_handled_as_it_was_counted_passes(tmp_path: Path) -> None:
    found = judged(tmp_path, *GOOD, "witness a-1 1 given of mine", "witness A! 1 given")
    assert found.verdict == "pass", found.detail
    assert found.detail == "6 tasks handled in 6 calls, each begun and counted; 6 registers as returned."


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([*GOOD, "witness a-2 1 given"], "1 task has been handled more often than it was begun: a-2"),
        ([line.replace("a-3 1 returned 1", "a-3 1 returned 2") for line in GOOD], "other number"),
        ([line for line in GOOD if line != "witness a-4 1 returned 1"], "no handler that returned: a-4"),
    ],
)
def test_what_was_handled_otherwise_fails(lines: list[str], says: str, tmp_path: Path) -> None:
    found = judged(tmp_path, *lines)
    assert found.verdict == "fail"
    assert says in found.detail


def test_more_calls_than_attempts_fail_whatever_else_is_doubtful(tmp_path: Path) -> None:
    found = judged(
        tmp_path, *GOOD, "witness a-2 1 given", doctor=lambda r: r.faults[0].update(verified=False)
    )
    assert (found.verdict, "handled more often" in found.detail) == ("fail", True), found.detail


def test_more_calls_than_attempts_tell_nothing_while_a_line_is_lost(tmp_path: Path) -> None:
    judged(tmp_path, *GOOD, "witness a-2 1 given")
    lines = (tmp_path / "history.jsonl").read_bytes().splitlines(keepends=True)
    lines.remove(next(line for line in lines if b'"run"' in line and b'"agent-2"' in line))
    (tmp_path / "history.jsonl").write_bytes(b"".join(lines))
    found = as_handled(case_in(tmp_path))
    assert (found.verdict, "handled more often" in found.detail) == ("unknown", True), found.detail


def test_other_handlers_are_no_witnesses(tmp_path: Path) -> None:
    assert not is_witnessed(History())
    assert as_handled(case_of(History(), None)).verdict == "unknown"
