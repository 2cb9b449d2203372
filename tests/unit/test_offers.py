"""Offers that a dying producer left behind: how many of them may have been accepted that nobody knows of."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.histories import Run, case_in, good_run

from squall.chaos.judge.checks.hierarchical import no_loss

LEFT = 20


def left_behind(*, stored: int | None) -> Run:
    """A producer dies with offers in flight, and its next start is refused each; one more is unknown."""
    run = good_run()
    tasks = [f"b-{n}" for n in range(LEFT)]
    for task in tasks:
        run.submit(2.9, task, "none")
    run.start(3.0, "producer", 2)
    for task in tasks:
        run.submit(3.2, task, "fail", inc=2)
    if stored is not None:
        run.line(20.0, "squall", "final", "ok", what="ingress", stored=stored)
    return run


@pytest.mark.parametrize(
    ("more", "verdict", "says"),
    [
        (0, "pass", ""),
        (5, "unknown", "of 6 tasks it is not known whether they were accepted"),
        (None, "unknown", f"of {LEFT + 1} tasks it is not known whether they were accepted"),
        (LEFT + 5, "unknown", "the broker took"),
    ],
)
def test_of_those_only_what_the_broker_took_may_hide(
    more: int | None, verdict: str, says: str, tmp_path: Path
) -> None:
    accepted = sum(row["op"] == "submit" and row["type"] == "ok" for row in good_run().rows)
    found = no_loss(case_in(left_behind(stored=None if more is None else accepted + more).write(tmp_path)))
    assert (found.verdict, says.lower() in found.detail.lower()) == (verdict, True), found.detail
