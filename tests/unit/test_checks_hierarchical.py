"""What the checks of the hierarchical pattern say of good, empty and broken histories, with any line gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.hierarchical_doctored import CHECKS, FAILING, Doctor, judged
from tests.unit.histories import Run, case_in, good_run

from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Dispatch
from squall.chaos.judge.case import case_of
from squall.services.run.result import Verdict


@pytest.mark.parametrize("name", CHECKS)
def test_a_good_history_passes(name: str, tmp_path: Path) -> None:
    assert judged(good_run(), tmp_path)[name].verdict == "pass"


@pytest.mark.parametrize("name", CHECKS)
def test_an_empty_history_is_unknown(name: str) -> None:
    assert CHECKS[name](case_of(History(), Dispatch)).verdict == "unknown"


@pytest.mark.parametrize(("stored", "verdict"), [(5, "unknown"), (6, "pass"), (9, "pass"), (10, "unknown")])
def test_the_broker_s_count_of_submissions_agrees(stored: int, verdict: str, tmp_path: Path) -> None:
    """Six were accepted, of one it is not known; two jobs may have been closed."""
    run = good_run()
    run.line(20.0, "squall", "final", "ok", what="ingress", stored=stored)
    assert judged(run, tmp_path)["H1"].verdict == verdict


@pytest.mark.parametrize(("name", "what", "doctor", "says"), FAILING, ids=[f"{f[0]} {f[1]}" for f in FAILING])
def test_a_broken_promise_fails_its_check(
    name: str, what: str, doctor: Doctor, says: str, tmp_path: Path
) -> None:
    run = good_run()
    doctor(run)
    check = judged(run, tmp_path)[name]
    assert check.verdict == "fail", check.detail
    assert says in check.detail


def test_a_takeover_carries_open_tasks_over(tmp_path: Path) -> None:
    assert "1 task dispatched before a takeover ended after it" in judged(good_run(), tmp_path)["H4"].detail


def without_each_line(run: Run, path: Path) -> list[tuple[bytes, dict[str, Verdict]]]:
    """Every line of a written history, and the verdicts once it alone is gone."""
    run.write(path)
    lines = run.lines()
    found = []
    for place, line in enumerate(lines):
        (path / "history.jsonl").write_bytes(b"".join(lines[:place] + lines[place + 1 :]))
        case = case_in(path)
        found.append((line, {name: check(case).verdict for name, check in CHECKS.items()}))
    return found


def test_no_check_passes_once_any_line_is_gone(tmp_path: Path) -> None:
    for line, verdicts in without_each_line(good_run(), tmp_path):
        assert "pass" not in verdicts.values(), line


@pytest.mark.parametrize(("name", "what", "doctor", "says"), FAILING, ids=[f"{f[0]} {f[1]}" for f in FAILING])
def test_no_lost_line_turns_a_failure_into_a_pass(
    name: str, what: str, doctor: Doctor, says: str, tmp_path: Path
) -> None:
    run = good_run()
    doctor(run)
    for line, verdicts in without_each_line(run, tmp_path):
        assert verdicts[name] != "pass", line


def test_what_lines_show_fails_even_where_others_are_missing(tmp_path: Path) -> None:
    run = good_run()
    run.fill(5.0, "a-2")
    for line, verdicts in without_each_line(run, tmp_path):
        if b'"register"' not in line:
            assert verdicts["H2"] == "fail", line


def test_what_is_only_inferred_is_unknown_while_lines_are_missing(tmp_path: Path) -> None:
    run = good_run()
    run.write(tmp_path)
    lines = [line for line in run.lines() if b'"register","task":"a-3"' not in line]
    (tmp_path / "history.jsonl").write_bytes(b"".join(lines))
    assert CHECKS["H1"](case_in(tmp_path)).verdict == "unknown"


def test_a_window_is_not_overfilled_by_registers_that_are_missing(tmp_path: Path) -> None:
    """Of a history whose end is cut off dispatches are there, and registers, which stand last, are not."""
    run = good_run()
    run.spec["window_max"] = 4
    assert judged(run, tmp_path)["H6"].verdict == "pass"
    lines = [line for line in run.lines() if b'"final"' not in line]
    (tmp_path / "history.jsonl").write_bytes(b"".join(lines))
    found = CHECKS["H6"](case_in(tmp_path))
    assert found.verdict == "unknown"
    assert "the window holds 4" in found.detail
