"""What a harness that is weaker than it says leaves behind is not taken for a good run's evidence.

Each of these was seen to pass once. They are done to the directory of a run that passes, as `squall check`
is given it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from tests.scenarios.doctored import BROKER, Doctored, Line
from tests.scenarios.series_once import Series

from squall.chaos.evidence.agreement import disagreements
from squall.chaos.evidence.series import Planned, planned_in
from squall.chaos.judge import case
from squall.chaos.judge.series import SeriesCheck, series_result
from squall.chaos.judge.tally import tally
from squall.chaos.tell.documents import history_of, judge, judge_all
from squall.services.patterns import pattern_of

LOST_ONE_IN = 500


def doubted(path: Path) -> str:
    """What makes a run doubtful: nothing of it passes, and each check says why."""
    checks = judge(path, keep=False).checks
    passed = [check.id for check in checks if check.verdict == "pass"]
    assert passed == [], "evidence that is doubtful passes"
    return " ".join(check.detail for check in checks)


def failed(path: Path, *ids: str) -> str:
    """What the checks of these ids say, of which one fails."""
    checks = [check for check in judge(path, keep=False).checks if check.id in ids]
    assert "fail" in [check.verdict for check in checks], checks
    return " ".join(check.detail for check in checks)


def test_what_is_written_again_as_it_was_is_judged_as_before(series: Series, tmp_path: Path) -> None:
    run = Doctored(series.seed, tmp_path)
    verdicts = {check.id: check.verdict for check in judge(run.write(), keep=False).checks}
    assert verdicts == {check["id"]: check["verdict"] for check in series.runs[series.seed.name]["checks"]}


# Faults.


def test_only_pauses_are_real(series: Series, tmp_path: Path) -> None:
    """Crashes and restarts are logged as ever, and no process ends."""
    run = Doctored(series.seed, tmp_path)
    run.nodes = [node for node in run.nodes if node["incarnation"] == 1]
    run.counters = [counted for counted in run.counters if counted["incarnation"] == 1]
    for line in run.lines:
        line["inc"] = 1
    path = run.write()
    doubted(path)
    assert any("was followed by no further start of it" in said for said in disagreements(history_of(path)))


def without_faults(run: Doctored) -> Path:
    run.faults.clear()
    for line in run.of("phase", what="healed"):
        line["faults"] = 0
    return run.write()


def test_faults_in_one_run_only(series: Series, tmp_path: Path) -> None:
    folder = tmp_path / "series"
    shutil.copytree(series.path, folder, ignore=BROKER)
    for name in set(series.runs) - {series.seed.name, "poison"}:
        shutil.rmtree(folder / name)
        assert "neither injected nor missed" in doubted(without_faults(Doctored(series.path / name, folder)))
    assert checks_of(folder)["L1"].verdict == "pass", "it is of what need not happen in each run"
    assert "neither injected nor missed" in checks_of(folder)["U1"].detail


def test_faults_that_were_never_planned_in_all_runs_but_one(series: Series, tmp_path: Path) -> None:
    """The schedules say so, too; only what the series planned does not."""
    folder = tmp_path / "series"
    shutil.copytree(series.path, folder, ignore=BROKER)
    shutil.rmtree(folder / "tail")
    (without_faults(Doctored(series.path / "tail", folder)) / "schedule.toml").write_text("seed = 113\n")
    found = checks_of(folder)["V2"]
    assert (found.verdict, "tail had another spec or schedule" in found.detail) == ("unknown", True)


def checks_of(folder: Path) -> dict[str, SeriesCheck]:
    planned = planned_in(folder)
    assert planned is not None
    return {check.id: check for check in series_result(planned, judge_all(folder, planned)).checks}


def test_half_of_the_schedule_is_dropped(series: Series, tmp_path: Path) -> None:
    run = Doctored(series.seed, tmp_path)
    numbers = sorted({fault["id"].partition("/")[0] for fault in run.faults}, key=int)
    run.faults = [fault for fault in run.faults if fault["id"].partition("/")[0] in numbers[::2]]
    for line in run.of("phase", what="healed"):
        line["faults"] = len({fault["id"] for fault in run.faults})
    assert "neither injected nor missed, the first: " in doubted(run.write())


# Evidence.


def test_every_so_many_an_ok_line_of_a_node_is_lost(series: Series, tmp_path: Path) -> None:
    run = Doctored(series.seed, tmp_path)
    nodes = {node["node"] for node in run.nodes}
    ok = [line for line in run.lines if line["type"] == "ok" and line["node"] in nodes]
    lost = {id(line) for line in ok[LOST_ONE_IN::LOST_ONE_IN]}
    assert run.drop(lambda line: id(line) in lost) > 1
    assert "no line tells the end of " in failed(run.write(), "U1").lower()


def test_every_third_acceptance_is_lost(series: Series, tmp_path: Path) -> None:
    run = Doctored(series.seed, tmp_path)
    lost = {id(line) for line in run.of("submit", type="ok")[::3]}
    run.drop(lambda line: id(line) in lost)
    assert f"no line tells the end of {len(lost):,} offers of producer" in failed(run.write(), "U1").lower()


@pytest.mark.parametrize(("who", "by_s"), [("leader", -2), ("leader", -4), ("leader", 4), ("producer", 2)])
def test_a_clock_is_off(series: Series, who: str, by_s: float, tmp_path: Path) -> None:
    """Of those who lead, or of the producer; their heartbeats are dated by it as well.

    Where nobody leads it is that of whoever writes the roster.
    """
    run = Doctored(series.seed, tmp_path)
    nodes = run.nodes_of((pattern_of(series.pattern).leader or "registrar") if who == "leader" else who)
    for line in run.lines:
        line["time_s"] += by_s if line["node"] in nodes else 0
    for counted in run.counters:
        if counted["node"] in nodes and counted["ahead_s"] is not None:
            counted["ahead_s"] += by_s
    assert f"The clock of {min(nodes)} (incarnation 1) is off by " in doubted(run.write())


def test_a_second_body_in_the_journal_of_the_venue(series: Series, tmp_path: Path) -> None:
    run = Doctored(series.seed, tmp_path)
    order_id = f"{run.filled('buy')[0]}-0"
    columns = "time_s, order_id, account, symbol, n, side, quantity, price"
    run.books(
        f"INSERT INTO journal ({columns}, body) SELECT {columns}, body || ' ' FROM journal"
        " WHERE order_id = ? LIMIT 1",
        [(order_id,)],
    )
    assert f"1 order has two different bodies: {order_id}" in failed(run.write(), "H2", "S4", "M5", "R2")


def test_the_load_fades(series: Series, tmp_path: Path) -> None:
    """From its middle on, tasks that would stand aside are not offered; no position depends on them."""
    run = Doctored(series.seed, tmp_path)
    aside = run.filled("none")
    run.drop_tasks(aside[len(aside) // 2 : -1])
    assert " tasks never offered, though later ones of the workload were: " in failed(run.write(), "E1")


# Verdicts.


def test_the_first_run_alone_is_judged(series: Series) -> None:
    planned = Planned(runs=tuple(series.runs), all_faults=True)
    first, *others = judge_all(series.path, planned)
    for judged in ([first], [first for _ in series.runs]):
        found = series_result(planned, judged)
        assert found.verdict == "unknown"
        assert f"not {others[0].result.run} and {len(others) - 1} more" in found.checks[-1].detail


def test_what_is_missing_counts_as_cancelled(series: Series, tmp_path: Path) -> None:
    """Some tasks are lost, and whoever adds up forgives it."""
    run = Doctored(series.seed, tmp_path)
    lost = set(run.filled("buy")[10:15])

    def is_of_what_came_of_them(line: Line) -> bool:
        return line.get("task") in lost and line["op"] == "final"

    run.drop(is_of_what_came_of_them)
    orders = [(f"{task}-0",) for task in lost]
    run.books("DELETE FROM fills WHERE order_id = ?", orders)
    path = run.write()
    with mock.patch.object(case, "tally", lambda history: replace(tally(history), lost=[])):
        assert_named(failed(path, "E1", "S4"), sorted(lost))


def assert_named(said: str, tasks: Sequence[str]) -> None:
    assert any(task in said for task in tasks), said
