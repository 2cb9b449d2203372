"""A handler is found by its name; whatever its module does meanwhile is one sentence of unusable input."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from squall.services.errors import SpecError
from squall.services.handlers.loading import load


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """``here(file, source)`` writes a module into the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)

    def write(file: str, source: str) -> Path:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


DECIDES = "def decide(task): return 'mine'\n"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("found_here.py", "found_here:decide"),
        ("found_package/inner.py", "found_package.inner:decide"),
        ("strategies_here/mine.py", "strategies_here/mine.py:decide"),
        ("signal.py", "signal.py:decide"),
        ("signal.py", "./signal.py:decide"),
    ],
)
def test_a_handler_is_found_from_the_current_folder(here: Any, file: str, name: str) -> None:
    here(file, DECIDES)
    assert load(name)(None) == "mine"


def test_a_module_of_the_current_folder_comes_before_an_installed_one_and_finds_its_neighbours(
    here: Any,
) -> None:
    here("uvicorn_like.py", "LEVEL = 3")
    here("colorsys.py", "from uvicorn_like import LEVEL\ndef decide(task): return LEVEL\n")
    sys.modules.pop("colorsys", None)
    assert load("colorsys:decide")(None) == 3


def test_a_file_finds_its_neighbours(here: Any) -> None:
    here("strategies_there/neighbour.py", "LEVEL = 3")
    here("strategies_there/mine.py", "from neighbour import LEVEL\ndef decide(task): return LEVEL\n")
    assert load("strategies_there/mine.py:decide")(None) == 3


def test_no_file_of_the_current_folder_stands_in_for_a_module_that_others_import(here: Any) -> None:
    here("wave.py", "raise RuntimeError('this is no wave')")
    here("found_too.py", DECIDES)
    sys.modules.pop("wave", None)
    load("found_too:decide")
    import wave

    assert hasattr(wave, "open")


def test_an_installed_handler_opens_the_current_folder_to_nobody(here: Any, tmp_path: Path) -> None:
    here("squall/decoy.py", "")
    load("squall.services.trading.strategies:decide")
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import pytest\npytest.skip('not here', allow_module_level=True)", "Skipped: not here"),
        ("import asyncio\nraise asyncio.CancelledError", "CancelledError"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("def decide(task)\n", "SyntaxError: "),
        ("1 / 0", "ZeroDivisionError: "),
        ("import no_such_module_at_all", "ModuleNotFoundError: "),
        ("class E(Exception):\n    def __str__(self): return None\nraise E", "E: E()"),
        ("def __getattr__(name): raise SystemExit(name)", "SystemExit: decide"),
    ],
)
@pytest.mark.parametrize("name", ["refuses:decide", "refuses.py:decide"])
def test_whatever_an_import_does_is_unusable_input_that_names_the_handler(
    here: Any, name: str, source: str, said: str
) -> None:
    here("refuses.py", source)
    with pytest.raises(SpecError) as caught:
        load(name)
    assert str(caught.value).startswith(f"the handler {name} cannot be imported: {said}")
    assert caught.value.exit_code == 2
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("nowhere_to_be_found:decide", "cannot be imported", "check the name, and that its folder"),
        ("nowhere/mine.py:decide", "cannot be imported", "check the path"),
        ("fits:no_such", "fits has no 'no_such'", "fits.py"),
        ("sys:no_such", "sys has no 'no_such'", "Python itself"),
        ("fits:LEVEL", "is not a function", ""),
        ("fits:two", "the task: it needs 'b' too", "give it a default"),
        ("fits:named", "the task: it needs 'b' too", "give it a default"),
        ("fits:varied", "the task: it needs 'b' too", "give it a default"),
        ("fits:made", "the task: it needs 'c' too", "give it a default"),
        ("fits:none", "does not take one argument, the task", "write it as def decide(task)"),
        ("fits:nameless", "does not take one argument, the task", "write it as def decide(task)"),
    ],
)
def test_what_is_no_handler_is_named(here: Any, name: str, message: str, remedy: str) -> None:
    here(
        "fits.py",
        "import functools\nLEVEL = 3\ndef two(a, b): pass\ndef named(a=0, *, b): pass\n"
        "def varied(*a, b): pass\nmade = functools.partial(lambda a, b, c: None, b=1)\n"
        "def none(): pass\ndef nameless(*, task): pass\n",
    )
    with pytest.raises(SpecError) as caught:
        load(name)
    assert message in str(caught.value)
    assert remedy in caught.value.remedy


def test_a_module_may_run_a_loop_of_its_own_while_it_is_imported(here: Any) -> None:
    here("runs_a_loop.py", "import asyncio\nasyncio.run(asyncio.sleep(0))\ndef decide(task): return 1\n")
    assert load("runs_a_loop:decide")(None) == 1
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
