"""U3: who holds much more in the end than in the steady state fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.histories import Run, case_in, good_run

from squall.chaos.evidence.model import History
from squall.chaos.judge.case import case_of
from squall.chaos.judge.checks.memory import memory_bounded, was_weighed


def weighed(run: Run, at_s: float, node: str, kib: int, unit: str = "7") -> None:
    run.line(at_s, "nemesis", "memory", "ok", of=node, unit=unit, kib=kib)


def good() -> Run:
    run = good_run()
    run.nodes.append({"node": "nemesis", "role": "nemesis", "incarnation": 1, "started_s": 0.0})
    for node in ("agent-1", "gateway"):
        weighed(run, 0.5, node, 30_000)
        weighed(run, 19.0, node, 40_000)
    return run


def test_what_grows_little_passes(tmp_path: Path) -> None:
    found = memory_bounded(case_in(good().write(tmp_path)))
    assert found.verdict == "pass"
    assert found.detail.startswith("2 processes weighed at both ends; most grew ")


@pytest.mark.parametrize(("kib", "verdict"), [(53_884, "pass"), (53_885, "fail")])
def test_what_grows_beyond_its_bound_fails(kib: int, verdict: str, tmp_path: Path) -> None:
    run = good()
    weighed(run, 19.1, "agent-1", kib)
    found = memory_bounded(case_in(run.write(tmp_path)))
    assert found.verdict == verdict
    assert verdict == "pass" or "agent-1 from 29 to 53 MiB" in found.detail


def test_another_start_is_another_process(tmp_path: Path) -> None:
    run = good()
    weighed(run, 19.1, "agent-1", 10**6, unit="8")
    assert memory_bounded(case_in(run.write(tmp_path))).verdict == "pass"


def test_where_nobody_looked_nothing_is_said(tmp_path: Path) -> None:
    assert not was_weighed(History())
    assert memory_bounded(case_of(History(), None)).verdict == "unknown"
