"""A ring over time: what waited at each stage, how breakers stood, and who had the lanes."""

from __future__ import annotations

import math
from pathlib import Path

from tests.unit.histories import Run, T, case_in
from tests.unit.test_checks_ring import TASKS
from tests.unit.test_checks_ring_breakers import failing_run, turn
from tests.unit.test_checks_ring_lanes import lanes, look, moving_run

from squall.chaos.judge.checks.ring_tracks import tracks
from squall.chaos.judge.track import Band, Level, Standing
from squall.chaos.tell.page.lanes import Window
from squall.chaos.tell.page.plots import Setting
from squall.chaos.tell.page.tracks import drawn, highest, standings


def told(run: Run, tmp_path: Path) -> dict[str, Level | Band]:
    return {row.name: row for row in tracks(case_in(run.write(tmp_path / "run")).history)}


def stretches(row: Level | Band) -> list[tuple[float, float, Standing, str]]:
    assert isinstance(row, Band)
    return [
        (round(each.since_s - T, 3), round(each.until_s - T, 3), each.standing, each.about)
        for each in row.stretches
    ]


def test_what_came_to_a_stage_waits_there_until_it_is_done(tmp_path: Path) -> None:
    rows = told(moving_run(), tmp_path)
    for stage in range(1, 5):
        row = rows[f"waiting at stage {stage}"]
        assert isinstance(row, Level)
        # Each of all tasks came once, and went once, however many lines there are of it.
        assert sorted(more for _, more in row.changes) == [-1] * len(TASKS) + [1] * len(TASKS)
        assert max(highest(row, Window(T, 30.0), 0.5)) >= 1


def test_a_task_that_is_done_twice_is_gone_once(tmp_path: Path) -> None:
    run = moving_run()
    again = {**run.find("stage-commit", stage=2), "inc": 2}
    run.rows.append(again)
    row = told(run, tmp_path)["waiting at stage 3"]
    assert isinstance(row, Level)
    assert sum(more for _, more in row.changes) == 0


def test_a_breaker_that_is_open_ends_by_itself_and_stands_as_an_operator_says(tmp_path: Path) -> None:
    run = failing_run()
    turn(run, 50.0, "force-open", "forced-open", node="router-1", shared=True)
    turn(run, 55.0, "resume", "half-open", node="router-1", shared=True)
    turn(run, 56.0, "passed", "closed", node="router-1", shared=True)
    rows = told(run, tmp_path)
    assert stretches(rows["breaker of stage 3"]) == [
        (31.5, 36.0, "away", "open: some failed"),
        (36.0, 50.0, "trying", "half-open: its time is over"),
        (50.0, 55.0, "operated", "forced-open: some failed"),
        (55.0, 56.0, "trying", "half-open: some failed"),
        (56.0, math.inf, "well", "closed: some failed"),
    ]
    assert "breaker of stage 2" not in rows  # it never turned


def test_lanes_are_told_by_who_has_how_many(tmp_path: Path) -> None:
    run = moving_run()
    look(run, 6.0, 4, agent_4=lanes(range(91)), agent_8=lanes(range(90, 100)))
    assert stretches(told(run, tmp_path)["lanes of stage 4"]) == [
        (0.0, 5.0, "well", "agent-4 100"),
        (5.0, 5.4, "away", "agent-4 90"),
        (5.4, 6.0, "well", "agent-4 90, agent-8 10"),
        (6.0, math.inf, "wrong", "agent-4 91, agent-8 10"),
    ]


def test_a_run_of_something_else_tells_nothing(tmp_path: Path) -> None:
    run = moving_run()
    run.spec["order"] = "any"
    assert not told(run, tmp_path)


def test_levels_stay_where_they_are_until_they_change() -> None:
    level = Level("waiting", [(T + 1.2, 1), (T + 1.3, 1), (T + 5.5, -1), (T + 5.6, 1), (T - 3.0, 1)])
    assert highest(level, Window(T, 7.0), 1.0) == [1, 3, 3, 3, 3, 3, 3, 3]


def test_all_of_it_is_drawn_wide_and_narrow(tmp_path: Path) -> None:
    run = failing_run()
    for stage in range(1, 5):
        look(run, 0.0, stage, **{f"agent_{stage}": lanes(range(100))})
    rows = list(told(run, tmp_path).values())
    seen = Window(T, 60.0)
    setting = Setting(seen.length_s, [], [], ["agent-1"])
    for width in (1080.0, 400.0):
        svg = str(drawn(rows, seen, setting, width))
        assert svg.count('class="row"') == len(rows)
        assert "breaker of stage 3, 31.50 to 36.00 s: open: some failed" in svg
        assert "agent-3 100" in svg
    assert standings(rows) == ["well", "away", "trying"]
