"""The page of a series: its runs, its promises, what it was put to; and nothing of it becomes markup."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec.structs import replace
from tests.unit.histories import good_run
from tests.unit.test_exercised import everything, fault, series_of
from tests.unit.test_report_html import HOSTILE, Page, command
from tests.unit.test_series import result
from typer.testing import CliRunner

from squall.chaos.evidence.facts import Asked
from squall.chaos.evidence.model import History
from squall.chaos.evidence.series import Planned, begin
from squall.chaos.judge.series import SeriesResult, judged_of, series_result
from squall.chaos.tell.page.series import render_series


def page_of(series: SeriesResult) -> tuple[bytes, Page]:
    content = render_series(series, path="runs/a-series", page="report.html")
    return content, Page(content)


def test_the_page_of_a_series_is_whole_and_refers_to_the_pages_of_its_runs_alone() -> None:
    content, page = page_of(series_of(everything("hierarchical"), all_faults=True))
    assert (page.wrong, page.open) == ([], [])
    assert [value for name, value in page.attributes if name == "href"] == ["seed-1/report.html"]
    assert not re.findall(rb"https?://|url\(|@import", content)
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)


def test_what_was_exercised_and_what_was_not_is_on_it() -> None:
    struck = fault("latency", "gateway", id="1/gateway"), fault("pause", "leader", id="2/coordinator-1")
    one = History(asked=Asked(pattern="hierarchical"), spec={"pattern": "hierarchical"}, faults=struck)
    _, page = page_of(series_of(one, all_faults=True))
    assert {"Exercised", "Not exercised", "Recovery"} <= set(page.text)
    assert any(text.startswith("targets: standby") for text in page.text)
    assert page.after("latency and pause") == "different nodes"
    narrowed = page_of(series_of(one, all_faults=False))[1]
    assert "Not exercised" not in narrowed.text


def test_several_patterns_are_told_apart_on_it() -> None:
    ended = History()
    runs = [result(f"{name}-seed-1", H1="pass") for name in ("hierarchical", "star")]
    judged = [judged_of(replace(run, pattern=run.run.partition("-")[0]), ended) for run in runs]
    planned = Planned(runs=("hierarchical-seed-1", "star-seed-1"), all_faults=True)
    _, page = page_of(series_result(planned, judged))
    assert {"hierarchical: promises", "star: promises", "star: not exercised"} <= set(page.text)
    assert page.text[1:3] == ["?", "Unknown"], "neither run came to where all was healed"


def test_nothing_that_a_series_holds_becomes_markup() -> None:
    hostile = HOSTILE.replace("\ud800", "")
    struck = fault(hostile, hostile, id="1/x"), fault("latency", hostile, id="2/y")
    one = History(asked=Asked(pattern="hierarchical"), faults=struck)
    series = series_of(one, all_faults=True)
    named = replace(series.runs[0], run=hostile)
    content, page = page_of(replace(series, runs=(named,)))
    assert (page.wrong, page.open) == ([], [])
    assert page.tags["script"] == 0
    assert b"\x00" not in content


def test_the_report_of_a_series_is_one_page_and_one_for_each_run(tmp_path: Path) -> None:
    begin(tmp_path, Planned(runs=("seed-1", "seed-2"), all_faults=False))
    good_run().write(tmp_path / "seed-1")
    told = CliRunner().invoke(command(), [str(tmp_path)])
    assert (told.exit_code, told.stdout) == (
        0,
        f"{tmp_path}/seed-1/report.html\n{tmp_path}/report.html\n",
    ), "the second run is not there"
    page = Page((tmp_path / "report.html").read_bytes())
    assert any(text.endswith("not seed-1 and 1 more.") for text in page.text)
