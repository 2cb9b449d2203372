"""The page of a series' run in a real browser, wide and narrow, without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.scenarios.series_once import Series
from tests.unit.histories import good_run

from squall.chaos.plan.varied import HANDLER
from squall.chaos.tell.documents import judge

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

TEXT_PX_MIN = 10

WORDS = """() => [...document.querySelectorAll("svg")].filter(svg => svg.clientWidth > 0).flatMap(
  (svg, drawing) => [...svg.querySelectorAll("text")].map(text => {
    const place = text.getBoundingClientRect(), frame = svg.getBoundingClientRect();
    const scale = frame.width / svg.viewBox.baseVal.width;
    return {
      drawing, words: text.textContent, size: parseFloat(getComputedStyle(text).fontSize) * scale,
      left: place.left, right: place.right, top: place.top, bottom: place.bottom,
      inside: place.left >= frame.left - 1 && place.right <= frame.right + 1
        && place.top >= frame.top - 1 && place.bottom <= frame.bottom + 1,
    };
  }))"""
"""Every word in the drawings that are shown: its effective size in CSS pixels and its box."""


@pytest.fixture
def browser() -> Iterator[Browser]:
    """For one test only: while it is there, its thread has an event loop that runs, and can run no other."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        reason = f"no Chromium: none of {', '.join(CHROMIUM)} is in PATH"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


def opened(browser: Browser, page: Path, width: int, height: int) -> tuple[Page, list[str]]:
    """The page at a width, and what went wrong on the way, or was asked of any other place."""
    context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("console", lambda message: wrong.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    tab.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    tab.on(
        "request", lambda request: wrong.extend([f"asked: {request.url}"] * (request.url != page.as_uri()))
    )
    tab.goto(page.as_uri())
    return tab, wrong


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_page_is_whole_and_legible(
    browser: Browser, series: Series, tmp_path: Path, width: int, height: int
) -> None:
    tab, wrong = opened(browser, series.seed / "report.html", width, height)
    tab.screenshot(path=tmp_path / f"report-{width}.png", full_page=True)
    assert wrong == []
    assert tab.evaluate("innerWidth") == width
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    assert tab.inner_text("h1").split()[-1] == "Passed"
    words = tab.evaluate(WORDS)
    drawings = (series.seed / "report.html").read_text().count('<svg class="wide"')
    assert drawings >= 4
    assert {word["drawing"] for word in words} == set(range(drawings)), "each drawing once"
    assert [word["words"] for word in words if word["size"] < TEXT_PX_MIN] == []
    assert [word["words"] for word in words if not word["inside"]] == []
    assert overlapping(words) == []
    tab.context.close()


def overlapping(words: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Words of one drawing that stand on each other, by more than the empty border of a letter."""
    return [
        (one["words"], other["words"])
        for index, one in enumerate(words)
        for other in words[:index]
        if one["drawing"] == other["drawing"]
        and min(one["right"], other["right"]) - max(one["left"], other["left"]) > 1
        and min(one["bottom"], other["bottom"]) - max(one["top"], other["top"]) > 3
    ]


BOXES = """(selector) => [...document.querySelectorAll(selector)].map(cell => {
    const box = cell.getBoundingClientRect();
    return {words: cell.textContent, left: box.left, right: box.right, height: box.height};
  })"""
"""Every element that a selector finds: its words and its box."""


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
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
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
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    compared = tab.locator(".group", has_text="registers compared").inner_text()
    assert "differing" in compared
    assert tab.locator(".repeats").is_visible()
    tab.context.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_page_of_a_series_says_what_it_exercised(
    browser: Browser, series: Series, tmp_path: Path, width: int, height: int
) -> None:
    tab, wrong = opened(browser, series.path / "report.html", width, height)
    tab.screenshot(path=tmp_path / f"series-{width}.png", full_page=True)
    assert wrong == []
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    assert tab.inner_text("h1").split()[-1] == "Passed"
    assert {"Runs", "Exercised", "Not exercised", "Steps"} <= set(tab.locator("h2").all_inner_texts())
    assert tab.locator(".exercised tbody tr").count() > 10
    cells = tab.evaluate(BOXES, "h2, .facts dd, main > section > ul > li")
    assert [cell["words"] for cell in cells if not 0 <= cell["left"] <= cell["right"] <= width] == []
    tab.click("a >> nth=0")
    assert tab.url == (series.seed / "report.html").as_uri(), "a run's page is where the series' says it is"
    tab.context.close()
