"""The pages of a series that was run, in a real browser, wide and narrow, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser
from tests.scenarios.browser import BOXES, TEXT_PX_MIN, WORDS, chromium, misplaced, opened
from tests.scenarios.series_once import Series
from tests.unit.histories import good_run

from squall.chaos.judge.checks.repeats import repeats
from squall.chaos.plan.varied import HANDLER
from squall.chaos.tell.documents import judge


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_page_is_whole_and_legible(
    browser: Browser, series: Series, tmp_path: Path, width: int, height: int
) -> None:
    tab, wrong = opened(browser, series.seed / "report.html", width, height)
    tab.screenshot(path=tmp_path / f"report-{width}.png", full_page=True)
    assert wrong == []
    assert tab.evaluate("innerWidth") == width
    assert tab.inner_text("h1").split()[-1] == "Passed"
    drawings = (series.seed / "report.html").read_text().count('<svg class="wide"')
    assert drawings >= 4
    assert {word["drawing"] for word in tab.evaluate(WORDS)} == set(range(drawings)), "each drawing once"
    assert misplaced(tab) == []
    tab.context.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_executions_witness_and_doubts_fit_a_wide_and_a_narrow_page(
    browser: Browser, tmp_path: Path, width: int, height: int
) -> None:
    run = good_run()
    run.spec["handler"] = HANDLER
    run.line(9.0, "agent-2", "run", "invoke", task="a-2", attempt=2)
    run.find("final", what="complete")["registers"] = 9
    run.line(5.0, "nemesis", "interfered", "fail", reason="somebody set a toxic " + "a-proxy-of-a-node" * 12)
    judge(run.write(tmp_path / "run"))
    tab, wrong = opened(browser, tmp_path / "run" / "report.html", width, height)
    tab.screenshot(path=tmp_path / f"evidence-{width}.png", full_page=True)
    assert wrong == []
    assert misplaced(tab) == []
    titles = tab.locator("h2").all_inner_texts()
    assert {"Executions", "Doubts"} <= set(titles)
    cells = tab.evaluate(BOXES, ".doubts td, .group dd, .group dt")
    assert any("9 registers were read back" in cell["words"] for cell in cells)
    assert [cell["words"] for cell in cells if not 0 <= cell["left"] <= cell["right"] <= width] == []
    assert [cell["words"] for cell in cells if cell["height"] < TEXT_PX_MIN] == []
    headed = tab.locator(".doubts thead").is_visible()
    assert headed is (width > 560), "a narrow page says it in each row"
    tab.context.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_page_of_a_witnessed_run_shows_what_was_compared(
    browser: Browser, series: Series, width: int, height: int
) -> None:
    tab, wrong = opened(browser, series.path / "varied" / "report.html", width, height)
    assert wrong == []
    assert misplaced(tab) == []
    compared = tab.locator(".group", has_text="registers compared").inner_text()
    assert "differing" in compared
    ran_again = repeats(series.history(series.path / "varied"))
    assert tab.locator(".repeats").is_visible() is bool(ran_again)
    tab.context.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_page_of_a_series_says_what_it_exercised(
    browser: Browser, series: Series, tmp_path: Path, width: int, height: int
) -> None:
    tab, wrong = opened(browser, series.path / "report.html", width, height)
    tab.screenshot(path=tmp_path / f"series-{width}.png", full_page=True)
    assert wrong == []
    assert misplaced(tab) == []
    assert tab.inner_text("h1").split()[-1] == "Passed"
    assert {"Matrix", "Runs", "Exercised", "Not exercised", "Steps"} <= set(
        tab.locator("h2").all_inner_texts()
    )
    assert tab.locator(".exercised tbody tr").count() > 10
    cells = tab.evaluate(BOXES, "h2, .facts dd, main > section > ul > li")
    assert [cell["words"] for cell in cells if not 0 <= cell["left"] <= cell["right"] <= width] == []
    tab.click(".runs a >> nth=0")
    assert tab.locator("h1").is_visible(), "a run's page is where the series' says it is"
    assert Path(unquote(urlsplit(tab.url).path)).parent.parent == series.path
    tab.context.close()
