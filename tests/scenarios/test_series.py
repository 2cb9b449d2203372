"""What a series says of a good swarm, and that its directory says the same, and less evidence never more."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from tests.scenarios.series_once import SEED, Series, squall

from squall.chaos.judge.checks import promises_of
from squall.chaos.plan.cells import cells
from squall.chaos.plan.poison import is_poison
from squall.chaos.plan.varied import SHARES
from squall.chaos.tell.documents import judge
from squall.services.patterns import pattern_of
from squall.services.run.result import HANDLER_CHECK


def test_every_promise_is_kept_and_was_put_to_the_test(series: Series) -> None:
    promises = promises_of(series.pattern)
    assert promises is not None
    verdicts = {check["id"]: check["verdict"] for check in series.document["checks"]}
    histories = [series.history(series.path / run) for run in series.runs]
    ids = [
        promise.id
        for promise in promises.promises
        if promise.id != HANDLER_CHECK  # of nobody's own
        and any(promise.when(history) for history in histories)
    ]
    assert verdicts == dict.fromkeys([*ids, "V2"], "pass"), series.document["checks"]
    assert (series.code, series.document["verdict"]) == (0, "pass")


def test_every_fault_struck_and_nothing_was_lost(series: Series) -> None:
    for run in series.runs.values():
        assert all(fault["verified"] for fault in run["faults"]), run["faults"]
        assert [run[name] for name in ("lost", "duplicated", "conflicting")] == [0, 0, 0]
    seed = series.runs[f"seed-{SEED}"]
    assert seed["faults"]
    leads, stores = pattern_of(series.pattern).leader, promises_of(series.pattern).batches is not None
    timed = {"detect": bool(leads), "failover": stores, "drain": True}  # to what a leader stores first
    assert {step: took_s is not None for step, took_s in seed["recovery_s"].items()} == timed


def test_every_cell_of_the_coverage_table_is_told(series: Series) -> None:
    there = [(cell["point"], cell["strike"]) for cell in series.document["coverage"]]
    assert sorted(there) == sorted(cells(pattern_of(series.pattern).points()))


@pytest.mark.series("hierarchical")
def test_poison_is_dead_lettered_and_the_tail_is_cut(series: Series) -> None:
    assert list(series.runs) == [f"seed-{SEED}", "poison", "tail", "varied", "distributed"]
    assert series.runs["poison"]["dead_letters"] > 0
    assert [fault["kind"] for fault in series.runs["tail"]["faults"]] == ["sever"] * 3


@pytest.mark.series("hierarchical")
def test_poison_among_many_slots_takes_no_other_task_down(series: Series) -> None:
    """One task in a hundred kills its worker, beside up to 15 others that did nothing."""
    run = series.path / "poison"
    history = series.history(run)
    dead = {register.task for register in history.registers if register.status == "dead"}
    assert dead == {task for task in history.submissions if is_poison(task)}
    lines = map(json.loads, (run / "history.jsonl").read_bytes().splitlines())
    runs = [(line["task"], line["attempt"]) for line in lines if line["op"] == "run"]
    for task in dead:
        attempts = [attempt for poison, attempt in runs if poison == task]
        # One of the first two may be counted and never begin: its worker died of another task.
        assert attempts[-3:] == [3, 4, 5]
        assert sorted(set(attempts)) == attempts


def test_each_run_leaves_its_result_its_page_and_a_test_case_a_check(series: Series) -> None:
    for name, result in series.runs.items():
        run = series.path / name
        assert json.loads((run / "result.json").read_text()) == result
        assert f"{name}" in (run / "report.html").read_text()
        cases = [case.get("name") for case in Xml.parse(run / "junit.xml").iter("testcase")]
        assert cases == [f"{check['id']} {check['name']}" for check in result["checks"]]


def test_less_evidence_is_never_a_better_verdict(series: Series, tmp_path: Path) -> None:
    path = series.copy(tmp_path)
    assert json.loads(squall("check", path, "--json")) == series.runs[path.name]
    for file in ("faults.jsonl", "history.jsonl", "nodes.jsonl"):
        lines = (path / file).read_bytes().splitlines(keepends=True)
        # Of a fault, the line of its end says all that the line of its beginning says.
        places = [n for n, line in enumerate(lines) if file != "faults.jsonl" or b'"end_s"' in line]
        for place in (places[0], places[len(places) // 2], places[-1]):
            (path / file).write_bytes(b"".join(lines[:place] + lines[place + 1 :]))
            verdicts = {check.verdict for check in judge(path, keep=False).checks}
            assert verdicts != {"pass"}, f"{file} without line {place}"
        (path / file).write_bytes(b"".join(lines))


def test_what_was_exercised_is_told_again_from_the_directory_alone(series: Series) -> None:
    [exercised] = series.document["exercised"]
    verified = sum(struck["verified"] for struck in exercised["faults"])
    assert 0 < verified == sum(struck["faults"] for struck in exercised["faults"])
    done = {work["workload"]: work["tasks"] for work in exercised["workloads"]}
    assert min(done[sort] for sort in ("ordinary", "poison", "unhurried", *SHARES)) > 0, done
    assert "not exercised" in squall("check", series.path)
