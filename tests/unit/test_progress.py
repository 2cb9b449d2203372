"""What is known of a run while it runs, and how it is shown: on a terminal, and without one."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable
from typing import IO, Any, get_args

import msgspec
import pytest
from tests.screen import Screen

from squall.chaos.cli.series import Course
from squall.services.cli.progress import as_lines, drawn, rows, show_progress
from squall.services.cli.terminal import Terminal
from squall.services.run.counters import Counters
from squall.services.run.progress import (
    Begun,
    Counted,
    Done,
    Healed,
    Known,
    Leads,
    Left,
    Notice,
    Phase,
    Stage,
    Step,
    Struck,
    Waiting,
    learned,
)

CRASH = Struck(key="1", kind="crash", target="any-agent", nodes=("agent-3",))
CUT = Struck(
    key="2", kind="blackhole-nofin", target="all-agents", nodes=tuple(f"agent-{n}" for n in range(1, 7))
)


def known(*steps: Step | float) -> tuple[Known, float]:
    """What is known after some steps, with the seconds that pass between them; and the time then."""
    now_s, found = 100.0, Known(begun_s=100.0)
    for step in steps:
        if isinstance(step, float):
            now_s += step
        else:
            found = learned(found, step, now_s)
    return found, now_s


def shown(*steps: Step | float) -> dict[str, str]:
    return dict(rows(*known(*steps)))


BUSY: tuple[Step | float, ...] = (
    Begun(run="seed-2", number=2, runs=5, series_left_s=200.0),
    Phase(stage="faults", lasts_s=20.0),
    3.0,
    CRASH,
    CUT,
    Counted(offered=3104, accepted=3100, ended=2990),
    Leads("coordinator-1"),
    Waiting(key="a", what="agent-2 or agent-4 to reach agent.executed", at_most_s=45.0),
    2.0,
)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ((Begun(run="hierarchical"), 4.0), {"hierarchical": "4 s so far"}),
        ((Begun(run="seed-1", number=1, runs=3),), {"seed-1": "1 of 3, 0 s so far"}),
        ((Begun(run="seed-9", number=9),), {"seed-9": "run 9, 0 s so far"}),
        (
            BUSY,
            {
                "seed-2": "2 of 5, 5 s so far, about 3 min 15 s left of the series",
                "stage": "faults, about 15 s left",
                "in force": "crash of any-agent (agent-3) for 2 s, blackhole-nofin of all-agents "
                "(agent-1, agent-2, agent-3, agent-4 and 2 more) for 2 s",
                "tasks": "offered 3,104, accepted 3,100, ended 2,990",
                "leads": "coordinator-1",
                "waits for": "agent-2 or agent-4 to reach agent.executed, 43 s at most",
            },
        ),
        (
            (*BUSY, Healed("1"), Healed("2"), Leads(""), Done("a")),
            {
                "seed-2": "2 of 5, 5 s so far, about 3 min 15 s left of the series",
                "stage": "faults, about 15 s left",
                "tasks": "offered 3,104, accepted 3,100, ended 2,990",
                "leads": "nobody",
            },
        ),
        (
            (Begun(run="r"), Phase(stage="draining", at_most_s=4000.0), Waiting(what="3 tasks to end")),
            {
                "r": "0 s so far",
                "stage": "draining for 0 s, given up after 1 h 6 min",
                "waits for": "3 tasks to end",
            },
        ),
        (
            (Begun(run="r"), Phase(stage="load"), Left(9.4), 1.0, Waiting(what="x"), Phase(stage="draining")),
            {"r": "1 s so far", "stage": "draining"},
        ),
        (
            (
                Begun(run="r"),
                Phase(stage="draining", at_most_s=90.0),
                4.0,
                Phase(stage="draining", at_most_s=20.0),
            ),
            {"r": "4 s so far", "stage": "draining for 4 s, given up after 24 s"},
        ),
        ((*BUSY, Begun(run="seed-3", number=3, runs=5)), {"seed-3": "3 of 5, 0 s so far"}),
    ],
    ids=[
        "begun",
        "of a series",
        "without an end",
        "faults",
        "healed",
        "draining",
        "next stage",
        "the same stage",
        "next run",
    ],
)
def test_what_is_known_is_shown_and_nothing_else(
    steps: tuple[Step | float, ...], told: dict[str, str]
) -> None:
    assert shown(*steps) == told


def test_what_should_be_over_is_not_said_to_take_less_than_nothing() -> None:
    late = shown(Begun(run="r"), Phase(stage="faults", lasts_s=2.0), Waiting(what="x", at_most_s=3.0), 9.0)
    assert late == {"r": "9 s so far", "stage": "faults", "waits for": "x"}


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_table_fits_whatever_is_known(width: int) -> None:
    file = io.StringIO()
    Terminal(file=file, width=width).print(drawn(rows(*known(*BUSY))))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    together = " ".join(file.getvalue().split())
    for whole in ("blackhole-nofin", "offered 3,104", "coordinator-1", "43 s at most", "about 15 s left"):
        assert whole in together, f"{whole} was cut"
    assert "…" not in together


def test_lines_tell_the_same_and_fit() -> None:
    assert as_lines(rows(*known(*BUSY)), 72) == [
        "seed-2: 2 of 5, 5 s so far, about 3 min 15 s left of the series",
        "  stage faults, about 15 s left",
        "  in force crash of any-agent (agent-3) for 2 s, blackhole-nofin of",
        "    all-agents (agent-1, agent-2, agent-3, agent-4 and 2 more) for 2 s",
        "  tasks offered 3,104, accepted 3,100, ended 2,990  leads coordinator-1",
        "  waits for agent-2 or agent-4 to reach agent.executed, 43 s at most",
    ]
    assert as_lines([("r", "1 s so far"), ("stage", "load")], 72) == ["r: 1 s so far  stage load"]


@pytest.mark.parametrize("width", [10, 40, 80, 120])
def test_no_line_is_longer_than_a_terminal_is_wide(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    with show_progress() as told:
        for step in BUSY:
            if not isinstance(step, float):
                told.tell(step)
        told.tell(Phase(stage="judging"))
    said = capsys.readouterr().err.splitlines()
    assert max(map(len, said)) <= max(width, 40)
    assert all(line.startswith("squall: ") for line in said)
    assert "in force" in "\n".join(said)


def test_a_series_goes_on_for_as_long_as_its_runs_took() -> None:
    course = Course(3)
    assert course.begun("seed-1", 0.0) == Begun(run="seed-1", number=1, runs=3)
    assert course.begun("seed-2", 30.0).series_left_s == 60.0
    assert course.begun("seed-3", 50.0).series_left_s == 25.0
    more = Course(1, more_s=100.0)
    assert more.begun("seed-1", 0.0) == Begun(run="seed-1", number=1)
    assert more.begun("seed-2", 40.0) == Begun(run="seed-2", number=2, series_left_s=100.0)
    assert more.begun("seed-3", 70.0).series_left_s == 70.0


def test_offers_that_are_made_again_are_counted_once() -> None:
    counters = Counters(None, dict)  # type: ignore[arg-type]
    assert counters.offered("producer") is None
    for incarnation, counts in enumerate(
        ({"offered": 130, "accepted": 90, "refused": 10, "unknown": 3}, {"offered": 55, "accepted": 25}), 1
    ):
        counters.started("producer", "producer", incarnation)
        start = counters._starts["producer", incarnation]
        start.heartbeats, start.counts = 1, counts
    assert counters.offered("producer") == 155  # a hundred that are settled, and those offered since


# Without a terminal.


def test_without_a_terminal_a_line_is_said_at_each_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress() as told:
        told.tell(Begun(run="seed-1", number=1, runs=2))
        for stage in get_args(Stage):
            told.tell(Phase(stage=stage))
            told.tell(Phase(stage=stage, lasts_s=3.0))
        told.tell(Notice("coordinator-1, which leads, is frozen for 2.5 s"))
    *lines, last = capsys.readouterr().err.splitlines()
    assert [line.rpartition("stage ")[2] for line in lines] == list(get_args(Stage)), "once each"
    assert all(line.startswith("squall: seed-1: 1 of 2, ") for line in lines)
    assert last == "squall: 0.0 s  coordinator-1, which leads, is frozen for 2.5 s"


def test_without_a_terminal_a_line_is_said_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("squall.services.cli.progress.LINE_EVERY_S", 0.02)
    said = ""
    with show_progress() as told:
        told.tell(Begun(run="r"))
        told.tell(Phase(stage="judging"))  # in which nothing is learned
        deadline = time.monotonic() + 10
        while said.count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
            said += capsys.readouterr().err
    assert said.count("r: 0 s so far  stage judging\n") >= 3


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(quiet=True) as told:
        for step in BUSY:
            if not isinstance(step, float):
                told.tell(step)
        told.tell(Notice("something"))
        with told.aside():
            pass
    assert capsys.readouterr() == ("", "")


# On a terminal.


class _Terminal(io.StringIO):
    """A stream that says it is a terminal, and shows what it is given on a screen."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._screen.feed(text.encode())
        return len(text)


def recorded(width: int, act: Callable[[Any, IO[str]], None]) -> Screen:
    """What stood on a terminal of some width while something was shown and printed there."""
    screen = Screen(width)
    file = _Terminal(screen)
    terminal = Terminal(file=file, width=width)
    with show_progress(terminal=terminal) as told:
        act(told, file)
    return screen


@pytest.mark.parametrize("width", [40, 80, 120])
def test_results_and_sentences_stand_on_lines_of_their_own(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(told: Any, file: IO[str]) -> None:
        for step in BUSY:
            if not isinstance(step, float):
                told.tell(step)
        sys.stderr.write("squall: draining; once more to kill\n")
        told.tell(Notice("coordinator-2 took over"))
        with told.aside():
            file.write("seed-1      pass\n")
        told.tell(Phase(stage="judging"))

    monkeypatch.setenv("TERM", "xterm")
    screen = recorded(width, act)
    assert screen.overruns == []
    assert screen.unknown == set()
    assert "in force" in "\n".join(screen.frames)
    assert any(re.search(r"stage +judging", frame) for frame in screen.frames), (
        "each stage is drawn as it begins"
    )
    left = [line for line in screen.text.splitlines() if line]
    assert left == [
        "squall: draining; once more to kill",
        "0.0 s  coordinator-2 took over",
        "seed-1      pass",
    ]


def test_what_is_learned_is_as_good_as_its_type() -> None:
    """Each step is of one type, so that none is forgotten where they are folded."""
    assert {kind.__name__ for kind in get_args(Step)} == {
        "Begun", "Phase", "Left", "Counted", "Leads", "Waiting", "Done", "Struck", "Healed", "Notice",
    }  # fmt: skip
    assert all(issubclass(kind, msgspec.Struct) for kind in get_args(Step))
