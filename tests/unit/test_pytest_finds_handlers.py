"""Agents find the handlers that tests name, as pytest does."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest
from tests.unit.pytest_projects import pytest_in, write


def asking(source: str, *, handler: str = "decide") -> str:
    return textwrap.dedent(source) + textwrap.dedent(f"""
        import pytest

        @pytest.mark.squall(handler={handler})
        async def test_mine(swarm):
            raise AssertionError("never runs")
        """)


@dataclass(frozen=True)
class Found:
    """A project whose handler returns a text that says which it is.

    Attributes:
        handler: By which name agents ask for it.
        options: Pytest's. Projects of the same are run together, so each has names of its own.
    """

    files: dict[str, str]
    handler: str
    returned: str
    options: tuple[str, ...] = ()


SIZE = "SIZE = {!r}\nasync def decide(task):\n    return SIZE\n"
HELPER = "SIZE = 'helper'\n"
USES = "async def decide(task):\n    return SIZE\n"
WRAPS = """
import functools

def again(function):
    @functools.wraps(function)
    async def called(task):
        return "again " + await function(task)
    return called

def quietly(function):
    async def called(task):
        return "quietly " + await function(task)
    return called
"""
SIZE_AFTER = "async def decide(task):\n    return 'own'\n"
SIZED = "async def sized(task, size='small'):\n    return size\n"
AGENT = """
class Agent:
    async def __call__(self, task):
        return "called"

    async def decide(self, task):
        return "method"

    @staticmethod
    def small(task):
        return tiny(task)

tiny = lambda task: "tiny"
agent = Agent()
"""
LIB = "import pathlib, sys\nsys.path.insert(0, str(pathlib.Path(__file__).parent / 'lib'))\n"
IMPORTLIB, SRC = ("--import-mode=importlib",), ("-o", "pythonpath=src")

FOUND = {
    "in the test's file": Found({"test_own.py": asking(SIZE.format("own"))}, "test_own:decide", "own"),
    "a sibling is imported": Found(
        {"a/helper.py": HELPER, "a/test_sibling.py": asking("from helper import SIZE\n" + USES)},
        "test_sibling:decide",
        "helper",
    ),
    "a relative import in a package of tests": Found(
        {
            "b/__init__.py": "",
            "b/unit/__init__.py": "",
            "b/size.py": HELPER,
            "b/unit/test_relative.py": asking("from ..size import SIZE\n" + USES),
        },
        "b.unit.test_relative:decide",
        "helper",
    ),
    "a path of the conftest's": Found(
        {
            "c/conftest.py": LIB,
            "c/lib/of_lib.py": SIZE.format("lib"),
            "c/test_path.py": asking("from of_lib import decide"),
        },
        "of_lib:decide",
        "lib",
    ),
    "in the conftest": Found(
        {
            "d/__init__.py": "",
            "d/conftest.py": SIZE.format("conftest"),
            "d/test_of_conftest.py": asking("from .conftest import decide"),
        },
        "d.conftest:decide",
        "conftest",
    ),
    "decorated, and the decorator says what it wraps": Found(
        {"wraps.py": WRAPS, "test_again.py": asking("from wraps import again\n@again\n" + SIZE_AFTER)},
        "test_again:decide",
        "again own",
    ),
    "decorated, and it does not": Found(
        {"test_quietly.py": asking("from wraps import quietly\n@quietly\n" + SIZE_AFTER)},
        "test_quietly:decide",
        "quietly own",
    ),
    "decorated elsewhere": Found(
        {
            "elsewhere.py": "from wraps import quietly\n@quietly\n" + SIZE_AFTER,
            "test_elsewhere.py": asking("import elsewhere", handler="elsewhere.decide"),
        },
        "elsewhere:decide",
        "quietly own",
    ),
    "a partial with a name": Found(
        {
            "test_partial.py": asking(
                f"import functools\n{SIZED}large = functools.partial(sized, size='large')\n", handler="large"
            )
        },
        "test_partial:large",
        "large",
    ),
    "an object that can be called": Found(
        {"test_object.py": asking(AGENT, handler="agent")}, "test_object:agent", "called"
    ),
    "a method of an object": Found(
        {"test_method.py": asking(AGENT, handler="agent.decide")}, "test_method:agent.decide", "method"
    ),
    "a static method": Found(
        {"test_static.py": asking(AGENT, handler="Agent.small")}, "test_static:Agent.small", "tiny"
    ),
    "a lambda with a name": Found(
        {"test_lambda.py": asking(AGENT, handler="tiny")}, "test_lambda:tiny", "tiny"
    ),
    "importlib, a relative import": Found(
        {
            "e/__init__.py": "",
            "e/helper.py": HELPER,
            "e/test_relative.py": asking("from .helper import SIZE\n" + USES),
        },
        "e.test_relative:decide",
        "helper",
        IMPORTLIB,
    ),
    "importlib, no package": Found(
        {"f/checks/test_file.py": asking(SIZE.format("file"))}, "f.checks.test_file:decide", "file", IMPORTLIB
    ),
    "importlib, and an installed package of the same name": Found(
        {"greenlet/test_name.py": asking(SIZE.format("mine"))}, "greenlet.test_name:decide", "mine", IMPORTLIB
    ),
    "pythonpath": Found(
        {
            "src/mine/__init__.py": "",
            "src/mine/strategy.py": "from .size import SIZE\n" + USES,
            "src/mine/size.py": HELPER,
            "tests/test_src.py": asking("from mine.strategy import decide"),
        },
        "mine.strategy:decide",
        "helper",
        SRC,
    ),
    "pythonpath, by its name": Found(
        {
            "src/named.py": SIZE.format("named"),
            "tests/test_by_name.py": asking("", handler="'named:decide'"),
        },
        "named:decide",
        "named",
        SRC,
    ),
}

LOADS = """
import asyncio, inspect, json, os, pathlib, sys
from squall.services.handlers.loading import load
from squall.services.node.service import Origin

for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
    told = json.loads(line)
    if os.fork():
        os.wait()
        continue
    handler = load(told["handler"], Origin(path=tuple(told["path"]), file=told["file"]))
    returned = handler(None)
    returned = asyncio.run(returned) if inspect.isawaitable(returned) else returned
    print(told["handler"], returned, sep="\\t", flush=True)
    os._exit(0)
"""
"""What an agent does, each in a process of its own that has imported what an agent has."""


@pytest.fixture(scope="module", params=[(), IMPORTLIB, SRC], ids=["prepend", "importlib", "pythonpath"])
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[str, ...], dict[str, str], str]:
    """Options, what the handlers of their projects return to agents, by their names, and what was printed."""
    folder, said = tmp_path_factory.mktemp("found"), tmp_path_factory.mktemp("said") / "said"
    for project in FOUND.values():
        if project.options == request.param:
            write(folder, project.files)
    code, printed = pytest_in(
        folder, "-p", "handed_on", "-p", "no:randomly", "--setup-only", *request.param, HANDED_ON=str(said)
    )
    assert code == 0, printed
    agents = subprocess.run(
        [sys.executable, "-P", "-c", LOADS, str(said)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found = dict(line.split("\t") for line in agents.stdout.splitlines())
    return request.param, found, agents.stderr


def test_agents_find_the_handlers_that_tests_name(
    loaded: tuple[tuple[str, ...], dict[str, str], str],
) -> None:
    options, found, errors = loaded
    projects = [project for project in FOUND.values() if project.options == options]
    assert found == {project.handler: project.returned for project in projects}, errors
