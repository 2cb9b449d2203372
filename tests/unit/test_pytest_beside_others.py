"""Whoever else runs async tests, those that ask for a swarm are run with theirs, and once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.unit.pytest_projects import AUTO, EXAMPLE, OWN, STRICT, pytest_in, write

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
