"""What the check of lanes' owners says of a good history, and of doctored ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests.unit.histories import Run, T, case_in
from tests.unit.test_checks_ring import good_run

from squall.bus.subjects import lane_for
from squall.chaos.judge.checks.ring_lanes import bound_s, grown, ownership
from squall.chaos.judge.decide import Finding
from squall.chaos.judge.mistakes import counted
from squall.services.patterns.ring import RingSpec

BOUND_S = bound_s(RingSpec())
MOVED = (90, 100)
"""The lanes of stage 4 that move from one instance to another, from 5.0 to 5.4."""


def lanes(*numbers: Iterable[int]) -> str:
    return " ".join(str(number) for some in numbers for number in some)


def look(run: Run, at_s: float, stage: int, **owners: str) -> None:
    told = {name.replace("_", "-"): owned for name, owned in owners.items()}
    run.line(at_s, "squall", "owners", "ok", stage=stage, owners=told)


def moving_run(*, back_s: float = 5.4) -> Run:
    """Of the last stage some lanes move: they are with their old owner, with nobody, with their new one."""
    run = good_run()
    for stage in range(1, 5):
        look(run, 0.0, stage, **{f"agent_{stage}": lanes(range(100))})
    look(run, 5.0, 4, agent_4=lanes(range(90)))
    look(run, back_s, 4, agent_4=lanes(range(90)), agent_8=lanes(range(*MOVED)))
    return run


def found(run: Run, tmp_path: Path) -> Finding:
    closing = run.find("final", what="complete")
    run.rows.sort(key=lambda row: (row is closing, row["time_s"]))
    closing["time_s"] = max(row["time_s"] for row in run.rows)
    return ownership(case_in(run.write(tmp_path / "run")))


def struck(run: Run, node: str, at_s: float, healed_s: float) -> None:
    times = {"start_s": T + at_s, "verified_s": T + at_s, "end_s": T + healed_s, "healed_s": T + healed_s}
    run.faults.append({"id": "1/x", "kind": "pause", "target": node, "node": node, "verified": True, **times})


def test_lanes_that_move_with_nobody_for_a_moment_pass(tmp_path: Path) -> None:
    finding = found(moving_run(), tmp_path)
    assert finding.verdict == "pass", finding
    assert "10 lanes moved" in finding.detail
    assert "more than 0.4 s" in finding.detail


def two_owners(run: Run) -> None:
    look(run, 5.2, 4, agent_4=lanes(range(91)), agent_8=lanes(range(*MOVED)))


def no_filter_at_all(run: Run) -> None:
    look(run, 6.0, 4, agent_4=lanes(range(100)), agent_8=lanes(range(*MOVED)))


def begun_by_both(run: Run) -> None:
    run.start(-1.0, "agent-7")
    told = {"stage": 3, "task": "t-1-9", "attempt": 1}
    run.line(5.0, "agent-3", "stage-run", "invoke", **told)
    run.line(5.5, "agent-7", "stage-run", "invoke", **told)
    run.line(6.0, "agent-3", "stage-commit", "fail", reason="already", **told)


def never_given(run: Run) -> None:
    """Those of the first look after it are with nobody to the end, which is far away."""
    look(run, 5.5, 4, agent_4=lanes(range(89)), agent_8=lanes(range(*MOVED)))
    run.find("final", what="complete")["time_s"] += 3 * BOUND_S


@pytest.mark.parametrize(
    ("doctor", "why"),
    [
        (two_owners, "lane 90 of stage 4 of agent-4 and agent-8"),
        (no_filter_at_all, "two owners at a time"),
        (begun_by_both, "t-1-9 at stage 3 by agent-7 0.5 s after agent-3"),
        (never_given, "lane 89 of stage 4"),
    ],
)
def test_two_owners_and_none_for_long_fail(tmp_path: Path, doctor: Callable[[Run], None], why: str) -> None:
    run = moving_run()
    doctor(run)
    finding = found(run, tmp_path)
    assert (finding.verdict, why in finding.detail) == ("fail", True), finding


@pytest.mark.parametrize(("over_s", "verdict"), [(-0.5, "pass"), (0.5, "fail")])
def test_none_may_be_without_an_owner_for_longer_than_the_bound(
    tmp_path: Path, over_s: float, verdict: str
) -> None:
    finding = found(moving_run(back_s=5.0 + BOUND_S + over_s), tmp_path)
    assert finding.verdict == verdict, finding


def test_lanes_that_nobody_but_their_first_owner_ever_had_are_missed_too(tmp_path: Path) -> None:
    run = moving_run()
    run.rows = [row for row in run.rows if row["op"] != "owners" or row["stage"] != 4]
    for at_s, owned in ((0.0, range(100)), (5.0, range(90)), (5.5 + BOUND_S, range(100))):
        look(run, at_s, 4, agent_4=lanes(owned))
    finding = found(run, tmp_path)
    assert (finding.verdict, "of stage 4 for" in finding.detail) == ("fail", True), finding


@pytest.mark.parametrize(("node", "is_held"), [("router-1", False), ("broker", False), ("agent-4", True)])
def test_while_nobody_can_move_lanes_the_bound_does_not_run(
    tmp_path: Path, node: str, *, is_held: bool
) -> None:
    run = moving_run(back_s=5.0 + BOUND_S + 3.0)
    struck(run, node, 6.0, 9.5)
    struck(run, node, 6.5, 8.0)  # what overlaps counts once
    finding = found(run, tmp_path)
    assert (finding.verdict == "fail") is is_held, finding


def test_who_came_to_have_more_lanes_had_its_consumer_made_anew(tmp_path: Path) -> None:
    run = moving_run()
    look(run, 7.0, 4, agent_4=lanes(range(100)))
    history = case_in(run.write(tmp_path / "run")).history
    assert grown(history) == [("agent-8", T + 5.4), ("agent-4", T + 7.0)]


@pytest.mark.parametrize(
    ("node", "at_s", "counts"), [("agent-4", 4.0, 1), ("agent-4", 9.0, 2), ("agent-3", 4.0, 2)]
)
def test_an_attempt_of_before_a_consumer_was_made_anew_need_not_count(
    tmp_path: Path, node: str, at_s: float, counts: int
) -> None:
    run = good_run()
    run.line(5.0, "agent-4", "run", "invoke", task="a-1", attempt=1)  # as the one at 2.1 had been
    history = case_in(run.write(tmp_path / "run")).history
    assert len(counted(history, "a-1", [(node, T + at_s)])) == counts


def test_where_no_lane_moved_nothing_is_said(tmp_path: Path) -> None:
    run = good_run()
    for stage in range(1, 5):
        look(run, 0.0, stage, **{f"agent_{stage}": lanes(range(100))})
    finding = found(run, tmp_path)
    assert (finding.verdict, finding.exercised) == ("unknown", False), finding


def test_a_stage_that_nobody_looked_at_leaves_it_open(tmp_path: Path) -> None:
    run = moving_run()
    run.rows = [row for row in run.rows if row["op"] != "owners" or row["stage"] != 2]
    finding = found(run, tmp_path)
    assert (finding.verdict, "stage 2" in finding.detail) == ("unknown", True), finding


@pytest.mark.parametrize(
    ("kind", "is_held"), [("pause", False), ("leave", True), ("slow", True), ("errors", True)]
)
def test_who_is_away_is_not_waited_for_and_who_only_leaves_or_is_slow_is(
    tmp_path: Path, kind: str, *, is_held: bool
) -> None:
    run = moving_run()
    begun_by_both(run)
    struck(run, "agent-3", 4.0, 5.4)
    run.faults[-1]["kind"] = kind
    assert (found(run, tmp_path).verdict == "fail") is is_held


def test_who_has_ended_before_the_next_begins_had_it_alone(tmp_path: Path) -> None:
    run = moving_run()
    begun_by_both(run)
    run.find("stage-commit", task="t-1-9")["time_s"] -= 0.6
    assert found(run, tmp_path).verdict == "pass"


def waited_out(run: Run, without_s: float, came_s: float) -> None:
    """The lane of a task at stage 3 has no owner for some time, and goes to another, as it is held."""
    of_task = int(lane_for("t-1"))
    others = lanes(set(range(100)) - {of_task})
    begun_by_both(run)
    run.submit(came_s, "t-1-9")
    run.register(40.0, "t-1-9", term=0, agent="agent-7")
    look(run, 4.0 - without_s, 3, agent_3=others)
    look(run, 4.0, 3, agent_3=others, agent_7=str(of_task))
    look(run, -9.0 - without_s, 3, agent_3=lanes(range(100)))
    run.rows.remove(run.find("owners", stage=3, owners={"agent-3": lanes(range(100))}, time_s=T))


@pytest.mark.parametrize(
    ("without_s", "came_s", "verdict"), [(10.0, -5.0, "pass"), (5.0, -5.0, "fail"), (10.0, 4.5, "fail")]
)
def test_what_was_held_by_one_that_was_waited_for_as_long_as_may_be_is_the_next_ones_too(
    tmp_path: Path, without_s: float, came_s: float, verdict: str
) -> None:
    run = moving_run()
    waited_out(run, without_s, came_s)
    finding = found(run, tmp_path)
    assert (finding.verdict, "t-1-9" in finding.detail) == (verdict, verdict == "fail"), finding
