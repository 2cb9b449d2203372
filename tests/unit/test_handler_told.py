"""What an agent writes of its handler's mistakes: a line of the history each, some of them into its log."""

from __future__ import annotations

import functools
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from squall.bus.ended import Done, Failed
from squall.services.handlers.loading import load
from squall.services.handlers.mistakes import Frame, Mistake, begins
from squall.services.roles.handler_told import LOGGED_EACH, HandlerTold
from squall.services.rules.blocking import HELD_S

TRACE = ("mine.py:5 in decide: return size(0)", "mine.py:2 in size: return 100 / risk")
DIVIDED = Mistake(
    "the handler raised ZeroDivisionError: …, at mine.py:2",
    kind="raised",
    said="ZeroDivisionError: …",
    trace=TRACE,
)


class Lines:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def __call__(self, op: str, kind: str, /, **facts: Any) -> None:
        self.lines.append({"op": op, "type": kind, **facts})


def test_a_mistake_is_a_line_with_where_it_was_made_and_its_lines_are_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = Lines()
    with caplog.at_level(logging.INFO):
        HandlerTold("mine:decide", lines).ended("t-1", 2, DIVIDED)
    assert lines.lines == [
        {
            "op": "handler",
            "type": "fail",
            "task": "t-1",
            "attempt": 2,
            "what": "raised",
            "reason": DIVIDED.reason,
            "said": DIVIDED.said,
            "at": TRACE[-1],
            "trace": TRACE,
        }
    ]
    assert [record.getMessage() for record in caplog.records] == [
        f"mine:decide, task t-1, attempt 2: {DIVIDED.reason}",
        *(f"  {frame}" for frame in TRACE),
    ]


def test_however_many_are_alike_each_is_a_line_and_few_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines()
    told = HandlerTold("mine:decide", lines)
    with caplog.at_level(logging.INFO):
        for number in range(1, 65):
            told.ended(f"t-{number}", 1, DIVIDED)
    shown = [*range(1, LOGGED_EACH + 1), 8, 16, 32, 64]
    assert len(lines.lines) == 64
    assert [place for place, line in enumerate(lines.lines, 1) if "trace" in line] == shown
    assert len(caplog.records) == len(shown) * (1 + len(TRACE))


def test_what_is_no_order_is_told_of_the_effect_that_it_is() -> None:
    lines = Lines()
    good = b'{"account":"a","symbol":"s","n":1,"side":"buy","quantity":1,"price":1.0}'
    HandlerTold("mine:decide", lines).ended("t-1", 1, Done((good, b"1", good, b"2")))
    assert [(line["what"], line["order_id"]) for line in lines.lines] == [
        ("order", "t-1-1"),
        ("order", "t-1-3"),
    ]


def test_what_no_line_raises_is_told_with_where_the_handler_begins(caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines()
    told = HandlerTold("mine:decide", lines, Frame("mine.py", 4, "decide"))
    with caplog.at_level(logging.INFO):
        told.ended("t-1", 1, Done((b"1",)))
        told.ended("t-2", 1, Mistake("the handler returned …", True, kind="returned", said="a map"))
        told.ended("t-3", 1, Done())
        told.ended("t-4", 1, DIVIDED)
    assert [line["at"] for line in lines.lines] == ["mine.py:4 in decide"] * 3 + [TRACE[-1]]
    assert [record.getMessage() for record in caplog.records][1] == "  mine.py:4 in decide"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("plain", "5 in plain"),
        ("waiting", "6 in waiting"),
        ("handed_on", "5 in plain"),
        ("decorated", "9 in decorated"),
        ("short", "10 in <lambda>"),
        ("mine", "12 in __call__"),
        ("mine.method", "13 in method"),
        ("of_python", ""),
        ("typed", ""),
    ],
)
def test_where_a_handler_begins_is_the_line_of_its_own_function(
    name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "begun.py").write_text(BEGUN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    begun = begins(load(f"begun.py:{name}"))
    assert (begun.place if begun else "") == (f"begun.py:{place}" if place else "")


BEGUN = """import functools
def through(function):
    return functools.wraps(function)(lambda task: function(task))

def plain(task): return 1
async def waiting(task): return 1
handed_on = functools.partial(plain)
@through
def decorated(task): return 1
short = lambda task: 1
class Mine:
    def __call__(self, task): return 1
    def method(self, task): return 1
mine = Mine()
of_python = functools.partial(len)
exec("def typed(task): return 1")
"""


@pytest.mark.parametrize("handler", [None, 3, len, functools.partial(functools.partial, len), type])
def test_what_begins_nowhere_has_no_place(handler: object) -> None:
    assert begins(handler) is None


def test_what_is_no_doing_of_the_handlers_is_not_told() -> None:
    lines = Lines()
    HandlerTold("mine:decide", lines).ended("t-1", 1, Failed("no more threads"))
    assert lines.lines == []


def test_what_comes_to_nothing_is_a_line_each() -> None:
    lines = Lines()
    told = HandlerTold("mine:decide", lines)
    for number, ended in enumerate((Done(), Done((), b"hold"), Done())):
        told.ended(f"t-{number}", 1, ended)
    assert [(line["op"], line["task"]) for line in lines.lines] == [("empty", "t-0"), ("empty", "t-2")]


def test_a_hold_up_that_is_not_over_is_told_as_one_more_and_counted_when_it_is() -> None:
    lines = Lines()
    told = HandlerTold("mine:decide", lines)
    frame = Frame("mine.py", 3, "decide")
    for seconds, is_over in ((2.0, False), (4.0, False), (5.0, True), (2.0, False)):
        told.held_up(frame, seconds, is_over=is_over)
    said = [(line["times"], line["seconds"]) for line in lines.lines]
    assert said == [(1, 2.0), (1, 4.0), (1, 5.0), (2, 5.0)]


def test_a_hold_up_is_told_by_its_place_with_the_longest_there_was() -> None:
    lines = Lines()
    told = HandlerTold("mine:decide", lines)
    for seconds in (0.5, 0.3, 0.4, 0.4, 0.4, 0.4, 2.0):
        told.held_up(Frame("mine.py", 3, "decide"), seconds)
    assert [line["took_s"] for line in lines.lines] == [0.5, 0.3, 0.4, 0.4, 0.4, 2.0]
    assert [(line["times"], line["seconds"]) for line in lines.lines] == [
        *((times, 0.5) for times in range(1, LOGGED_EACH + 1)),
        (7, 2.0),
    ]


def test_each_hold_up_that_lasts_is_a_line_however_few_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines()
    told = HandlerTold("mine:decide", lines)
    with caplog.at_level(logging.INFO):
        for _ in range(7):
            told.held_up(Frame("mine.py", 3, "decide"), HELD_S)
    assert [(line["times"], line["took_s"]) for line in lines.lines] == [(n, HELD_S) for n in range(1, 8)]
    assert len(caplog.records) == LOGGED_EACH
