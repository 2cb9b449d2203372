"""A mesh over time: proposals by outcome, epochs, time without a quorum, and who was suspect to whom."""

from __future__ import annotations

import math
from pathlib import Path

from tests.unit.histories import T, case_in
from tests.unit.mesh_histories import MeshRun, good_mesh
from tests.unit.test_ring_tracks import stretches

from squall.chaos.judge.checks.mesh_tracks import tracks
from squall.chaos.judge.track import Counts, Level, Track
from squall.chaos.tell.page.lanes import Window
from squall.chaos.tell.page.plots import Setting
from squall.chaos.tell.page.tracks import drawn, happened, highest


def told(run: MeshRun, tmp_path: Path) -> dict[str, Track]:
    return {row.name: row for row in tracks(case_in(run.write(tmp_path / "run")).history)}


def suspecting(run: MeshRun) -> None:
    for at_s, node, standing in (
        (3.0, "agent-1", "suspect"),
        (3.2, "agent-2", "suspect"),
        (4.0, "agent-2", "failed"),
        (6.5, "agent-2", "alive"),
        (7.0, "agent-1", "alive"),
    ):
        run.line(at_s, node, "presence", "ok", agent="agent-3", standing=standing)


def test_proposals_are_told_by_what_became_of_them(tmp_path: Path) -> None:
    rows = told(good_mesh(), tmp_path)
    for name, times in (("approved", 5), ("rejected", 1), ("aborted", 2)):
        row = rows[f"proposals {name}"]
        assert isinstance(row, Counts)
        assert len(row.times_s) == times
        assert sum(happened(row, Window(T, 12.0), 0.5)) == times
    open_ = rows["open proposals"]
    assert isinstance(open_, Level)
    assert sorted(more for _, more in open_.changes) == [-1] * 8 + [1] * 8
    assert max(highest(open_, Window(T, 12.0), 0.5)) == 1


def test_one_that_is_open_beyond_its_deadline_is_time_without_a_quorum(tmp_path: Path) -> None:
    rows = told(good_mesh(), tmp_path)
    assert [(since, until) for since, until, *_ in stretches(rows["without a quorum"])] == [(1.5, 1.6)]


def test_epochs_are_told_from_when_the_first_peer_counted_them(tmp_path: Path) -> None:
    run = good_mesh()
    for at_s, node, epoch in ((0.1, "agent-2", 1), (0.05, "agent-1", 1), (9.01, "agent-1", 2)):
        run.line(at_s, node, "epoch", "ok", epoch=epoch, seq=1)
    assert stretches(told(run, tmp_path)["epoch"]) == [
        (0.05, 9.01, "well", "epoch 1: 3 peers, 2 of all votes must be yes"),
        (9.01, math.inf, "changed", "epoch 2: 2 peers, 2 of all votes must be yes"),
    ]


def test_a_peer_is_suspect_to_whoever_says_so_until_it_says_otherwise(tmp_path: Path) -> None:
    run = good_mesh()
    suspecting(run)
    rows = told(run, tmp_path)
    assert stretches(rows["agent-3, to the others"]) == [
        (3.0, 3.2, "trying", "suspect: to 1 of the others, and failed to 0"),
        (3.2, 4.0, "trying", "suspect: to 2 of the others, and failed to 0"),
        (4.0, 6.5, "away", "suspect: to 1 of the others, and failed to 1"),
        (6.5, 7.0, "trying", "suspect: to 1 of the others, and failed to 0"),
    ]
    assert "agent-1, to the others" not in rows


def test_all_of_it_is_drawn(tmp_path: Path) -> None:
    run = good_mesh()
    suspecting(run)
    rows = list(told(run, tmp_path).values())
    svg = str(drawn(rows, Window(T, 12.0), Setting(12.0, [], [], ["agent-1"]), 1080.0))
    assert svg.count('class="row"') == len(rows)
    assert "5 proposals approved" in svg


def test_a_log_that_was_not_read_back_tells_nothing(tmp_path: Path) -> None:
    run = good_mesh()
    run.rows = [row for row in run.rows if row.get("what") != "proposal"]
    assert not told(run, tmp_path)
