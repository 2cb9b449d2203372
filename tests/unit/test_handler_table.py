"""What ``[handler]`` says: which handler, what it is given beside the task, which variables it may see."""

from __future__ import annotations

import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from squall.bus.ended import Done
from squall.bus.messages import RunTask
from squall.chaos.simulation.handlers import anew
from squall.services.errors import SpecError
from squall.services.handlers import kinds
from squall.services.handlers.port import Host
from squall.services.handlers.python import PythonHandler, load
from squall.services.run.spec import Spec
from squall.services.run.swarm_toml import load as read

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def spec_of(text: str) -> Spec:
    path = Path("swarm.toml")
    path.write_text('pattern = "hierarchical"\n' + textwrap.dedent(text))
    return read(path)


TABLE = """
[handler]
use = "tabled.py:decide"

[handler.parameters]
symbol = "wti"
limits = [1, 2.5]
"two words" = {deep = true}
"""

DECIDES = """
def decide(task, *, symbol, limits, scale=2, **more):
    return {"symbol": symbol, "limits": limits, "scale": scale, **more}
"""


async def test_parameters_are_given_by_keyword_and_survive_the_runs_own_file(here: Path) -> None:
    (here / "tabled.py").write_text(DECIDES)
    (here / "again.toml").write_text(spec_of(TABLE).toml())
    for spec in (spec_of(TABLE), read(here / "again.toml")):
        assert (spec.handler, spec.handler_environment, spec.handler_headers) == ("tabled.py:decide", (), {})
        port = load(spec.handling, None).open(HOST)
        assert isinstance(port, PythonHandler)
        ended = await port.run(RunTask(task="t", key="k", job="j"), 1)
        expected = b'{"symbol":"wti","limits":[1,2.5],"scale":2,"two words":{"deep":true}}'
        assert ended == Done((expected,))


HOST = Host(timeout_s=10.0, slots=1, threads=ThreadPoolExecutor, stuck=lambda: pytest.fail("called stuck"))


@pytest.mark.parametrize(
    ("source", "parameters", "said"),
    [
        ("def decide(task, *, symbol): ...", {}, "the task: it needs 'symbol' too"),
        ("def decide(task): ...", {"symbol": 1}, "takes no parameter 'symbol'"),
        ("def decide(task, symbol=1): ...", {"task": 1}, "takes no parameter 'task'"),
        ("def decide(task, symbol): ...", {"symbl": 1, "symbol": 2}, "takes no parameter 'symbl'"),
    ],
)
def test_parameters_that_a_function_does_not_take_are_one_sentence(
    here: Path, source: str, parameters: dict[str, int], said: str
) -> None:
    (here / "taking.py").write_text(source)
    rows = "\n".join(f"{name} = {value}" for name, value in parameters.items())
    spec = spec_of(f'[handler]\nuse = "taking.py:decide"\n[handler.parameters]\n{rows}\n')
    with pytest.raises(SpecError) as raised:
        load(spec.handling, None)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[handler]\nuze = "mine:decide"', "says 'uze' of the handler, which none has; did you mean 'use'?"),
        ('[handler]\nuse = "exec:sh"\nparameters = {a = 1}', "parameters are of no use to the handler"),
        ('[handler]\nuse = "http://h/"\nenvironment = ["A"]', "environment are of no use"),
        ('[handler]\nuse = "mine:decide"\nheaders = {A = "B"}', "headers are of no use"),
        ('[handler]\nuse = "exec:sh"\nenvironment = ["sk-secret"]', "a variable whose name is none"),
        ('[handler]\nuse = "http://h/"\nheaders = {Authorization = "Bearer x"}', "whose name is none"),
        ('[handler]\nuse = "m:d"\nparameters = {a = 2026-11-28}', "is nothing that JSON has"),
        ('[handler]\nuse = "m:d"\nparameters = {a = inf}', "is nothing that JSON has"),
        ("[handler]\nuse = 3", "handler = 3 is no text"),
    ],
)
def test_what_a_kind_has_no_use_for_is_refused_and_what_it_holds_is_not_shown(text: str, said: str) -> None:
    with pytest.raises(SpecError) as raised:
        spec_of(text)
    assert said in str(raised.value)
    assert "secret" not in f"{raised.value} {raised.value.remedy}"
    assert "Bearer" not in f"{raised.value} {raised.value.remedy}"


@pytest.mark.parametrize("name", ["exec:sh", "http://127.0.0.1:9/"])
def test_what_needs_something_outside_is_not_simulated(name: str) -> None:
    with pytest.raises(SpecError, match="which no simulated world has") as raised:
        anew(Spec(pattern="hierarchical", handler=name).handling)
    assert "squall chaos" in raised.value.remedy


def test_there_is_one_kind_a_prefix_and_each_has_its_file() -> None:
    assert list(kinds.KINDS) == sorted(kinds.KINDS)
    for prefix, kind in kinds.KINDS.items():
        assert kind.prefix == prefix
        assert kind.example.startswith(prefix)
        assert kinds.kind_of(kind.example) is kind
