"""The fixtures in somebody else's project, with ``bus``, ``services`` and ``chaos`` folders of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow]

ROOT = Path(__file__).parents[2]

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


MISTAKEN = """
import pytest, time


async def raises(task):
    raise ValueError("no price today")


def returns_a_text(task):
    return "buy"


async def blocks(task):
    time.sleep(0.6)
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}


@pytest.mark.squall(handler=HANDLER, rate_per_s=50)
async def test_of_a_handler(swarm, nemesis):
    async with nemesis.crash("leader"):
        await swarm.progress(50)
"""

FORGOTTEN = """
import pytest


async def decide(task):
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}


@pytest.mark.squall(handler=decide, rate_per_s=50)
async def test_forgets(swarm, nemesis):
    with pytest.raises(Exception, match="there is no target 'leadr'"):
        nemesis.crash("leadr")
    with pytest.raises(TimeoutError, match=r"of 10,000 more tasks ended in 0.5 s"):
        await swarm.progress(10_000, timeout_s=0.5)
    nemesis.blackhole("leader")
    await swarm.progress(50)


@pytest.mark.timeout(12)
@pytest.mark.squall(handler=decide, rate_per_s=50)
async def test_is_late(swarm, nemesis):
    async with nemesis.blackhole("gateway"):
        await swarm.progress(900_000)
"""

AGAIN = "again       uv run pytest {}::{} --randomly-seed=3  # seed 7"


def failure_of(printed: str, test: str) -> list[str]:
    """The lines of a failure, from its first on."""
    _, _, after = printed.partition(f"_ {test} _")
    text = re.split(r"^_{3,}|^={3,}|^~{3,}|^-{3,}", after.partition("\n")[2], flags=re.MULTILINE)[0]
    return [line for line in text.splitlines() if line]


AUTO = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]


@pytest.mark.alone  # it starts two swarms at once
def test_the_example_of_the_readme_passes_beside_every_other_plugin(tmp_path: Path) -> None:
    own = "import bus, chaos, services\n\ndef test_own():\n    assert bus.OWN == 'bus'\n"
    again = example().replace("@pytest.mark.squall", "@pytest.mark.anyio\n@pytest.mark.squall")
    folder = project(tmp_path, test_example=example(), test_own=own, test_again=again)
    code, said = pytest_in(folder, "-n", "2", "-q", *AUTO, "-W", "error", "--timeout=120")
    assert code == 0, said
    assert re.search(r"\b3 passed", said)


@pytest.mark.parametrize(
    ("handler", "first"),
    [
        (
            "raises",
            r"the handler test_mine:raises raised ValueError: no price today, at test_mine\.py:6 in raises "
            r"\(.* times\); mend it.*",
        ),
        (
            "returns_a_text",
            r"the handler test_mine:returns_a_text returned what is no order: .* \(.* times\); mend it.*",
        ),
        (
            "blocks",
            r"the handler test_mine:blocks held up its agents .*, at test_mine\.py:14 in blocks: "
            r"time\.sleep\(0\.6\), and the swarm does not keep up; make it a plain function.*",
        ),
    ],
)
def test_a_handlers_mistake_is_the_first_line_of_the_failure(
    tmp_path: Path, handler: str, first: str
) -> None:
    folder = project(tmp_path, test_mine=MISTAKEN.replace("HANDLER", handler))
    code, said = pytest_in(folder, "-q", "-p", "randomly", "-p", "no:asyncio", "--randomly-seed=3")
    assert code == 1, said
    lines = failure_of(said, "test_of_a_handler")
    assert re.fullmatch(first, lines[0]), said
    run = lines[1].removeprefix("the run     ")
    assert Path(run, "history.jsonl").exists()
    assert lines[2] == AGAIN.format("test_mine.py", "test_of_a_handler")
    assert re.fullmatch(rf"one task    uv run squall trace \S+-\d+ --run {run}", lines[4]), lines
    assert len(lines) == 5, "no frames of ours"


@pytest.mark.alone
def test_a_fault_that_is_forgotten_and_a_time_out_fail_a_test_in_one_sentence(
    tmp_path: Path, is_alive: Any
) -> None:
    folder = project(tmp_path, test_mine=FORGOTTEN)
    code, said = pytest_in(folder, "-q", *AUTO, "--randomly-seed=3")
    assert code == 1, said
    assert re.search(r"\b2 failed", said)
    forgotten, late = failure_of(said, "test_forgets"), failure_of(said, "test_is_late")
    assert forgotten[0] == (
        f"nemesis.blackhole('leader') at {folder / 'test_mine.py'}:15 was never in force; "
        "write: async with nemesis.blackhole('leader'): …"
    )
    assert re.fullmatch(r"Timeout \(>12\.0s\) from pytest-timeout\.", late[0]), said
    for lines, test in ((forgotten, "test_forgets"), (late, "test_is_late")):
        assert lines[2] == AGAIN.format("test_mine.py", test)
    nodes = Path(late[1].removeprefix("the run     "), "nodes.jsonl").read_text().splitlines()
    assert [pid for pid in (json.loads(node)["pid"] for node in nodes) if is_alive(pid)] == []


@pytest.mark.everything
def test_a_handler_that_does_not_repeat_itself_is_found_out(tmp_path: Path) -> None:
    code, said = pytest_in(project(tmp_path, test_forgetful=FORGETFUL), "-q")
    assert code == 1
    lines = [line.removeprefix("E").strip() for line in said.splitlines() if line.startswith("E  ")]
    assert lines[0] == "AssertionError: a repeat ordered more"
    assert [line.partition("  ")[0] for line in lines[-4:]] == ["the run", "again", "its page", "one task"]
    assert "/squall/" not in said, "frames of ours"
