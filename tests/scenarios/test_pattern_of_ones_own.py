"""A pattern that a package brings, `tests/packages/fan_out`: run, planned, broken, judged, traced, reported.

Nothing of Squall knows it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.scenarios.conftest import SQUALL

from squall.services.trading.workload import independent

pytestmark = [pytest.mark.nats, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests" / "packages" / "fan_out"

LINES_MAX = 210
"""Of the pattern, its role, its checks and its mutant, without empty ones."""

Command = Callable[..., "CompletedProcess[str]"]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """``command("run", "fan-out")`` where the package is installed, in one folder for the whole module."""
    folder = tmp_path_factory.mktemp("own")
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    facts = folder / "site" / f"{project['name']}-{project['version']}.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (facts / "entry_points.txt").write_text("\n".join(groups))
    environment = {**os.environ, "PYTHONPATH": f"{folder / 'site'}{os.pathsep}{PACKAGE}"}

    def call(*arguments: str, program: Path = SQUALL) -> CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    return call


@pytest.fixture(scope="module")
def ran(command: Command) -> dict[str, Any]:
    """The document of one run, in the directory ``ran``."""
    run = command("run", "fan-out", "--tasks", "300", "--out", "ran", "--json")
    assert run.returncode == 0, run.stderr
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def test_it_runs_and_its_own_check_passes(ran: dict[str, Any]) -> None:
    checks = {check["id"]: check for check in ran["checks"]}
    assert {name: check["verdict"] for name, check in checks.items()} == dict.fromkeys(
        ["F1", "F2", "E1", "U1"], "pass"
    )
    assert "later answers were refused" in checks["F1"]["detail"]
    assert (ran["pattern"], ran["accepted"], ran["effects"]) == ("fan-out", 300, 300)
    assert ran["duplicates_suppressed"] > 0


def test_it_is_planned(command: Command) -> None:
    planned = command("plan", "fan-out", "--agents", "4", "--json")
    assert planned.returncode == 0, planned.stderr
    document = json.loads(planned.stdout)
    assert [node["node"] for node in document["nodes"] if node["role"] == "agent"] == [
        f"agent-{number}" for number in range(1, 5)
    ]
    assert {stream["stream"] for stream in document["streams"]} == {"SQUALL_IN", "SQUALL_RES", "SQUALL_TRY"}


def test_its_directory_is_judged_again_reported_and_traced(command: Command, ran: dict[str, Any]) -> None:
    again = command("check", "ran", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["checks"] == ran["checks"]
    reported = command("report", "ran", "--out", "page.html")
    assert reported.returncode == 0, reported.stderr
    offer = next(independent(ran["seed"], 1))
    traced = command("trace", f"{offer.key}-{offer.number}", "--run", "ran", "--json")
    assert traced.returncode == 0, traced.stderr
    moments = [moment["what"] for moment in json.loads(traced.stdout)["moments"]]
    assert moments.count("attempt 1 committed") == 1
    assert "attempt 1 suppressed" in moments
    assert json.loads(traced.stdout)["not_recorded"] == []


def test_its_own_fields_are_held_to_as_ours_are(command: Command, tmp_path: Path) -> None:
    typo = tmp_path / "typo.toml"
    typo.write_text('pattern = "fan-out"\ncopie = 2\n')
    refused = command("run", str(typo))
    assert refused.returncode == 2
    assert "says 'copie', which no spec of fan-out has; did you mean 'copies'?" in refused.stderr
    refused = command("run", "fan-out", "--agents", "2")
    assert refused.returncode == 2
    assert "3 copies of a task need more than 2 agents; lower copies to 2" in refused.stderr


@pytest.mark.everything
@pytest.mark.toxiproxy
def test_it_survives_the_crash_of_an_agent(command: Command) -> None:
    series = command(
        "chaos", "fan-out", "--rate", "50", "--fault", "crash@any-agent", "--out", "series", "--json"
    )
    assert series.returncode == 0, series.stderr
    document = json.loads(series.stdout)
    (run,) = document["runs"]
    assert run["faults"]
    assert all(fault["verified"] for fault in run["faults"])
    assert {check["id"] for check in run["checks"]} == {"F1", "F2", "E1", "L1", "U1"}
    assert {step["what"] for step in document["recovery"]} == {"drain"}  # nobody leads
    refused = command("chaos", "fan-out", "--fault", "pause@leader")
    assert refused.returncode == 2
    assert "nobody leads in the pattern fan-out" in refused.stderr


MUTATED = """
import asyncio
from pathlib import Path

from squall.chaos.mutants.catalogues import catalogue_of
from squall.services.cli.asked import resolve
from squall.services.run.directory import claim
from squall.services.run.driven import driven
from squall.services.run.result import judge

mutant, = catalogue_of("fan-out").mutants


async def run(spec, directory):
    async with driven(spec, directory, progress=lambda text: None, preload=mutant.module) as run:
        await run.swarm.producer


spec = resolve("fan-out", tasks=200)
with claim(spec, Path("mutated")) as directory:
    asyncio.run(run(spec, directory))
failed = [check.id for check in judge(Path("mutated")).checks if check.verdict == "fail"]
assert failed and set(failed) <= set(mutant.checks), failed
"""


JOINS = """
import asyncio
import json
import os
import signal
from pathlib import Path

from fan_out.pattern import FanOutSpec
from squall.bus.jetstream import call
from squall.services.errors import LaunchError
from squall.services.run.directory import claim
from squall.services.run.driven import driven


async def nobody_joins_without_the_broker(swarm, directory):
    nodes = map(json.loads, (directory.path / "nodes.jsonl").read_text().splitlines())
    broker = next(node["pid"] for node in nodes if node["node"] == "broker")
    os.kill(broker, signal.SIGSTOP)
    try:
        await swarm.add("agent")
    except LaunchError as error:
        assert "agent-4 cannot join" in str(error), error
    else:
        raise AssertionError("it joined")
    finally:
        os.kill(broker, signal.SIGCONT)
    assert swarm.of_role("agent") == ["agent-1", "agent-2", "agent-3"]


async def main(directory):
    async with driven(FanOutSpec(agents=3, tasks=1200, rate_per_s=60.0), directory, progress=print) as run:
        await run.steady()
        await nobody_joins_without_the_broker(run.swarm, directory)
        assert await run.swarm.add("agent") == "agent-5"
        pulls_from = [run.swarm.observer, "CONSUMER", "INFO", run.swarm.swarm.stream("IN")]
        while not (await call(*pulls_from, "agent-5"))["ack_floor"]["consumer_seq"]:
            await asyncio.sleep(0.1)
        await run.swarm.remove("agent-2")
        ingress = await call(*pulls_from[:1], "STREAM", "INFO", run.swarm.swarm.stream("IN"))
        assert ingress["state"]["consumer_count"] == 3, ingress
        await run.finish(30)


with claim(FanOutSpec(agents=3, tasks=1200, rate_per_s=60.0), Path("joined")) as directory:
    asyncio.run(main(directory))
"""


@pytest.mark.everything
def test_an_agent_that_joins_has_a_consumer_and_one_that_left_has_none(command: Command) -> None:
    """With one that stayed, no task would ever leave the ingress."""
    joined = command("-c", JOINS, program=Path(sys.executable))
    assert joined.returncode == 0, joined.stderr
    judged = command("check", "joined", "--json")
    document = json.loads(judged.stdout)
    assert (document["lost"], document["duplicated"]) == (0, 0)
    assert document["accepted"] == document["effects"] > 0


def test_its_own_check_fails_a_mutant_of_it(command: Command) -> None:
    proved = command("-c", MUTATED, program=Path(sys.executable))
    assert proved.returncode == 0, proved.stderr
    again = command("check", "mutated")
    assert again.returncode == 1
    assert "several answers that were told they are the first" in " ".join(again.stdout.split())


def test_the_plugin_starts_it_and_knows_its_checks(command: Command, tmp_path: Path) -> None:
    mine = tmp_path / "test_mine.py"
    mine.write_text(
        'import pytest\n\n\n@pytest.mark.squall(pattern="fan-out", excused=["H1"])\n'
        'async def test_excused(swarm):\n    raise AssertionError("never runs")\n\n\n'
        '@pytest.mark.squall(pattern="fan-out", copis=2)\n'
        'async def test_typo(swarm):\n    raise AssertionError("never runs")\n'
    )
    options = ("-m", "pytest", "-q", "-p", "no:cacheprovider", str(mine))
    said = command(*options, program=Path(sys.executable))
    assert said.returncode == 1
    assert "excused is ['H1'], not a list of checks; there are F1, F2" in said.stdout
    assert "says 'copis', which no spec of fan-out has; did you mean 'copies'" in said.stdout


def test_nothing_of_squall_knows_it() -> None:
    knowing = [
        str(path)
        for part in ("bus", "services", "chaos")
        for path in (ROOT / part).rglob("*.py")
        if re.search(r"(?i)fan[-_ ]?out", path.read_text())
    ]
    assert knowing == []


def test_it_is_short_and_its_page_shows_it_as_it_is() -> None:
    sources = sorted((PACKAGE / "fan_out").glob("*.py"))
    lines = [line for path in sources for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) <= LINES_MAX
    page = (ROOT / "services/OWN-PATTERN.md").read_text()
    shown = [*sources, PACKAGE / "pyproject.toml"]
    missing = [path.name for path in shown if path.stem != "__init__" and path.read_text() not in page]
    assert missing == []
