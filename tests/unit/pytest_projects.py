"""Projects as people write them: each a folder with a pytest of its own. No swarm is started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

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


AUTO = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
STRICT = ["-o", "asyncio_mode=strict", "-o", "asyncio_default_fixture_loop_scope=function"]
OWN = ["plain", "a method", "by a fixture of one's own", "marked anyio"]
