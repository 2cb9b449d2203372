"""Every command line of README and its page does what they say, in the order in which a reader types them.

They share a folder, as they do a reader's: README's files are in it, and the run that `check`, `trace` and
`report` look at is the one that the first line made.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from tests.scenarios.conftest import SQUALL
from tests.scenarios.readme import OWN_PATTERN, README, Line, files_of, lines_of

TEXT = README.read_text() + OWN_PATTERN.read_text()

WANT_OF_TIME = "The machine had no time left"

NARROWED_EXIT = 0
"""Of a series that is narrowed to faults, or to a schedule, and in which all that was exercised passed."""

OWN_PACKAGE = "needs the package fan-out; tests/scenarios/test_pattern_of_ones_own.py runs it"
INSTALLS = "installs into a project of one's own, from a place that is the reader's"
BENCHMARK = "measures for minutes on a machine of its own; run by hand"

SIMULATED = "takes all cores, from whatever else is tested then; tests/simulation does as much alone"

NOT_RUN = {
    "uv run pytest": "is what runs this",
    'uv add "squall[chaos] @ ../squall"': INSTALLS,
    'uv add "squall[chaos] @ git+file:///srv/git/squall"': INSTALLS,
    "uv add --dev pytest": INSTALLS,
    "uv pip install ./tests/packages/fan_out && uv run squall run fan-out": OWN_PACKAGE,
    "squall run fan-out --tasks 300": OWN_PACKAGE,
    "squall chaos fan-out --fault crash@any-agent --fault blackhole@any-agent": OWN_PACKAGE,
    "squall chaos hierarchical fan-out --seeds 3": OWN_PACKAGE,
    "uv run squall chaos hierarchical star --seeds 10": "takes a quarter of an hour; "
    "tests/scenarios/test_series.py runs shorter series of both",
    "uv run squall chaos hierarchical --toxiproxy-port 8474": "is a whole series, at a port that may be "
    "taken; tests/scenarios/test_chaos.py asks for a port",
    "uv run squall simulate hierarchical --schedules 100": SIMULATED,
    "uv run squall simulate ./swarm.toml --tasks 60 --schedule schedule.toml --schedules 10": SIMULATED,
    "uv run python chaos/bench/dispatch.py --rounds 4": BENCHMARK,
    "uv run python chaos/bench/proxy_overhead.py": BENCHMARK,
    "uv run python chaos/bench/blackhole.py": BENCHMARK,
    "uv run python chaos/bench/million.py --rate 2400": BENCHMARK,
    "uv run python chaos/bench/agents.py --agents 10,100,1000,5000 --real 10,60": BENCHMARK,
    "uv run --group check python tests/check.py": "is what runs this",
    'uv run pytest -m "not slow and not everything"': "is a part of what runs this",
    'uv run pytest -m ""': "takes an hour",
    "uv venv && uv pip install --require-hashes -r .ci/constraints.txt && "
    "uv pip install --no-deps --no-build-isolation -e .": "makes an environment; .ci/run does it",
    ".ci/pin": "writes into the repository what the registry has today",
}
"""What is not run, and why."""

RUN_ELSEWHERE = {
    "uv run squall run mesh": "tests/scenarios/test_mesh_membership.py",
    "uv run squall chaos hierarchical --schedule schedule.toml": "tests/scenarios/test_chaos.py",
    "uv run squall chaos ring --fault errors@stage-3 --fault slow@stage-2": "tests/simulation/test_ring.py",
}
"""What is run where everything is asked for only, and where else such a swarm is."""


def _marks(line: str) -> list[pytest.MarkDecorator]:
    # A test of one's own passes where no check is unknown, for which the machine must have time left.
    alone = [pytest.mark.alone] if "pytest" in line else []
    return [*alone, pytest.mark.everything] if line in RUN_ELSEWHERE else alone


RUN = [
    pytest.param(line, marks=_marks(line.text), id=line.text)
    for line in lines_of(TEXT)
    if line.text not in NOT_RUN
]

FIRST = "uv run squall run hierarchical"


class Reader:
    """Somebody who types README's lines in one folder.

    Args:
        folder: Where; README's files are written there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._run: Path | None = None
        for name, content in files_of(TEXT).items():
            if "/" not in name and name != "pyproject.toml":  # which is of the package
                (folder / name).write_text(content)

    def types(self, line: str) -> subprocess.CompletedProcess[str]:
        """What comes of a line, in which the id of a run and of a task are filled in."""
        before = self._runs()
        done = subprocess.run(
            self._arguments(line),
            cwd=self.folder,
            env={**os.environ, "PATH": f"{SQUALL.parent}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        if line == FIRST:
            (self._run,) = self._runs() - before
        return done

    def run(self) -> Path:
        """The run of README's first line, which is made if it was not yet."""
        if self._run is None:
            self.types(FIRST)
        assert self._run is not None
        return self._run

    def _runs(self) -> set[Path]:
        runs = self.folder / "runs"
        return set(runs.iterdir()) if runs.exists() else set()

    def _arguments(self, line: str) -> list[str]:
        if "<id>" in line:
            line = line.replace("<id>", self.run().name)
        if re.search(r"\bTASK\b", line):
            history = (self.run() / "history.jsonl").read_text().splitlines()
            task = next(fact["task"] for fact in map(json.loads, history) if fact["op"] == "submit")
            line = f"{line.replace('TASK', task)} --run {shlex.quote(str(self.run()))}"
        assert "&&" not in line, "say in NOT_RUN why this is not run, or run its parts"
        return shlex.split(line.removeprefix("uv run "))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("reader"))


def is_for_want_of_time(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a series in which nothing failed came to no verdict, as other tests kept the machine busy."""
    return done.returncode == 3 and WANT_OF_TIME in " ".join(done.stdout.split())


@pytest.mark.nats
@pytest.mark.toxiproxy
@pytest.mark.slow
@pytest.mark.parametrize("line", RUN)
def test_a_line_exits_as_readme_says(reader: Reader, line: Line) -> None:
    is_narrowed = re.search(r"squall chaos\b.*(--fault|--schedule)", line.text) is not None
    done = reader.types(line.text)
    if not (is_narrowed and is_for_want_of_time(done)):
        assert done.returncode == (NARROWED_EXIT if is_narrowed else line.code), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_not_run_is_in_readme() -> None:
    assert set(NOT_RUN) <= {line.text for line in lines_of(TEXT)}


def test_every_kind_of_line_is_found() -> None:
    text = """
    squall run star    # exits with 3
    squall       7,618 tasks/s
    uv venv && \\
        uv sync

```sh
$ squall check runs/<id>
```
```
squall plan star
```
```toml
# swarm.toml       uv run squall run ./swarm.toml
agents = 2         # uv run squall doctor
```
"""
    assert lines_of(text) == [
        Line("squall run star", 3),
        Line("uv venv && uv sync"),
        Line("squall check runs/<id>"),
        Line("uv run squall run ./swarm.toml"),
    ]
    assert list(files_of(text)) == ["swarm.toml"]
    assert {"swarm.toml", "schedule.toml", "mine.py", "test_mine.py"} <= set(files_of(TEXT))
    assert len(RUN) > 10
