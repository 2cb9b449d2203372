"""The page of a run tells of tasks that did not end well, of the slowest, and first of what is missing."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from tests.unit.eventful import OVERLAPPING, eventful_run
from tests.unit.histories import T, good_run
from tests.unit.test_report_html import Page, page_of, synthetic

from squall.bus.topology.hierarchical import hierarchical
from squall.chaos.evidence.facts import Injected
from squall.chaos.evidence.model import History
from squall.chaos.evidence.task import gather, gather_many
from squall.chaos.judge.run import result
from squall.chaos.judge.tally import tally
from squall.chaos.plan.kinds import DOES, KINDS
from squall.chaos.tell.documents import history_of, judge
from squall.chaos.tell.page.frame import GLYPH, NARROW, WIDE, Frame
from squall.chaos.tell.page.html import PageContent, render
from squall.chaos.tell.page.kinds import SORTS, sort_of
from squall.chaos.tell.page.lanes import strikes, window
from squall.chaos.tell.page.outcomes import LISTED_MAX, REFUSED_LISTED_MAX, chosen, outcomes
from squall.chaos.tell.page.rail import bars
from squall.chaos.tell.page.strips import strips
from squall.chaos.tell.page.topology import edges_of, topology, with_venue
from squall.chaos.tell.page.traced import anchors_of
from squall.chaos.tell.trace import timeline


@pytest.fixture
def eventful(tmp_path: Path) -> Path:
    return eventful_run().write(tmp_path / "run")


def page_in(run: Path) -> tuple[str, Page]:
    judge(run)
    content = (run / "report.html").read_bytes()
    return content.decode(), Page(content)


def test_each_task_is_counted_once_as_what_became_of_it(eventful: Path) -> None:
    history = history_of(eventful)
    found = outcomes(history, tally(history))
    assert [one.task for one in found] == list(history.submissions)
    kinds = {one.task: one.kind for one in found}
    assert {
        "b-dead": "dead", "b-lost": "lost", "b-twice": "doubled", "b-rejected": "rejected", "b-gone": "lost",
        "a-1": "filled", "a-4": "late", "a-7": "refused", "a-8": "unknown", "a-20": "refused",
    }.items() <= kinds.items()  # fmt: skip
    counted = result(history, "a-run")
    assert list(kinds.values()).count("lost") == counted.lost
    assert list(kinds.values()).count("dead") == counted.dead_letters


def test_a_gap_in_the_latencies_shows_what_was_due_then_and_not_filled(eventful: Path) -> None:
    content, page = page_in(eventful)
    wide = content.split("<h2>Latency over time")[1].split('<svg class="narrow"')[0]
    marks = re.findall(r'<rect class="unfilled".*?<title>[^<]*: ([0-9,]+) not filled<', wide)
    unfilled = len(history_of(eventful).submissions) - 7  # three in time, three late, one twice
    assert sum(map(int, marks)) == unfilled
    assert "due then, and not filled" in page.text


def test_where_a_record_stops_a_task_is_open_and_not_lost(tmp_path: Path) -> None:
    run = eventful_run()
    run.drop("final", what="complete")
    history = history_of(run.write(tmp_path / "run"))
    kinds = {one.task: one.kind for one in outcomes(history, tally(history))}
    assert (kinds["b-lost"], kinds["b-gone"]) == ("open", "open")


def test_every_outcome_that_there_was_is_a_row_over_time(eventful: Path) -> None:
    history = history_of(eventful)
    rows = strips(history, outcomes(history, tally(history)), window(history))
    assert {row.name: len(row.times_s) for row in rows} == {
        "lost": 2, "filled twice": 1, "dead letter": 1, "failed attempts": 1, "order refused": 1, "late": 3,
        "outcome unknown": 1, "refused": 13, "filled": 3,
    }  # fmt: skip


def test_who_ended_badly_is_listed_with_its_trace_and_can_be_linked_to(eventful: Path) -> None:
    content, page = page_in(eventful)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {"task-b-dead", "task-b-lost", "task-b-twice", "task-b-rejected", "task-a-4", "task-a-7"} <= set(
        ids
    )
    assert "Dead after 1 attempt: ValueError: no <price>; there is NO dead letter of it." in page.text
    assert "DOUBLED: 2 fills of order b-twice.0." in page.text
    assert "attempt 1 failed" in page.text
    assert "and 10 more" in page.text, "of 13 refused, three are listed"
    links = [value for name, value in page.attributes if name == "href"]
    assert links, "who is slow and ended badly leads to where it is listed first"
    assert all(link is not None and link.startswith("#") and link[1:] in ids for link in links)
    assert "no <price>" not in content


def test_listings_are_bounded_whatever_a_run_holds() -> None:
    history = synthetic(5_000)
    refused = {
        name: type(task)(task.task, task.intended_s, "refused") for name, task in history.submissions.items()
    }
    found = outcomes(History(submissions=refused), tally(History(submissions=refused)))
    picked = chosen(found)
    assert {kind: (total, len(some)) for kind, (total, some) in picked.unwell.items()} == {
        "refused": (5_000, REFUSED_LISTED_MAX)
    }
    slowest = chosen(outcomes(history, tally(history))).slowest
    assert len(slowest) == LISTED_MAX
    took = [one.took_s or 0.0 for one in slowest]
    assert took == sorted(took, reverse=True)


def test_traces_of_several_tasks_are_those_of_each(eventful: Path) -> None:
    names = ["a-1", "a-7", "b-dead", "b-twice", "b-rejected", "nobody"]
    together = gather_many(eventful, names)
    for name in names[:-1]:
        alone = gather(eventful, name)
        assert alone is not None
        assert timeline(together[name]) == timeline(alone), name
    assert together["nobody"].own == []


def test_an_anchor_is_plain_and_its_own() -> None:
    found = anchors_of(["a b", "a<b", "a-1", "é" * 200])
    assert len(set(found.values())) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_.~-]{1,100}", anchor) for anchor in found.values())


def test_how_much_was_refused_is_said_beside_the_verdict(tmp_path: Path) -> None:
    good = history_of(good_run().write(tmp_path / "good"))
    _, page = page_of(good)
    assert page.text[1:3] == ["✓", "Passed"]
    assert "1 of 8 offered were refused." in page.text[3] or "1 of 8." in page.text[3]
    assert page.text[4].startswith("Refused: the swarm was full")
    many = good_run()
    for n in range(9, 14):
        many.submit(2.8 + n / 100, f"a-{n}", "fail")
    content, page = page_of(history_of(many.write(tmp_path / "many")))
    assert page.text[3].startswith("46 % of what was offered was refused: 6 of 13.")
    assert b'class="refusals many"' in content


def test_nothing_is_said_of_refusals_where_none_was() -> None:
    content, _ = page_of(synthetic(10))
    assert b"was refused" not in content
    assert b"Refused:" not in content


def test_what_was_not_exercised_is_said_beside_what_passed(tmp_path: Path) -> None:
    history = history_of(good_run().write(tmp_path / "run"))
    judged = result(history, "a-run")
    first, *others = judged.checks
    quiet = msgspec.structs.replace(first, verdict="unknown", exercised=False)
    narrowed = msgspec.structs.replace(judged, checks=(quiet, *others))
    page = Page(render(PageContent(history=history, result=narrowed, path="runs/a-run")))
    assert page.text[2] == "Passed"
    assert page.text[3].endswith(f"Not exercised: {first.id} {first.name}.")


def test_what_is_missing_comes_before_the_promises(tmp_path: Path) -> None:
    run = good_run()
    run.drop("final", what="complete")
    _, page = page_in(run.write(tmp_path / "cut-short"))
    first = page.text.index("Read this first")
    assert page.text[first + 1].startswith("This run did not come to its end, or its record did not.")
    assert page.text[first + 2] == "The run was not read back to its end."
    assert first < page.text.index("Promises")
    stopped = good_run()
    stopped.find("final", what="complete")["interrupted"] = True
    stopped.spec["tasks"] = 5_000
    _, page = page_in(stopped.write(tmp_path / "stopped"))
    assert (
        page.after("Read this first")
        == "This run was stopped before all of its tasks were offered: 8 of 5,000."
    )


def test_of_a_whole_run_nothing_has_to_be_read_first(tmp_path: Path) -> None:
    _, page = page_in(good_run().write(tmp_path / "run"))
    assert "Read this first" not in page.text


def test_of_an_experiment_that_its_load_was_cut_short_is_no_interruption(tmp_path: Path) -> None:
    run = good_run()
    run.find("final", what="complete")["interrupted"] = True
    run.line(5.0, "squall", "phase", "ok", what="healed", faults=0, bound_s=20.0, backlog=0)
    _, page = page_in(run.write(tmp_path / "run"))
    assert not any("stopped before" in text for text in page.text)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_faults_that_overlap_are_told_apart(width: float) -> None:
    history = History(
        faults=tuple(
            Injected(kind=kind, target=target, node=node, start_s=T + start, end_s=T + end)
            for kind, target, node, start, end in OVERLAPPING
        ),
        first_s=T,
        last_s=T + 20,
    )
    struck = strikes(history, window(history))
    assert len(struck) == len(OVERLAPPING) - 1, "one is on two nodes"
    placed = bars(Frame(width=width, length_s=20.0, left=68.0), struck)
    assert {bar.strike.number for bar in placed} == {strike.number for strike in struck}
    assert all(bar.text.split()[0] == str(bar.strike.number) for bar in placed)
    spans = [
        (bar.row, min(bar.left, bar.text_x), max(bar.right, bar.text_x + len(bar.text) * GLYPH))
        for bar in placed
    ]
    for place, (row, left, right) in enumerate(spans):
        for other_row, other_left, other_right in spans[place + 1 :]:
            assert row != other_row or right < other_left or other_right < left
        assert 0 <= left < right <= width


def test_each_fault_is_explained_in_words_and_on_hover(eventful: Path) -> None:
    content, page = page_in(eventful)
    assert page.after("one-way-up") == "what the node sends is lost; what it is sent arrives"
    assert "agent-1, agent-2, 2.40–6.90 s" in page.text
    assert "3 errors of venue, 2.30 to 2.50 s: whatever is asked is answered with an error" in content
    hits = re.findall(r'class="hit"[^>]*><title>([^<]*)<', content)
    assert any("under " in hit and "1 pause" in hit and "4 one-way-up" in hit for hit in hits)


def test_every_kind_of_fault_is_explained_and_drawn_as_one_of_a_sort() -> None:
    assert set(DOES) == set(KINDS)
    assert {sort_of(kind) for kind in KINDS} == set(SORTS) - {"other"}
    assert sort_of("no such kind") == "other"


def test_a_moment_is_at_one_place_in_all_drawings(eventful: Path) -> None:
    content, _ = page_in(eventful)
    for kind in ("wide", "narrow"):
        drawings = re.findall(rf'<svg class="{kind}".*?</svg>', content, re.S)
        axes = [re.search(r'class="axis" d="M([0-9.]+) [0-9.]+H([0-9.]+)"', drawn) for drawn in drawings]
        found = {axis.groups() for axis in axes if axis is not None}
        assert len(found) == 1, found
        assert sum(axis is not None for axis in axes) == 5, "faults, latency, throughput, tasks, nodes"


def test_the_venue_and_the_broker_are_in_the_topology() -> None:
    graph = hierarchical("squall", agents=2)
    whole = with_venue(graph)
    assert ("gateway", "venue") in {(edge.source, edge.target) for edge in edges_of(whole)}
    assert with_venue(whole) == whole
    assert not graph.of_role("venue"), "what the broker is told is as it was"
    for width in (WIDE, NARROW):
        drawn = str(topology(graph, width))
        assert ">venue<" in drawn
        assert ">producer<" in drawn
        assert ">broker: " in drawn
