"""Pages in a real browser, at three widths, light and dark: all can be seen and read. Runs made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.scenarios.browser import SCHEMES, SIZES, chromium, misplaced, opened
from tests.unit.eventful import eventful_run
from tests.unit.histories import good_run
from tests.unit.test_checks_ring_breakers import failing_run
from tests.unit.test_checks_ring_lanes import lanes, look

from squall.chaos.evidence.series import Planned, begin
from squall.chaos.judge.series import series_result
from squall.chaos.tell.documents import judge, judge_run, write_series


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def run_page(folder: Path) -> Path:
    """Every outcome, overlapping faults, and a record that stops before its end."""
    run = eventful_run()
    run.drop("final", what="complete")
    run.write(folder / "run")
    judge(folder / "run")
    return folder / "run" / "report.html"


def ring_page(folder: Path) -> Path:
    """Stages, a breaker that opens, lanes that move, and a verdict that this made-up run has not earned."""
    run = failing_run()
    for stage in range(1, 5):
        look(
            run,
            0.0,
            stage,
            **{f"agent_{stage}": lanes(range(60)), f"agent_{stage + 4}": lanes(range(60, 100))},
        )
    look(run, 25.0, 4, agent_4=lanes(range(60)))
    look(run, 25.4, 4, agent_4=lanes(range(100)))
    run.write(folder / "run")
    judge(folder / "run")
    return folder / "run" / "report.html"


def series_page(folder: Path) -> Path:
    """A run that passed, one that failed, one that was cut short, and one that is missing."""
    planned = Planned(runs=("seed-1", "seed-2", "seed-3", "seed-4"), all_faults=True)
    begin(folder / "series", planned)
    cut = good_run()
    cut.drop("final", what="complete")
    judged = []
    for name, run in (("seed-1", good_run()), ("seed-2", eventful_run()), ("seed-3", cut)):
        run.line(5.0, "squall", "phase", "ok", what="healed", faults=0, bound_s=20.0, backlog=0)
        judged.append(judge_run(run.write(folder / "series" / name), keep=True))
    write_series(folder / "series", series_result(planned, judged))
    return folder / "series" / "report.html"


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("page", [run_page, ring_page, series_page], ids=["run", "ring", "series"])
def test_a_page_fits(browser: Browser, tmp_path: Path, page: object, width: int, height: int) -> None:
    assert callable(page)
    path = page(tmp_path)
    for scheme in SCHEMES:
        tab, wrong = opened(browser, path, width, height, scheme)
        tab.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)
        folded = misplaced(tab)
        tab.evaluate("document.querySelectorAll('details').forEach(folded => { folded.open = true; })")
        assert {f"{scheme}, folded": folded, f"{scheme}, folded out": misplaced(tab)} == {
            f"{scheme}, folded": [],
            f"{scheme}, folded out": [],
        }
        assert wrong == []
        paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
        tab.context.close()


def test_what_is_measured_is_noticed(browser: Browser, tmp_path: Path) -> None:
    """The measures themselves, on a copy of a page with one thing wrong."""
    page = run_page(tmp_path)
    whole = page.read_text()
    for wrong, says in (
        (
            '<div style="position:absolute;top:60px;left:20px;z-index:1">stands on the title</div>',
            "on each other",
        ),
        ('<p style="width:2000px">is too wide</p>', "it scrolls sideways"),
        ('<p style="color:#eeeeee">is too faint to read</p>', "too faint"),
        ('<p style="margin-left:-60px">begins outside</p>', "cut off"),
    ):
        copy = tmp_path / "copy.html"
        copy.write_text(whole.replace("</body>", f"{wrong}</body>"))
        tab, _ = opened(browser, copy, 768, 1024)
        assert any(found.startswith(says) for found in misplaced(tab)), says
        tab.context.close()


def test_a_link_to_a_task_folds_its_trace_out(browser: Browser, tmp_path: Path) -> None:
    page = run_page(tmp_path)
    tab, wrong = opened(browser, page, 1280, 900)
    assert not tab.locator("#task-b-dead").is_visible()
    tab.goto(f"{page.as_uri()}#task-b-dead")
    assert tab.locator("#task-b-dead").is_visible()
    assert "attempt 1 failed" in tab.locator("#task-b-dead").inner_text()
    assert [line for line in wrong if not line.startswith("asked")] == []


def test_a_sign_of_the_matrix_leads_to_the_check_on_its_runs_page(browser: Browser, tmp_path: Path) -> None:
    tab, _ = opened(browser, series_page(tmp_path), 1280, 900)
    tab.click(".grid a[href='seed-2/report.html#check-H1']")
    assert tab.inner_text("h1").split()[-1] == "Failed"
    assert tab.locator("#check-H1").inner_text() == "H1"
    assert 0 <= tab.locator("#check-H1").bounding_box()["y"] < 900  # type: ignore[index]
