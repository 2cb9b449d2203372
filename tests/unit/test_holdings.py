"""What the venue holds as it fills orders, in its own order, on doctored histories of a star."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.star_histories import StarRun, good_star, judged_case

from squall.chaos.judge.checks import holdings
from squall.chaos.judge.checks.star import PROMISES
from squall.chaos.judge.decide import Finding

Doctor = Callable[[StarRun], Any]


def judged(promise: str, run: StarRun, path: Path) -> Finding:
    case = judged_case(run, path)
    return next(each for each in PROMISES.promises if each.id == promise).check(case)


@pytest.mark.parametrize(("allowed", "verdict"), [(0, "fail"), (1, "pass")])
def test_orders_that_come_in_another_order_than_they_were_decided_in(
    allowed: int, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "BEYOND", allowed)
    run = good_star()
    run.refill(14.65, "b-1")
    found = judged("E1", run, tmp_path)
    assert found.verdict == verdict
    said = "1 order has more than 10 of its symbol held at the venue after it: a-4-0"
    assert (said in found.detail) is (verdict == "fail")


@pytest.mark.parametrize("node", ["gateway", "venue", "broker"])
def test_they_may_where_something_was_struck(
    node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "BEYOND", 0)
    run = good_star()
    run.refill(14.65, "b-1")
    run.fault("latency", node, 14.0, 14.2)
    assert judged("E1", run, tmp_path).verdict == "pass"


def overtakes(run: StarRun) -> None:
    """The reduction is filled in degraded mode, before what it was to reduce."""
    run.refill(13.5, "b-2")
    for task in ("a-1", "a-2", "a-3"):
        run.refill(14.6, task)


DEGRADED: list[tuple[str, Doctor, str, str]] = [
    ("a reduction of what is held", lambda r: r.refill(13.5, "b-2"), "pass", ""),
    ("one that overtakes", overtakes, "fail", "and reduced nothing that the venue held: b-1-0, b-2-0"),
    ("an order that is none", lambda r: r.refill(13.5, "a-4"), "fail", "though it is no reduction: a-4-0"),
    (
        "one that was on its way to a venue that stood still",
        lambda r: (r.refill(13.5, "a-4"), r.fault("pause", "venue", 11.9, 13.4)),
        "pass",
        "",
    ),
    (
        "one that was sent again after errors",
        lambda r: (r.refill(13.5, "a-4"), r.fault("errors", "venue", 11.9, 13.4)),
        "fail",
        "though it is no reduction: a-4-0",
    ),
]


@pytest.mark.parametrize(("what", "doctor", "verdict", "says"), DEGRADED, ids=[row[0] for row in DEGRADED])
def test_what_a_degraded_gateway_carries(
    what: str, doctor: Doctor, verdict: str, says: str, tmp_path: Path
) -> None:
    run = good_star()
    doctor(run)
    found = judged("S5", run, tmp_path)
    assert (found.verdict, says in found.detail) == (verdict, True), found.detail
