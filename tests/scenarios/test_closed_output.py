"""A swarm whose result nobody reads is judged all the same, and the exit code is that of its verdict."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import msgspec
import pytest
from tests.scenarios.conftest import SQUALL

from squall.services.run.result import Result, exit_code

pytestmark = [pytest.mark.nats, pytest.mark.slow]

LITTLE = "run hierarchical --agents 2 --tasks 100 --rate 100 --out out"

SCHEDULE = """
seed = 5

[[interval]]
fault = "crash"
target = "any-agent"
at_s = 0.5
"""


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Do a line of a shell in which ``squall`` is ours."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{shlex.quote(str(SQUALL))} {line}"],
        cwd=folder,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def code_of(run: Path) -> int:
    """What the verdict of a run stands for."""
    return exit_code(msgspec.json.decode((run / "result.json").read_bytes(), type=Result))


@pytest.mark.parametrize("where", [">&-", "--json | head -c 0"])
def test_the_code_of_a_run_is_that_of_its_verdict(tmp_path: Path, where: str) -> None:
    done = shell(f"{LITTLE} {where}", tmp_path)
    assert done.returncode == code_of(tmp_path / "out"), done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.everything
@pytest.mark.toxiproxy
def test_the_code_of_a_series_is_that_of_its_verdict(tmp_path: Path) -> None:
    (tmp_path / "schedule.toml").write_text(SCHEDULE)
    done = shell("chaos hierarchical --schedule schedule.toml --out out --json >&-", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "report.html").exists()
