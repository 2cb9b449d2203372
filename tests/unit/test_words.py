"""Every word on the screen is explained once, and what is explained is shown at any width."""

from __future__ import annotations

import importlib.metadata
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from tests.unit.test_summary import result

from squall.chaos.judge.checks import promises_of
from squall.chaos.plan.kinds import DOES, KINDS
from squall.chaos.tell import table as series_table
from squall.chaos.tell.page import markup
from squall.chaos.tell.page.glossary import TOPICS, glossary
from squall.services.cli import explain, plan
from squall.services.cli import table as run_table
from squall.services.cli.progress import rows
from squall.services.cli.terminal import Terminal
from squall.services.patterns import PATTERNS
from squall.services.run.progress import Counted, Known, Leads, Phase, Stage, Struck, Waiting, learned
from squall.services.run.result import NOT_EXERCISED, Verdict
from squall.services.words import GROUP, Word, find, own, streams_of, words

SQUALL = Path(sys.executable).parent / "squall"


def labels() -> Iterator[str]:
    """What stands on the screen as a name of something."""
    for group in run_table.figures(result()):
        yield from (name for name, _ in group)
    headers = (run_table.FAULTS, run_table.CHECKS, run_table.LIMITS)
    in_series = (series_table.COVERAGE, series_table.RECOVERY, series_table.CHECKS, series_table.LEFT_OUT)
    for header in (*headers, *in_series, (series_table.SEEN, "hole", "at once", "steps", "tasks")):
        yield from filter(None, header)
    yield from ("verified", NOT_EXERCISED, "series", "run")
    yield from get_args(Verdict)
    yield from get_args(Stage)
    known = Known(begun_s=0.0)
    told = Struck(key="", kind="", target="", nodes=()), Waiting(what="x"), Leads("x")
    for step in (Phase(stage="load"), *told, Counted(offered=1, accepted=1, ended=1)):
        known = learned(known, step, 0.0)
    yield from (name for name, _ in rows(known, 0.0))
    yield from ("offered", "accepted", "ended")


def planned() -> Iterator[str]:
    """What `squall plan` names, of every pattern."""
    for name, pattern in PATTERNS.items():
        document = plan.document(pattern.spec(pattern=name))
        yield from (process["role"] for process in document["processes"])
        yield from (node["role"] for node in document["nodes"])
        yield from (stream["stream"].rpartition("_")[2] for stream in document["streams"])
    yield from ("stream", "link", "subject", "identity", "account")


def checks() -> Iterator[str]:
    for name in PATTERNS:
        promises = promises_of(name)
        assert promises is not None
        for promise in promises.promises:
            yield from (promise.id, promise.name)
    yield from ("V0", "V1", "V2", "completeness")


TERMS = [
    *("intent", "register", "suppressed", "conflicting", "availability", "reliability", "lease", "term"),
    *("drain", "fail-over", "refused-writes", "hole", "backlog", "p95"),
    *("agent.executed", "venue.filled", "coordinator.claimed"),
]

WORDS = words()


@pytest.mark.parametrize("label", sorted({*labels(), *planned(), *checks(), *KINDS, *TERMS}))
def test_every_label_has_its_word(label: str) -> None:
    found = find(label, WORDS)
    assert found, f"nobody says what {label!r} is"
    assert all(
        word.text.endswith((".", "has", "reason", "counts", "decisions", "up", "done", "on", "for"))
        for word in found
    )


def test_every_kind_of_fault_says_what_it_does() -> None:
    assert list(DOES) == list(KINDS)


def test_a_stream_of_a_pattern_says_what_it_is_for() -> None:
    assert [name for name, pattern in PATTERNS.items() if not all(streams_of(pattern).values())] == []


def test_a_name_means_one_thing_within_a_topic_and_a_pattern() -> None:
    seen: set[tuple[str, ...]] = set()
    for word in WORDS:
        for name in {word.term.lower(), *(other.lower() for other in word.also)}:
            for pattern in word.of or ("",):
                assert (name, word.topic, pattern) not in seen, f"{name} is explained twice"
                seen.add((name, word.topic, pattern))


def test_a_check_is_found_by_its_id_by_its_name_and_of_every_pattern() -> None:
    by_id, by_name = find("e1", WORDS), find("no loss", WORDS)
    assert [word.of for word in by_id] == [("hierarchical", "mesh", "ring"), ("star",)]
    promises = promises_of("hierarchical")
    assert promises is not None
    promise = promises.of("H1")
    assert promise is not None
    assert [(word.term, word.text) for word in by_name] == [("H1 no-loss", promise.text)]
    shared = find("U1", WORDS)
    assert [word.of for word in shared] == [("hierarchical", "star", "mesh", "ring")], (
        "a promise of all is told once"
    )


def squall(*arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SQUALL, *arguments],
        env={**os.environ, "COLUMNS": str(columns)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("term", "said"),
    [
        ("lese", "squall: there is no word 'lese'; did you mean 'lease'?\n"),
        ("refused-write", "squall: there is no word 'refused-write'; did you mean 'refused writes'?\n"),
        ("zzzzzz", "squall: there is no word 'zzzzzz'; `squall explain` alone lists all words\n"),
    ],
)
def test_an_unknown_word_gets_the_nearest(term: str, said: str) -> None:
    done = squall("explain", term)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_a_run_is_not_explained_yet_and_that_is_said(tmp_path: Path) -> None:
    done = squall("explain", str(tmp_path))
    assert done.returncode == 2
    assert "only words are explained yet" in done.stderr


def test_explain_alone_lists_all_words_and_one_is_told_with_its_text() -> None:
    done = squall("explain")
    assert done.returncode == 0, done.stderr
    together = " ".join(done.stdout.split())
    assert [word.term for word in WORDS if word.term not in together] == []
    lease = squall("explain", "lease")
    assert lease.stdout.split("\n")[0].rstrip() == "lease  things"
    assert "For how long a leader is obeyed" in lease.stdout


@pytest.mark.parametrize("width", [40, 80, 120])
def test_words_fit_and_none_is_cut(width: int) -> None:
    file = io.StringIO()
    console = Terminal(file=file, width=width)
    explain.show(WORDS, console)
    explain.show_all(WORDS, console)
    shown = file.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown


def test_words_of_a_package_that_is_broken_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        value = "mine:words"

        def load(self) -> Any:
            return lambda: 1 / 0

    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group, **_: [Broken()] if group == GROUP else []
    )
    with pytest.raises(Exception, match="the words that mine:words brings cannot be used: ZeroDivisionError"):
        words()


def test_a_package_explains_its_own_words_and_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Word("copy", "things", "One agent's own delivery of a task.")

    class Brings:
        value = "mine:words"

        def load(self) -> Any:
            return lambda: [told]

    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group, **_: [Brings()] if group == GROUP else []
    )
    assert find("copy", words()) == [told]
    mine = replace(PATTERNS["star"], streams=lambda spec: [{"name": "S_IN", "description": "what comes in"}])
    assert streams_of(mine) == {"IN": "what comes in"}


def test_the_table_says_what_is_said_of_this_part() -> None:
    assert len(own()) > 80
    assert not [word.term for word in own() if not word.text.endswith(".")]


def test_the_page_explains_its_words_from_the_same_table() -> None:
    page = glossary()
    told = [word for word in own() if word.topic in TOPICS]
    assert len(told) > 60
    assert [word.term for word in told if markup.text(word.text) not in page] == []
