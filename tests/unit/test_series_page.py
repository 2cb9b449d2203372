"""The page of a series: its runs, its promises, what it was put to; and nothing of it becomes markup."""

from __future__ import annotations

import io
import re
from pathlib import Path
from urllib.parse import quote

from msgspec.structs import replace
from tests.unit.histories import good_run
from tests.unit.test_exercised import everything, fault, series_of
from tests.unit.test_report_html import HOSTILE, Page, command
from tests.unit.test_series import result, series
from typer.testing import CliRunner

from squall.chaos.evidence.facts import Asked
from squall.chaos.evidence.model import History
from squall.chaos.evidence.series import Planned, begin
from squall.chaos.judge.series import Bounds, Recovered, SeriesResult, judged_of, series_result
from squall.chaos.tell.page.against import timed_in
from squall.chaos.tell.page.grid import worst_first
from squall.chaos.tell.page.series import render_series
from squall.chaos.tell.summary import in_words
from squall.chaos.tell.table import print_series
from squall.services.cli.terminal import Terminal
from squall.services.run.result import Recovery


def page_of(series: SeriesResult) -> tuple[bytes, Page]:
    links = {run.run: f"{quote(run.run)}/report.html" for run in series.runs}
    content = render_series(series, path="runs/a-series", links=links)
    return content, Page(content)


def test_the_page_of_a_series_is_whole_and_refers_to_the_pages_of_its_runs_alone() -> None:
    content, page = page_of(series_of(everything("hierarchical"), all_faults=True))
    assert (page.wrong, page.open) == ([], [])
    ids = {value for name, value in page.attributes if name == "id"}
    links = [value or "" for name, value in page.attributes if name == "href"]
    assert {link.partition("#")[0] for link in links} == {"", "seed-1/report.html"}
    assert all(link[1:] in ids for link in links if link.startswith("#"))
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
    whole = series_of(one, all_faults=True)
    named = replace(whole.runs[0], run=hostile)
    content, page = page_of(replace(whole, runs=(named,)))
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


def runs_of_three() -> SeriesResult:
    """A run that passed, one that failed two checks, one that failed one; a fourth is not here."""
    return series(
        result("seed-1", H1="pass", H2="pass", H4="unknown"),
        result("seed-2", H1="fail", H2="fail", H4="pass"),
        result("seed-3", H1="pass", H2="fail", H4="pass"),
        planned=("seed-1", "seed-2", "seed-3", "seed-4"),
    )


def test_a_matrix_has_the_worst_run_first_and_leads_to_runs_and_sentences() -> None:
    content, page = page_of(runs_of_three())
    rows = re.findall(r"<tr>(.*?)</tr>", content.decode().split('class="grid"')[1].split("</table>")[0])
    assert re.findall(r'href="#(check-[^"]+)"', rows[0]) == [
        f"check-hierarchical-{check}" for check in ("H1", "H2", "H4")
    ]
    assert [re.search(r">(seed-\d)<", row)[1] for row in rows[1:]] == ["seed-2", "seed-3", "seed-1"]  # type: ignore[index]
    assert re.findall(r'href="([^"]+)"', rows[1]) == [
        "seed-2/report.html",
        *(f"seed-2/report.html#check-{check}" for check in ("H1", "H2", "H4")),
    ]
    signs = [re.findall(r'class="cell [a-z]+"[^>]*>(.)<', row) for row in rows[1:]]
    assert signs == [["✕", "✕", "✓"], ["✓", "✕", "✓"], ["✓", "✓", "–"]]
    assert "seed-2, H1 h1: failed. H1 fail" in content.decode()
    worst = page.text.index("Worst run:")
    assert page.text[worst + 1 : worst + 3] == ["seed-2", ". H1 h1: H1 fail"]
    assert worst < page.text.index("Matrix")


def recovered(took_s: dict[str, float], bound_s: float | None) -> SeriesResult:
    """Runs that passed, each with the time that it took to drain, and the same bound."""
    runs = [
        replace(result(name, H1="pass"), recovery_s=Recovery(drain=seconds))
        for name, seconds in took_s.items()
    ]
    bounds = tuple(Bounds(run=name, take_over_s=None, drain_s=bound_s) for name in took_s)
    return replace(series(*runs), bounds=bounds)


def test_of_runs_that_all_passed_the_worst_came_nearest_to_its_own_bound() -> None:
    whole = recovered({"seed-1": 0.4, "seed-2": 2.5, "seed-3": 4.0}, 3.0)
    wider = replace(whole.bounds[2], drain_s=40.0)
    whole = replace(whole, bounds=(*whole.bounds[:2], wider))
    assert [run.run for run in worst_first(whole.runs, timed_in(whole))] == ["seed-2", "seed-1", "seed-3"]
    content, page = page_of(whole)
    assert page.after("Of all runs nearest to a bound:") == "seed-2"
    assert page.after("seed-2") == ", whose drain took 2.50 s of 3.00 s."
    assert content.count(b"<circle") == 2 * 3, "a dot a run, wide and narrow"
    assert b'class="dot past"' not in content


def test_of_one_run_nothing_is_said_to_be_the_worst() -> None:
    _, page = page_of(recovered({"seed-1": 2.5}, 3.0))
    assert page.after("Nearest to a bound:") == "seed-1"
    _, page = page_of(recovered({"seed-1": 2.5}, None))
    assert not any("run:" in text or "bound:" in text for text in page.text)
    failed = series(result("seed-1", H1="fail"))
    assert page_of(failed)[1].after("The run:") == "seed-1"


def test_a_figure_has_one_name_on_every_screen_and_page() -> None:
    whole = replace(
        recovered({"seed-1": 2.5}, 3.0),
        recovery=(
            Recovered(
                pattern="hierarchical", what="detect", runs=1, median_s=1.0, slowest_s=1.0, bound_s=3.0
            ),
        ),
    )
    file = io.StringIO()
    print_series(whole, Terminal(file=file, width=100))
    for shown in (file.getvalue(), page_of(whole)[0].decode()):
        assert re.search(r"\bdetect\b", shown.split("<h2>Words")[0]) is None
        assert "take-over" in shown


def test_a_recovery_past_its_bound_is_drawn_past_it() -> None:
    content, _ = page_of(recovered({"seed-1": 30.0, "seed-2": 5.0}, 10.0))
    drawn = content.decode().split('<svg class="wide"')[1].split("</svg>")[0]
    (dot,) = re.findall(r'class="dot past" cx="([0-9.]+)"', drawn)
    (bound,) = re.findall(r'class="bound" d="M([0-9.]+)', drawn)
    assert float(dot) > float(bound)


def test_without_a_bound_nothing_is_drawn_as_past_one() -> None:
    content, _ = page_of(recovered({"seed-1": 30.0}, None))
    assert b'class="bound"' not in content
    assert b'class="dot past"' not in content


def test_what_a_narrowed_series_did_not_exercise_is_said_and_is_no_matter() -> None:
    run = result("seed-1", H1="pass", H4="unknown")
    run = replace(run, checks=(run.checks[0], replace(run.checks[1], exercised=False)))
    whole = series(run)
    assert whole.verdict == "pass"
    content, page = page_of(whole)
    assert page.text[1:4] == ["✓", "Passed", in_words(whole)]
    assert page.text[3].endswith("Not exercised: H4 h4.")
    assert re.search(r'class="cell none"[^>]*href="seed-1/report.html#check-H4"[^>]*>–<', content.decode())
    assert b'class="badge quiet"' in content


def test_runs_that_are_missing_are_named_before_anything_else() -> None:
    _, page = page_of(runs_of_three())
    said = page.after("Read this first")
    assert said == (
        "1 of 4 planned runs are not here, so the series was interrupted, or is not over: seed-4."
    )
    _, page = page_of(series(result("seed-1", H1="pass")))
    assert "Read this first" not in page.text
    cut = series_result(
        Planned(runs=("seed-1",), all_faults=False), [judged_of(result("seed-1", H1="pass"), History())]
    )
    _, page = page_of(cut)
    assert page.after("Read this first").endswith("did not come to where all was healed: seed-1.")


def test_how_much_a_series_did_not_accept_is_said() -> None:
    run = replace(result("seed-1", H1="pass"), offered=300, accepted=200, refused=100)
    _, page = page_of(series(run))
    assert "A third of what was offered was refused: 100 of 300." in page.text[3]
    assert page.text[4].startswith("Refused: the swarm was full")


def test_the_page_of_a_series_goes_where_it_is_told_and_leads_back(tmp_path: Path) -> None:
    folder = tmp_path / "a series"
    begin(folder, Planned(runs=("seed-1", "seed-2"), all_faults=False))
    for name in ("seed-1", "seed-2"):
        good_run().write(folder / name)
    (folder / "seed-1" / "report.html").write_text("<p>a page</p>")
    out = tmp_path / "pages" / "all.html"
    out.parent.mkdir()
    told = CliRunner().invoke(command(), [str(folder), "--out", str(out)])
    assert (told.exit_code, told.stdout) == (0, f"{out}\n")
    assert (folder / "seed-1" / "report.html").read_text() == "<p>a page</p>", "no other page is written"
    assert not (folder / "report.html").exists()
    links = {value or "" for name, value in Page(out.read_bytes()).attributes if name == "href"}
    pages = {link.partition("#")[0] for link in links} - {""}
    assert pages == {"../a%20series/seed-1/report.html"}, "the other run has no page to lead to"
    assert (out.parent / "../a series/seed-1/report.html").exists()
