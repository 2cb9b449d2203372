"""Projects as people write them, each a folder with a pytest of its own: who runs their tests, how the agents
find what they name, and what is printed first of a mistake. No swarm is started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent

EXAMPLE = """
import pytest

async def decide(task):
    return None

@pytest.mark.squall(handler=decide, rate_per_s=50)
async def test_survives(swarm, nemesis):
    raise AssertionError("never runs")
"""


def pytest_in(folder: Path, *options: str, **environment: str) -> tuple[int, str]:
    """A pytest of its own in a folder: its exit code, and what it printed."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HERE), "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return run.returncode, run.stdout + run.stderr


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def first_lines(printed: str) -> dict[str, str]:
    """By test, the first line of what is printed of it: of a traceback that of its error."""
    found = {}
    sections = re.split(
        r"^_{3,} (?:ERROR (?:at setup of |collecting ))?(.+?) _{3,}$", printed, flags=re.MULTILINE
    )
    for name, text in zip(sections[1::2], sections[2::2], strict=True):
        lines = [line for line in text.partition("\n====")[0].splitlines() if line]
        errors = [line.removeprefix("E").strip() for line in lines if line.startswith("E  ")]
        found[name.removeprefix("TestMine.")] = (errors or lines)[0]
    return found


# Who runs the test. Its run's directory is taken, so that nothing starts, and it is said by whoever runs it.

CONFTEST = """
import pytest

@pytest.fixture(autouse=True)
def taken(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
"""

WITH_A_FIXTURE = """
import pytest_asyncio

@pytest_asyncio.fixture
async def feed():
    yield "feed"
"""

METHOD = """
import pytest

async def decide(task):
    return None

class TestMine:
    @pytest.mark.squall(handler=decide)
    async def test_survives(self, swarm):
        raise AssertionError("never runs")
"""

INDIRECT = """
import pytest

async def decide(task):
    return None

@pytest.fixture
def broken(swarm, nemesis):
    return nemesis

@pytest.mark.squall(handler=decide)
async def test_survives(broken):
    raise AssertionError("never runs")
"""


def marked(name: str) -> str:
    return EXAMPLE.replace("@pytest.mark.squall", f"@pytest.mark.{name}\n@pytest.mark.squall")


PROJECTS = {
    "plain": {"test_mine.py": EXAMPLE},
    "a method": {"test_mine.py": METHOD},
    "by a fixture of one's own": {"test_mine.py": INDIRECT},
    "marked asyncio": {"test_mine.py": marked("asyncio")},
    "with a fixture of pytest-asyncio": {
        "conftest.py": WITH_A_FIXTURE,
        "test_mine.py": marked("asyncio").replace("swarm, nemesis", "swarm, feed"),
    },
    "marked anyio": {"test_mine.py": marked("anyio")},
}

AUTO = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
STRICT = ["-o", "asyncio_mode=strict", "-o", "asyncio_default_fixture_loop_scope=function"]
OWN = ["plain", "a method", "by a fixture of one's own", "marked anyio"]
"""Projects that need none of the plugins that are shut out."""

BESIDE = {
    "asyncio auto, warnings are errors": ([*AUTO, "-W", "error", "--timeout=60"], [*PROJECTS]),
    "asyncio strict": ([*STRICT, "--timeout=60", "--timeout-method=thread"], [*PROJECTS]),
    "anyio auto, and asyncio": ([*STRICT, "--anyio-mode=auto", "-p", "no:randomly"], [*PROJECTS]),
    "xdist": (["-n", "1", "--dist", "loadgroup", "-W", "ignore"], ["plain", "marked asyncio"]),
    "no asyncio": (["-p", "no:asyncio", "-p", "no:cacheprovider", "-p", "no:timeout"], OWN),
    "no anyio": (["-p", "no:anyio", "-p", "no:asyncio", "-p", "no:xdist"], OWN[:-1]),
}
"""By name, options and the projects that are run with them."""


@pytest.mark.parametrize("name", BESIDE)
def test_whoever_else_runs_async_tests_these_are_run_with_their_swarm(tmp_path: Path, name: str) -> None:
    options, projects = BESIDE[name]
    write(tmp_path, {"conftest.py": CONFTEST})
    for number, project in enumerate(projects):
        write(tmp_path / f"p{number}", {"__init__.py": "", **PROJECTS[project]})
    code, printed = pytest_in(tmp_path, *options)
    assert code == 1, printed
    told = re.findall(r"^(/.*)/run is not empty; name a new directory", printed, re.MULTILINE)
    assert len(told) == len(set(told)) == len(projects), printed
    assert f"{len(projects)} failed in" in printed
    assert "never awaited" not in printed
    assert "running event loop" not in printed


# How its handler is found.


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


# What is printed first.

REFUSED = """
import asyncio
import functools

import pytest


async def decide(task):
    return None


async def takes_two(task, market):
    return None


def make():
    async def inner(task):
        return None
    return inner


@pytest.mark.squall(handler=make())
async def test_made_inside(swarm): ...


@pytest.mark.squall(handler=lambda task: None)
async def test_lambda(swarm): ...


@pytest.mark.squall(handler=functools.partial(decide))
async def test_partial(swarm): ...


@pytest.mark.squall(handler=3)
async def test_no_function(swarm): ...


@pytest.mark.squall(handler=takes_two)
async def test_two_arguments(swarm): ...


@pytest.mark.squall(handler=decide, colour="red")
async def test_colour(swarm): ...


@pytest.mark.squall(handler=decide, agnts=3)
async def test_nearly_a_field(swarm): ...


@pytest.mark.squall(handler=decide, tasks=60, rate_per_s=50)
async def test_too_short(swarm): ...


@pytest.mark.squall("star", handler=decide)
async def test_positional(swarm): ...


@pytest.mark.squall(pattern="stra")
async def test_pattern(swarm): ...


@pytest.mark.squall(excused=["H9"])
async def test_excused(swarm): ...


@pytest.mark.squall(handler=decide)
async def test_asks_for_none(): ...


def test_not_async(nemesis): ...


@pytest.fixture
def early(swarm):
    swarm.nemesis


async def test_in_a_fixture(early): ...


def breaking(how):
    @pytest.fixture
    def broken(nemesis):
        how(nemesis)
    return broken


leadr = breaking(lambda nemesis: nemesis.crash("leadr"))
blackhol = breaking(lambda nemesis: nemesis.blackhol("leader"))
nobody = breaking(lambda nemesis: nemesis.crash())
nowhere = breaking(lambda nemesis: nemesis.crash("any-agent", point="agent.commited"))
never = breaking(lambda nemesis: nemesis.crash("gateway", point="agent.committed"))
latncy = breaking(lambda nemesis: nemesis.latency("gateway", latncy_ms=3))
by_name = breaking(lambda nemesis: nemesis.strike("crsh", "leader"))


async def test_target(leadr): ...
async def test_fault(blackhol): ...
async def test_nobody(nobody): ...
async def test_point(nowhere): ...
async def test_never_there(never): ...
async def test_magnitude(latncy): ...
async def test_by_name(by_name): ...


@pytest.fixture
def plain(nemesis):
    with nemesis.crash("leader"):
        pass


@pytest.fixture
def awaited(nemesis):
    async def strikes():
        await nemesis.crash("leader", point="coordinator.dispatched")
    asyncio.run(strikes())


async def test_plain_with(plain): ...
async def test_awaited(awaited): ...
"""

NO_NAME = (
    "the handler {} has no name at the top of a file, by which the agents, which are processes of their own, "
    "could find it; define it there with def, or give it a name there: decide = …"
)
FAULT = "squall.chaos.errors.FaultError: "

PRINTED = {
    "test_made_inside": NO_NAME.format("make.<locals>.inner"),
    "test_lambda": NO_NAME.format("<lambda>"),
    "test_partial": NO_NAME.format("functools.partial(<function decide at 0x…>)"),
    "test_no_function": "the handler 3 is not a function; name the function: handler=decide",
    "test_two_arguments": "the handler test_mine:takes_two does not take one argument, the task; give …",
    "test_colour": "@pytest.mark.squall says 'colour', which no spec of hierarchical has; there are …",
    "test_nearly_a_field": (
        "@pytest.mark.squall says 'agnts', which no spec of hierarchical has; did you mean 'agents'?"
    ),
    "test_too_short": (
        "tasks = 60 is too few: a steady state alone needs 375, as the load has to last until all is healed, "
        "8 s at 50 a second; ask for so many, or for fewer a second; or leave tasks out, and the load lasts "
        "as long as it has to"
    ),
    "test_positional": "@pytest.mark.squall takes keywords alone; for instance …",
    "test_pattern": "there is no pattern 'stra'; did you mean 'star'?",
    "test_excused": "excused is ['H9'], not a list of checks; there are H1, …",
    "test_asks_for_none": (
        "test_asks_for_none is marked squall, and asks for no swarm; take swarm or nemesis as an argument"
    ),
    "test_not_async": "test_not_async asks for a swarm, so it must be an async function; write async def",
    "test_in_a_fixture": (
        "RuntimeError: the swarm does not run yet; it starts with the test itself, after all of its fixtures"
    ),
    "test_target": FAULT + "there is no target 'leadr' in this swarm; did you mean leader?",
    "test_fault": "AttributeError: there is no fault 'blackhol'; did you mean 'blackhole'?",
    "test_nobody": FAULT + "crash does not say whom it strikes; there are leader, …",
    "test_point": FAULT + "there is no point 'agent.commited'; there are gateway.delivered, …",
    "test_never_there": FAULT + "gateway never reaches agent.committed; name any-agent or …",
    "test_magnitude": FAULT
    + "latency cannot be so: Object contains unknown field `latncy_ms`; its magnitudes are: …",
    "test_by_name": FAULT + "there is no fault 'crsh'; did you mean crash?",
    "test_plain_with": (
        FAULT + "nemesis.crash('leader') was entered with a plain with; "
        "write: async with nemesis.crash('leader'): …"
    ),
    "test_awaited": (
        FAULT
        + "nemesis.crash('leader', point='coordinator.dispatched') was awaited, and is in force in a block; "
        "write: async with nemesis.crash('leader', point='coordinator.dispatched'): …"
    ),
}
"""By test; what stands where … does may be anything."""


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], str]:
    """What is printed first of each test that cannot be run, and all of it."""
    folder = write(tmp_path_factory.mktemp("refused"), {"test_mine.py": REFUSED})
    code, printed = pytest_in(folder, *AUTO)
    assert code == 1, printed
    return first_lines(printed), printed


@pytest.mark.parametrize("name", PRINTED)
def test_a_mistake_is_told_in_one_sentence(refused: tuple[dict[str, str], str], name: str) -> None:
    expected = re.escape(PRINTED[name]).replace("…", ".*")
    assert re.fullmatch(expected, refused[0][name]), refused[0][name]


def test_no_mistake_is_buried_in_frames_of_ours(refused: tuple[dict[str, str], str]) -> None:
    first, printed = refused
    assert first.keys() == PRINTED.keys()
    assert "/squall/" not in printed
    assert "During handling" not in printed


def test_a_mark_that_a_handler_got_is_no_reason_for_a_test_to_vanish(tmp_path: Path) -> None:
    source = EXAMPLE.replace("handler=decide, rate_per_s=50", "decide")
    code, printed = pytest_in(write(tmp_path, {"test_mine.py": source}))
    said = first_lines(printed)["test_mine.py"]
    assert said == (
        "decide is no test, and is marked squall; name a handler with its keyword: "
        "@pytest.mark.squall(handler=decide)"
    )
    assert code == 2
