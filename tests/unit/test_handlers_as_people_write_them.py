"""Handlers as people write them: of each, what is said of it.

Each is loaded and called as an agent does it, and what comes of it is judged as a run is. In all of them the
swarm did nothing wrong, and nothing is held against it.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.handled import handled
from tests.unit.handlers_written import FAILING, IDLE, MIXED, REFUSED, TELLING

from squall.chaos.tell.documents import judge
from squall.services.cli.table import print_table
from squall.services.cli.terminal import Terminal
from squall.services.errors import SpecError
from squall.services.run.result import Result, blamed_on_handler, exit_code

SAID_OF_ORDERS = "returned what is no order: an order needs account, symbol, n, side, quantity and price;"
SAID_OF_OTHERS = "returned what cannot be sent:"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, of which no module is known yet, nor afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("mine", None)


def judged(folder: Path, source: str) -> Result:
    (folder / "mine.py").write_text(source.lstrip("\n"))
    result = judge(handled("mine:decide").write(folder / "run"))
    assert [check.id for check in result.checks if check.verdict == "fail"] in ([], ["W1"])
    assert result.lost == 0
    return result


def table_of(result: Result, run: Path) -> str:
    """What a terminal shows of a run."""
    written = io.StringIO()
    print_table(result, Terminal(file=written, width=100), run)
    return written.getvalue()


def begins(source: str) -> str:
    """What is told of where the handler begins, of a mistake that no line raises."""
    lines = source.lstrip("\n").splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.removeprefix("async ").startswith("def decide("))
    return f"; it begins at mine.py:{line} in decide"


def said_of(result: Result) -> tuple[str, str]:
    return next((check.verdict, check.detail) for check in result.checks if check.id == "W1")


@pytest.mark.parametrize("name", FAILING)
def test_a_mistake_is_told_as_the_handlers_with_its_name_first(folder: Path, name: str) -> None:
    source, said = FAILING[name]
    result = judged(folder, source)
    if said.startswith(("NO_ORDER", "UNSENT")):
        said += begins(source)
    said = said.replace("NO_ORDER", SAID_OF_ORDERS).replace("UNSENT", SAID_OF_OTHERS)
    told = f"The handler mine:decide failed 4 of 4 tasks: it {said} (4 tasks, the first a-1)."
    assert said_of(result) == ("fail", told)
    assert (blamed_on_handler(result), exit_code(result)) == (told, 1)
    assert [check.task for check in result.checks if check.task] == ["a-1"]
    if "NO_ORDER" in FAILING[name][1]:
        decided = {check.id: (check.verdict, check.detail) for check in result.checks}
        assert (decided["H1"][0], decided["H2"][0]) == ("pass", "pass"), "each refusal is on record"
        assert " refused with a reason, the first a-1-0" in decided["H2"][1]


@pytest.mark.parametrize("name", IDLE)
def test_a_handler_that_returns_nothing_for_any_task_is_told_and_nothing_passes_on_nothing(
    folder: Path, name: str
) -> None:
    result = judged(folder, IDLE[name])
    told = (
        "The handler mine:decide returned no order and no value for any of 4 tasks: "
        f"return an order, a list of them, or a Result{begins(IDLE[name])}."
    )
    assert (said_of(result), blamed_on_handler(result), exit_code(result)) == (("fail", told), told, 1)
    assert (result.effects, result.reliability, result.reliability_interval) == (0, None, None)
    assert re.search(r"reliability +–$", table_of(result, folder), re.MULTILINE)
    page = (folder / "run" / "report.html").read_text()
    assert "Every task that was offered ended, and none of them came to an order." in page
    assert "ended as it should" not in page
    idle = {check.id: check.detail for check in result.checks if not check.exercised}
    assert (
        idle["H1"] == idle["H2"] == "None of 4 tasks that ended intended an order, so none was to be filled."
    )


@pytest.mark.parametrize("name", TELLING)
def test_what_a_handler_may_do_passes_and_is_told(folder: Path, name: str) -> None:
    source, said = TELLING[name]
    result = judged(folder, source)
    told = f"The handler mine:decide was given 4 tasks: {'; '.join(filter(None, ['none failed', said]))}."
    assert said_of(result) == ("pass", told)
    assert blamed_on_handler(result) == ""


def test_several_mistakes_are_told_apart_and_what_was_right_is_counted(folder: Path) -> None:
    source, said = MIXED
    assert said_of(judged(folder, source)) == ("fail", said)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_handler_is_refused_before_anything_starts(folder: Path, name: str) -> None:
    source, said = REFUSED[name]
    with pytest.raises(SpecError) as caught:
        judged(folder, source)
    told = f"{caught.value}; {caught.value.remedy}".replace(f"{folder}/", "")
    assert told == f"the handler mine:decide {said}"
    assert caught.value.exit_code == 2
