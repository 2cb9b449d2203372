"""What a series says of a good swarm, and that its directory says the same, and less evidence never more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.scenarios.series_once import SEED, Series, squall

from squall.chaos.judge.checks import promises_of
from squall.chaos.plan.cells import cells
from squall.chaos.tell.documents import judge
from squall.services.patterns import pattern_of


def test_every_promise_is_kept_and_was_put_to_the_test(series: Series) -> None:
    promises = promises_of(series.pattern)
    assert promises is not None
    verdicts = {check["id"]: check["verdict"] for check in series.document["checks"]}
    ids = [promise.id for promise in promises.promises]
    assert verdicts == dict.fromkeys([*ids, "V2"], "pass"), series.document["checks"]
    assert (series.code, series.document["verdict"]) == (0, "pass")


def test_every_fault_struck_and_nothing_was_lost(series: Series) -> None:
    run = series.runs[f"seed-{SEED}"]
    assert run["faults"]
    assert all(fault["verified"] for fault in run["faults"]), run["faults"]
    assert [run[name] for name in ("lost", "duplicated", "conflicting")] == [0, 0, 0]
    assert None not in run["recovery_s"].values()


def test_every_cell_of_the_coverage_table_is_told(series: Series) -> None:
    there = [(cell["point"], cell["strike"]) for cell in series.document["coverage"]]
    assert sorted(there) == sorted(cells(pattern_of(series.pattern).points()))


@pytest.mark.series("hierarchical")
def test_poison_is_dead_lettered_and_the_tail_is_cut(series: Series) -> None:
    assert list(series.runs) == [f"seed-{SEED}", "poison", "tail"]
    assert series.runs["poison"]["dead_letters"] > 0
    assert [fault["kind"] for fault in series.runs["tail"]["faults"]] == ["sever"] * 3


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
