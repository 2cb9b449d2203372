"""The page of a run: that it says what there is, invents nothing, and lets nothing of a run become markup."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
import typer
from tests.unit.histories import good_run
from typer.testing import CliRunner

from squall.bus.topology.hierarchical import hierarchical
from squall.bus.topology.mesh import mesh
from squall.bus.topology.model import Topology
from squall.bus.topology.star import star
from squall.chaos.cli.report import report
from squall.chaos.evidence.facts import Asked, Injected, NodeStart, Register
from squall.chaos.evidence.model import History, Submission, Venue
from squall.chaos.judge.run import result
from squall.chaos.plan.varied import HANDLER
from squall.chaos.tell import documents
from squall.chaos.tell.documents import history_of, judge
from squall.chaos.tell.page.circle import circle, is_circle
from squall.chaos.tell.page.html import PageContent, render
from squall.chaos.tell.page.lanes import LANES_MAX, lanes, shown, strikes, window
from squall.chaos.tell.page.topology import boxes_of, edges_of, layers, topology
from squall.chaos.tell.page.wheel import is_wheel, middle, wheel
from squall.services.cli.table import figures as shown_figures
from squall.services.patterns import PATTERNS
from squall.services.run.result import Check
from squall.services.run.summary import in_words
from squall.services.words import own

T = 1_700_000_000.0

HOSTILE = "<script>alert(1)</script>\"'&\x00\ud800"

VOID = {"meta"}


class Page(HTMLParser):
    """A page taken apart.

    Attributes:
        open: Tags that are still open; what is wrong with their order is in ``wrong``.
        attributes: Of all elements, name and value.
        text: All text outside the style sheet, element after element.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and data.strip():
            self.text.append(data.strip())

    def after(self, word: str) -> str:
        """The text that follows another."""
        return self.text[self.text.index(word) + 1]


def page_of(history: History, topology: Topology | None = None) -> tuple[bytes, Page]:
    told = PageContent(history=history, result=result(history, "a-run"), topology=topology, path="runs/a-run")
    content = render(told)
    return content, Page(content)


def synthetic(tasks: int) -> History:
    """A run of a minute in which all tasks were filled."""
    names = [f"a-{n}" for n in range(tasks)]
    step_s = 60.0 / tasks
    return History(
        asked=Asked(pattern="hierarchical", seed=7, tasks=tasks),
        nodes=(NodeStart(node="broker", role="broker", incarnation=1, started_s=T - 1),),
        faults=tuple(
            Injected(kind="pause", target="leader", node="broker", start_s=T + n, end_s=T + n + 0.5)
            for n in range(0, 60, 2)
        ),
        lines=tasks,
        submissions={name: Submission(name, T + n * step_s, "accepted") for n, name in enumerate(names)},
        registers=tuple(
            Register(task=name, key="a", job="momentum", status="ok", stored_s=T, effects=(f"{name}.0",))
            for name in names
        ),
        first_s=T,
        last_s=T + 61,
        read_back_s=T + 61,
        venue=Venue(
            fills={
                f"{name}.0": (T + n * step_s + 0.001 * (1 + n * 7919 % 997),) for n, name in enumerate(names)
            },
            received=tasks,
            invalid=0,
            conflicting=(),
        ),
    )


def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(report)
    return app


@pytest.fixture
def good(tmp_path: Path) -> History:
    return history_of(good_run().write(tmp_path / "run"))


def test_every_tag_closes_and_nothing_outside_is_referred_to(good: History) -> None:
    content, page = page_of(good, topology=hierarchical("squall", agents=2))
    assert (page.wrong, page.open) == ([], [])
    assert not re.findall(rb"https?://", content)
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert not {"src", "href", "style"} & {name for name, _ in page.attributes}
    assert b"url(" not in content
    assert b"@import" not in content


def test_ids_are_unique(good: History) -> None:
    _, page = page_of(good, topology=hierarchical("squall", agents=2))
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_the_verdict_comes_first_and_each_check_has_its_row(good: History) -> None:
    _, page = page_of(good)
    assert page.text[1:3] == ["✓", "Passed"]
    for check in result(good, "a-run").checks:
        row = page.text.index(check.id)
        assert page.text[row + 1] == check.name
        assert page.text[row + 5] == check.detail


def test_each_drawing_is_an_image_with_words(good: History) -> None:
    content, page = page_of(good, topology=hierarchical("squall", agents=2))
    assert page.tags["svg"] == 12, "faults, latency, throughput, tasks, nodes and topology, wide and narrow"
    roots = re.findall(rb"<svg ([^>]*)><title>[^<]", content)
    assert len(roots) == 12
    assert all(b'role="img"' in root and b'aria-label="' in root for root in roots)


def test_what_a_run_holds_never_becomes_markup(tmp_path: Path) -> None:
    hostile = HOSTILE.replace("\ud800", "")  # half a surrogate pair cannot be in a file
    run = good_run()
    run.spec |= {"pattern": hostile}
    run.faults[0] |= {"kind": hostile, "target": hostile, "node": hostile, "point": hostile}
    run.start(-1.0, hostile)
    run.find("note").update(limits=[hostile], environment={"platform": hostile})
    run.find("lead", term=10)["node"] = hostile
    history = history_of(run.write(tmp_path / "run"))
    check = Check(id=HOSTILE, name=HOSTILE, verdict="fail", detail=f"lost: {HOSTILE}")
    judged = msgspec.structs.replace(result(history, HOSTILE), checks=(check,))
    content = render(PageContent(history=history, result=judged, path=f"runs/{HOSTILE}", scheduled=True))
    page = Page(content)
    assert (page.wrong, page.open) == ([], [])
    assert page.tags["script"] == 0
    assert b"\x00" not in content
    harmless = HOSTILE.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert sum(harmless in text for text in page.text) >= 4
    assert sum("<script>" in text for text in page.text) >= 12


def test_a_lost_effect_fails_in_words_and_not_in_colour_alone(tmp_path: Path) -> None:
    run = good_run()
    run.fills.pop()
    _, page = page_of(history_of(run.write(tmp_path / "run")))
    assert "Failed" in page.text
    assert page.after("lost") == "1"
    assert page.text[page.text.index("lost") + 2] == "wrong: not zero"
    assert any(text.startswith("1 order of ") and "H1 no-loss" in text for text in page.text)


def test_absent_figures_are_dashes_and_never_zero() -> None:
    _, page = page_of(History())
    for name in (
        "offered", "accepted", "effects", "tasks per second", "lost", "duplicated", "conflicting",
        "dead letters", "availability", "p50", "p95", "p99", "max", "take-over", "fail-over", "drain",
        "seed", "date",
    ):  # fmt: skip
        assert page.after(name) == "—", name


def test_who_leads_is_said_with_the_term_and_one_median_is_no_range(good: History) -> None:
    content, _ = page_of(good)
    assert b"coordinator-2 leads (term 10) from " in content
    assert b"began at" not in content
    one = replace(good, submissions={"a-1": good.submissions["a-1"]}, registers=good.registers[:1])
    assert b"the median is 1,000.0 ms, the largest" in page_of(one)[0]
    assert re.search(rb"the median is between [\d,.]+ and [\d,.]+ ms", page_of(synthetic(2000))[0])


def test_a_fail_over_that_was_not_timed_beside_a_take_over_says_why(tmp_path: Path) -> None:
    run = good_run()
    times = {"start_s": T + 3.3, "end_s": T + 3.4}
    run.faults.append({**run.faults[0], "node": "broker", "target": "broker", **times})
    judged = judge(run.write(tmp_path / "run"))
    assert (judged.recovery_s.detect, judged.recovery_s.failover) == (1.25, None)
    told = (tmp_path / "run" / "report.html").read_text()
    assert "not timed: nothing was stored after it, or another fault struck meanwhile" in told
    assert dict(shown_figures(judged)[1])["fail-over"].plain == "not timed"


def test_an_empty_directory_of_a_run_is_unknown_and_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text("")
    judge(tmp_path)
    page = Page((tmp_path / "report.html").read_bytes())
    assert (page.wrong, page.open) == ([], [])
    assert page.text[1:3] == ["?", "Unknown"]
    assert page.tags["svg"] > 0, "its empty spec is one of defaults, and has their topology"


def test_the_words_at_its_top_are_those_of_the_terminal(tmp_path: Path) -> None:
    run = good_run()
    run.fills = [fill for fill in run.fills if fill[0] != "a-2.0"]
    for number, written in enumerate((good_run(), run)):
        history = history_of(written.write(tmp_path / f"{number}"))
        _, page = page_of(history)
        assert page.text[3] == in_words(result(history, "a-run"))


def test_a_figure_is_explained_on_hover_as_the_command_explains_it(good: History) -> None:
    content, _ = page_of(good)
    known = [word for word in own() if word.term in ("lost", "fail-over", "verdict", "availability")]
    assert len(known) == 4
    for word in known:
        tag = "th" if word.term == "verdict" else "dt"
        assert f'<{tag} title="{escape(word.text)}">{word.term}</{tag}>' in content.decode()


def test_without_a_check_nothing_is_said_to_have_passed() -> None:
    unchecked = msgspec.structs.replace(result(History(), "a-run"), checks=())
    page = Page(render(PageContent(history=History(), result=unchecked, path="runs/a-run")))
    assert page.text[1:3] == ["?", "Unknown"]
    assert page.text[3].endswith("No check was made.")


def test_what_the_broker_says_of_slowness_is_at_its_top_where_no_fault_explains_it(tmp_path: Path) -> None:
    run = good_run()
    for at_s, took_s, what, said in (
        (10.0, 2.5, "slow-call", f"Internal subscription took too long {HOSTILE[:-1]}"),
        (12.0, None, "slow-consumer", f"agent-1: Slow Consumer {HOSTILE[:-1]}"),
        (13.0, 0.2, "slow-call", "too short to matter"),
        (4.0, None, "slow-consumer", "while the leader is paused"),
    ):
        row = run.line(at_s, "squall", "broker", "ok", what=what, took_s=took_s, said=said)
        row["at_s"] = T + at_s
    content, page = page_of(history_of(run.write(tmp_path / "run")))
    place = page.text.index("What the broker's own log says")
    assert place < page.text.index("Promises")
    told = page.text[place + 1 : page.text.index("pattern")]
    assert [each.partition(HOSTILE[:8])[0] for each in told] == [
        "At 7.4 s busy for 2.5 s: Internal subscription took too long ",
        "At 11.9 s a client did not read what it had for it: agent-1: Slow Consumer ",
    ]
    assert b"<script>" not in content
    _, quiet = page_of(history_of(good_run().write(tmp_path / "quiet")))
    assert "What the broker's own log says" not in quiet.text


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda path: path.unlink(), "history.jsonl is missing."),
        (
            lambda path: path.write_bytes(b"\x00\xff{" * 9),
            "This run did not come to its end, or its",
        ),
        (lambda path: path.write_bytes(b"\x00<b>\n" * 9), "history.jsonl line 1 is malformed"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-9]),
            "or its record did not: it ends in half a line.",
        ),
        (
            lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[3:])),
            "missing from the history",
        ),
    ],
)
def test_a_history_that_is_not_whole_is_told_at_its_top_and_by_the_command(
    break_it: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    run = good_run().write(tmp_path / "run")
    break_it(run / "history.jsonl")
    ran = CliRunner().invoke(command(), [str(run)])
    assert (ran.exit_code, ran.stdout) == (0, f"{run / 'report.html'}\n")
    assert ran.stderr.startswith(f"squall: {run}: ")
    assert ran.stderr.count("\n") == 1
    page = Page((run / "report.html").read_bytes())
    told = page.text[page.text.index("Read this first") : page.text.index("Promises")]
    assert any(says in text for text in told), told
    assert page.text[2] != "Passed"


def test_a_page_of_100_000_tasks_stays_small() -> None:
    content, page = page_of(synthetic(100_000), topology=hierarchical("squall", agents=200))
    assert len(content) < 500_000
    assert (page.wrong, page.open) == ([], [])


def test_a_defect_in_the_page_does_not_cost_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> bytes:
        raise RuntimeError("no page")

    monkeypatch.setattr(documents, "page", broken)
    good_run().write(tmp_path / "run")
    assert judge(tmp_path / "run").accepted == 6
    assert (tmp_path / "run" / "result.json").exists()
    assert not (tmp_path / "run" / "report.html").exists()
    assert "no page" in caplog.text


def test_a_reign_ends_where_the_next_begins_and_a_life_where_it_was_killed() -> None:
    told = History(
        nodes=(
            NodeStart(node="agent-1", role="agent", incarnation=1, started_s=T - 2),
            NodeStart(node="agent-1", role="agent", incarnation=2, started_s=T + 5),
        ),
        faults=(
            Injected(
                kind="crash", target="any-agent", node="agent-1", start_s=T + 4, end_s=T + 4, healed_s=T + 5
            ),
        ),
        submissions={"a": Submission("a", T, "accepted")},
        last_s=T + 10,
    )
    seen = window(told)
    (lane,) = lanes(told, seen, strikes(told, seen))
    assert [(life.start_s, life.end_s) for life in lane.lives] == [(-2.0, 4.0), (5.0, 10.0)]


def test_a_fault_on_several_nodes_has_one_number() -> None:
    told = History(
        faults=(
            Injected(kind="flap", target="all-agents", node="agent-1", start_s=T, end_s=T + 1),
            Injected(kind="flap", target="all-agents", node="agent-2", start_s=T, end_s=T + 1),
            Injected(kind="pause", target="leader", node="coordinator-1", start_s=T + 2),
        ),
        first_s=T,
        last_s=T + 9,
    )
    first, second = strikes(told, window(told))
    assert (first.number, first.nodes) == (1, ("agent-1", "agent-2"))
    assert (second.number, second.end_s) == (2, 9.0), "one that lasts is drawn to the end"


def test_of_too_many_nodes_those_with_events_are_drawn() -> None:
    told = History(
        nodes=tuple(
            NodeStart(node=f"agent-{n}", role="agent", incarnation=1, started_s=T)
            for n in range(LANES_MAX + 9)
        ),
        faults=(Injected(kind="pause", target="any-agent", node="agent-3", start_s=T + 1, end_s=T + 2),),
        first_s=T,
        last_s=T + 9,
    )
    seen = window(told)
    assert [lane.node for lane in shown(lanes(told, seen, strikes(told, seen)))] == ["agent-3"]


def test_the_command_writes_the_page_and_names_it(tmp_path: Path) -> None:
    run = good_run().write(tmp_path / "run")
    told = CliRunner().invoke(command(), [str(run)])
    assert (told.exit_code, told.stdout) == (0, f"{run}/report.html\n")
    assert (run / "report.html").read_bytes().startswith(b"<!doctype html>")
    assert CliRunner().invoke(command(), [str(run), "--out", str(tmp_path / "b.html")]).exit_code == 0
    assert (tmp_path / "b.html").read_bytes() == (run / "report.html").read_bytes()


def test_the_command_says_in_one_sentence_what_is_no_run(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "none", "is no directory"), (tmp_path, "holds no run")):
        told = CliRunner().invoke(command(), [str(path)])
        assert told.exit_code == 2
        assert says in told.stderr
        assert "name the directory of a run" in told.stderr
        assert told.stderr.count("\n") == 1


def test_the_command_says_where_it_cannot_write(tmp_path: Path) -> None:
    run = good_run().write(tmp_path / "run")
    told = CliRunner().invoke(command(), [str(run), "--out", str(tmp_path / "none" / "b.html")])
    assert told.exit_code != 0
    assert "cannot be written" in told.stderr
    assert told.stderr.count("\n") == 1


def test_layers_follow_the_work_and_answers_go_back() -> None:
    graph = hierarchical("squall", agents=3)
    boxes, edges = boxes_of(graph), edges_of(graph)
    found = layers([box.name for box in boxes], edges)
    way = ["producer", "IN", "coordinator", "JOB", "WK", "agent", "RES", "gateway"]
    assert [found[name] for name in way] == list(range(8))
    assert {edge.source for edge in edges if found[edge.target] < found[edge.source]} == {
        "agent", "JOB", "RES", "gateway",
    }  # fmt: skip


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("width", [400.0, 1080.0])
def test_a_topology_is_not_wider_than_its_page(name: str, width: float) -> None:
    pattern = PATTERNS[name]
    drawn = str(topology(pattern.topology(pattern.spec()), width))
    _, _, wide, _ = drawn.split('viewBox="')[1].split('"')[0].split()
    assert float(wide) <= width


def test_a_star_is_drawn_with_whoever_leads_in_the_middle() -> None:
    graph = star("s", agents=6, hubs=2)
    assert [node.name for node in middle(graph)] == ["hub-1", "hub-2"]
    drawn = str(wheel(graph, 1080.0))
    assert all(f"agent-{n}" in drawn for n in range(1, 7))
    _, page = page_of(synthetic(10), graph)
    assert "hub-1, hub-2 in the middle of agent-1" in " ".join(page.text)
    assert not is_wheel(hierarchical("s", agents=6, coordinators=2))


def test_a_star_of_more_spokes_than_fit_says_so() -> None:
    assert "and 6 more" in str(wheel(star("s", agents=30), 1080.0))


@pytest.mark.parametrize(("neighbours", "linked"), [(0, "10 of 10"), (2, "5 of 10")])
def test_equal_peers_are_drawn_round_their_log(neighbours: int, linked: str) -> None:
    graph = mesh("s", agents=5, neighbours=neighbours)
    drawn = str(circle(graph, 1080.0))
    assert drawn.count("<rect") == 6
    assert drawn.count('class="link direct"') == int(linked.split()[0])
    _, page = page_of(synthetic(10), graph)
    assert f"agent-5 round LOG, which each writes and all hear; {linked} pairs are linked" in " ".join(
        page.text
    )
    assert not is_circle(star("s", agents=5))
    assert not is_wheel(graph)


def test_more_peers_than_fit_are_told_of() -> None:
    assert "and 6 more round LOG" in str(circle(mesh("s", agents=30), 400.0))


def witnessed(tmp_path: Path) -> History:
    """A run whose handlers are witnesses, in which one task was begun again, and one fault was missed."""
    run = good_run()
    run.spec["handler"] = HANDLER
    run.line(1.3, "agent-1", "attempt", "fail", task="a-1", attempt=1, reason="it raised")
    run.line(1.5, "agent-1", "run", "invoke", task="a-1", attempt=2)
    run.line(9.0, "agent-2", "run", "invoke", task="a-2", attempt=2)
    run.faults.append(
        {"id": "2/missed", "kind": "pause", "target": "standby", "start_s": T + 3.0, "end_s": T + 3.0,
         "verified": False, "reason": "its target was not there in time"}
    )  # fmt: skip
    path = run.write(tmp_path / "run")
    (path / "logs").mkdir(exist_ok=True)
    lines = ("a-1 1 given", "a-1 1 returned 1", "a-2 1 given", "a-2 1 returned 2", "a-3 1 given")
    (path / "logs" / "agent-1.log").write_text(
        "".join(f"2026-11-26 17:52:00,123 INFO witness {line}\n" for line in lines)
    )
    return history_of(path)


def test_the_executions_and_the_witness_are_those_of_the_checks(tmp_path: Path) -> None:
    history = witnessed(tmp_path)
    _, page = page_of(history)
    assert page.after("started") == "5"
    assert page.after("for tasks") == "3"
    assert page.after("tasks run again") == "2"
    assert page.after("the attempt had failed") == "1"
    assert page.after("not explained") == "1"
    assert page.after("nothing on record") == "1"
    assert page.after("calls") == "3"
    assert page.after("registers compared") == "6"
    assert page.after("differing") == "5"
    found = {check.id: check.detail for check in result(history, "a-run").checks}
    assert "1 register has another number" in found["E2"]
    assert "1 time for no reason on record" in found["U2"]


def test_where_handlers_write_nothing_the_witness_is_a_dash(good: History) -> None:
    _, page = page_of(good)
    assert page.after("calls") == "—"
    assert "registers compared" not in page.text


def test_what_leaves_verdicts_unknown_is_on_the_page(tmp_path: Path) -> None:
    history = witnessed(tmp_path)
    _, page = page_of(history)
    missed = "pause of standby was planned and missed: its target was not there in time"
    assert page.after(missed) == "L1 recovery"
    run = good_run()
    run.find("final", what="complete")["registers"] = 9
    _, page = page_of(history_of(run.write(tmp_path / "doubtful")))
    assert page.after("9 registers were read back and 6 are here") == "every promise"


def test_where_nothing_is_doubtful_the_page_says_so(good: History) -> None:
    _, page = page_of(good)
    assert page.after("What leaves verdicts unknown").startswith("Nothing is")
