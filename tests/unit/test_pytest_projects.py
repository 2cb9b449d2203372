"""Projects as people write them, each a folder with a pytest of its own: who runs their tests, how the agents
find what they name, and what is printed first of a mistake. No swarm is started."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
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

TAKEN = """
import pytest

@pytest.fixture(autouse=True)
def taken(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
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

WITH_A_FIXTURE = """
import pytest_asyncio

@pytest_asyncio.fixture
async def feed():
    yield "feed"
"""

AUTO = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
STRICT = ["-o", "asyncio_mode=strict", "-o", "asyncio_default_fixture_loop_scope=function"]


def marked(name: str) -> str:
    return EXAMPLE.replace("@pytest.mark.squall", f"@pytest.mark.{name}\n@pytest.mark.squall")


@dataclass(frozen=True)
class Beside:
    """A project that is run beside other plugins."""

    options: list[str]
    test: str = EXAMPLE
    conftest: str = TAKEN
    named: str = "test_survives"


BESIDE = {
    "asyncio auto": Beside(AUTO),
    "asyncio auto, marked": Beside(AUTO, marked("asyncio")),
    "asyncio auto, a method": Beside(AUTO, METHOD),
    "asyncio auto, by another fixture": Beside(AUTO, INDIRECT),
    "asyncio strict": Beside(STRICT),
    "asyncio strict, marked": Beside(STRICT, marked("asyncio")),
    "asyncio strict, with a fixture of its": Beside(
        STRICT, marked("asyncio").replace("swarm, nemesis", "swarm, feed"), TAKEN + WITH_A_FIXTURE
    ),
    "anyio": Beside([], marked("anyio"), named="test_survives[asyncio]"),
    "anyio auto": Beside(["--anyio-mode=auto"], named="test_survives[asyncio]"),
    "asyncio auto and anyio": Beside(AUTO, marked("anyio"), named="test_survives[asyncio]"),
    "xdist": Beside(["-n", "1"]),
    "timeout": Beside(["--timeout=60"]),
    "timeout by a thread": Beside(["--timeout=60", "--timeout-method=thread"]),
    "without what others bring": Beside(
        [
            "-p",
            "no:anyio",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-p",
            "no:randomly",
            "-p",
            "no:xdist",
        ]
    ),
    "warnings are errors": Beside([*AUTO, "-W", "error"]),
}


@pytest.mark.parametrize("name", BESIDE)
def test_whoever_else_runs_async_tests_this_one_is_run_with_its_swarm(tmp_path: Path, name: str) -> None:
    project = BESIDE[name]
    folder = write(tmp_path / "project", {"test_mine.py": project.test, "conftest.py": project.conftest})
    code, printed = pytest_in(folder, *project.options)
    assert code == 1, printed
    assert re.fullmatch(r"/.*/run is not empty; .*", first_lines(printed)[project.named]), printed
    assert "never awaited" not in printed


# How its handler is found.

DECIDES = "async def decide(task):\n    return {}\n"


def asking(source: str, *, handler: str = "decide") -> str:
    return textwrap.dedent(source) + textwrap.dedent(f"""
        import pytest

        @pytest.mark.squall(handler={handler})
        async def test_mine(swarm):
            raise AssertionError("never runs")
        """)


@dataclass(frozen=True)
class Found:
    """A project whose handler returns what it was made of: ``{"of": …}``.

    Attributes:
        handler: By which name agents ask for it.
    """

    files: dict[str, str]
    handler: str
    returned: str
    options: list[str] = field(default_factory=list)


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
SIZED = "async def sized(task, size='small'):\n    return size\n"

FOUND = {
    "in the test's file": Found({"test_mine.py": asking("SIZE = 'own'\n" + USES)}, "test_mine:decide", "own"),
    "a sibling is imported": Found(
        {"tests/helper.py": HELPER, "tests/test_mine.py": asking("from helper import SIZE\n" + USES)},
        "test_mine:decide",
        "helper",
    ),
    "a package of tests, a relative import": Found(
        {
            "tests/__init__.py": "",
            "tests/unit/__init__.py": "",
            "tests/unit/helper.py": HELPER,
            "tests/unit/test_mine.py": asking("from .helper import SIZE\n" + USES),
        },
        "tests.unit.test_mine:decide",
        "helper",
    ),
    "the same with importlib": Found(
        {
            "tests/unit/__init__.py": "",
            "tests/unit/helper.py": HELPER,
            "tests/unit/test_mine.py": asking("from .helper import SIZE\n" + USES),
        },
        "tests.unit.test_mine:decide",
        "helper",
        ["--import-mode=importlib"],
    ),
    "importlib, no package": Found(
        {"checks/test_mine.py": asking("SIZE = 'own'\n" + USES)},
        "checks.test_mine:decide",
        "own",
        ["--import-mode=importlib"],
    ),
    "a package that is called as an installed one": Found(
        {
            "anyio/__init__.py": "",
            "src/rich_of_mine.py": HELPER,
            "anyio/test_mine.py": asking("SIZE = 'own'\n" + USES),
        },
        "anyio.test_mine:decide",
        "own",
        ["--import-mode=importlib"],
    ),
    "pythonpath": Found(
        {
            "src/mine/__init__.py": "",
            "src/mine/strategy.py": "from mine.size import SIZE\n" + USES,
            "src/mine/size.py": HELPER,
            "tests/test_mine.py": asking("from mine.strategy import decide"),
        },
        "mine.strategy:decide",
        "helper",
        ["-o", "pythonpath=src"],
    ),
    "pythonpath, by its name": Found(
        {"src/mine.py": "SIZE = 'src'\n" + USES, "tests/test_mine.py": asking("", handler="'mine:decide'")},
        "mine:decide",
        "src",
        ["-o", "pythonpath=src"],
    ),
    "a path of the conftest's": Found(
        {
            "conftest.py": "import sys, pathlib\nsys.path.insert(0, str(pathlib.Path(__file__).parent / 'lib'))\n",
            "lib/mine.py": "SIZE = 'lib'\n" + USES,
            "tests/test_mine.py": asking("from mine import decide"),
        },
        "mine:decide",
        "lib",
    ),
    "in the conftest": Found(
        {"conftest.py": "SIZE = 'conftest'\n" + USES, "test_mine.py": asking("from conftest import decide")},
        "conftest:decide",
        "conftest",
    ),
    "decorated, and the decorator says what it wraps": Found(
        {
            "wraps.py": WRAPS,
            "test_mine.py": asking("from wraps import again\nSIZE = 'own'\n@again\n" + USES),
        },
        "test_mine:decide",
        "again own",
    ),
    "decorated, and it does not": Found(
        {
            "wraps.py": WRAPS,
            "test_mine.py": asking("from wraps import quietly\nSIZE = 'own'\n@quietly\n" + USES),
        },
        "test_mine:decide",
        "quietly own",
    ),
    "decorated elsewhere": Found(
        {
            "wraps.py": WRAPS,
            "mine.py": "from wraps import quietly\nSIZE = 'own'\n@quietly\n" + USES,
            "test_mine.py": asking("import mine", handler="mine.decide"),
        },
        "mine:decide",
        "quietly own",
    ),
    "a partial with a name": Found(
        {
            "test_mine.py": asking(
                "import functools\n" + SIZED + "large = functools.partial(sized, size='large')\n",
                handler="large",
            )
        },
        "test_mine:large",
        "large",
    ),
    "an object that can be called": Found(
        {
            "test_mine.py": asking(
                """
                class Agent:
                    async def __call__(self, task):
                        return "called"

                agent = Agent()
                """,
                handler="agent",
            )
        },
        "test_mine:agent",
        "called",
    ),
    "a method of an object": Found(
        {
            "test_mine.py": asking(
                """
                class Agent:
                    async def decide(self, task):
                        return "method"

                agent = Agent()
                """,
                handler="agent.decide",
            )
        },
        "test_mine:agent.decide",
        "method",
    ),
    "a static method, and a lambda with a name": Found(
        {
            "test_mine.py": asking(
                """
                small = lambda task: "small"

                class Agent:
                    @staticmethod
                    def decide(task):
                        return small(task)
                """,
                handler="Agent.decide",
            )
        },
        "test_mine:Agent.decide",
        "small",
    ),
}

AGENT = """
import asyncio, inspect, json, sys
from squall.services.handlers.loading import load
from squall.services.node.service import Origin
told = json.loads(sys.argv[1])
handler = load(told["handler"], Origin(path=tuple(told["path"]), file=told["file"]))
returned = handler(None)
print(json.dumps(asyncio.run(returned) if inspect.isawaitable(returned) else returned))
"""


@pytest.mark.parametrize("name", FOUND)
def test_agents_find_the_handler_that_a_test_names(tmp_path: Path, name: str) -> None:
    project = FOUND[name]
    folder, said = write(tmp_path / "project", project.files), tmp_path / "handed_on"
    code, printed = pytest_in(
        folder, "-p", "handed_on", "--setup-only", *project.options, HANDED_ON=str(said)
    )
    assert code == 0, printed
    told = json.loads(said.read_text())
    assert told["handler"] == project.handler
    agent = subprocess.run(
        [sys.executable, "-P", "-c", AGENT, json.dumps(told)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (agent.stdout.strip(), agent.returncode) == (json.dumps(project.returned), 0), agent.stderr


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
    "test_two_arguments": "the handler test_mine:takes_two does not take one argument, the task",
    "test_colour": "@pytest.mark.squall says 'colour', which no spec of hierarchical has; there are ack_wait_s, …",
    "test_nearly_a_field": (
        "@pytest.mark.squall says 'agnts', which no spec of hierarchical has; did you mean 'agents'?"
    ),
    "test_positional": "@pytest.mark.squall takes keywords alone; for instance handler=decide, or pattern='star'",
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
        FAULT
        + "nemesis.crash('leader') was entered with a plain with; write: async with nemesis.crash('leader'): …"
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
    source = "import pytest\nasync def decide(task): ...\n@pytest.mark.squall(decide)\nasync def test_it(swarm): ...\n"
    code, printed = pytest_in(write(tmp_path, {"test_mine.py": source}))
    said = first_lines(printed)["test_mine.py"]
    assert said == (
        "decide is no test, and is marked squall; name a handler with its keyword: @pytest.mark.squall(handler=decide)"
    )
    assert code == 2
