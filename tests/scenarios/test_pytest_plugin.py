"""The fixtures in somebody else's project, with ``bus``, ``services`` and ``chaos`` folders of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow]

ROOT = Path(__file__).parents[2]

BAD = """
import pytest


async def test_a_handler_made_inside_is_refused():
    pass


def make():
    async def decide(task):
        return None
    return decide


@pytest.mark.squall(handler=make())
async def test_closure(swarm):
    raise AssertionError("never runs")


@pytest.mark.squall(handler=lambda task: None)
async def test_lambda(swarm):
    raise AssertionError("never runs")


@pytest.mark.squall(agnts=3)
async def test_typo(swarm):
    raise AssertionError("never runs")


def test_not_async(swarm):
    raise AssertionError("never runs")
"""

FORGETFUL = '''
import pytest


async def decide(task):
    """Orders what the attempt says, so a repeat is another order."""
    order = {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "price": 1.0}
    return [{**order, "quantity": 1}] * task.attempt


@pytest.mark.squall(handler=decide, rate_per_s=100)
async def test_asserts_on_what_happened(swarm, nemesis):
    async with nemesis.crash("any-agent", point="agent.executed"):
        await swarm.progress(50)
    result = await swarm.finish()
    repeated = [r for r in swarm.history().registers if len(r.effects) > 1]
    assert repeated == [], "a repeat ordered more"
'''


def project(folder: Path, **files: str) -> Path:
    """A project with folders named like Squall's parts."""
    for name in ("bus", "services", "chaos"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"OWN = {name!r}\n")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def pytest_in(folder: Path, *options: str) -> tuple[int, str]:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return run.returncode, run.stdout + run.stderr


def example() -> str:
    """The example of the README, word for word."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return next(block for block in blocks if "pytest.mark.squall" in block)


@pytest.mark.alone  # it starts two swarms at once
def test_the_example_of_the_readme_passes_also_under_xdist(tmp_path: Path) -> None:
    own = "import bus, chaos, services\n\ndef test_own():\n    assert bus.OWN == 'bus'\n"
    folder = project(tmp_path, test_example=example(), test_own=own, test_again=example())
    code, said = pytest_in(folder, "-n", "2", "-q")
    assert code == 0, said
    assert re.search(r"\b3 passed", said)


def test_what_cannot_be_run_is_one_sentence(tmp_path: Path) -> None:
    code, said = pytest_in(project(tmp_path, test_bad=BAD), "-q", "-k", "closure or lambda or typo or async")
    assert code == 1
    assert "never runs" not in said.replace('raise AssertionError("never runs")', "")
    assert said.count("define it with def at the top of a file") >= 2
    assert "agnts" in said
    assert "must be an async function" in said


def test_a_handler_that_does_not_repeat_itself_is_found_out(tmp_path: Path) -> None:
    code, said = pytest_in(project(tmp_path, test_forgetful=FORGETFUL), "-q")
    assert code == 1
    assert "a repeat ordered more" in said
