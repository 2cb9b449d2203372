"""A bounded number of schedules of every pattern, on every run; and the same seed comes to the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from squall.chaos.cli.setup import spec_of
from squall.chaos.simulation.draw import TASKS
from squall.chaos.simulation.outcome import Plan, outcome
from squall.services.patterns import names

# Alone, since what is simulated takes all of a core or two, and would take them from swarms of other tests.
pytestmark = pytest.mark.simulation

FIRST = 1
SCHEDULES = 12


@pytest.fixture
def squall(tmp_path: Path) -> Path:
    command = Path(sys.executable).with_name("squall")
    assert command.exists(), "install the project first"
    return command


@pytest.mark.parametrize("pattern", names())
def test_every_check_passes_or_is_unknown_in_every_schedule(pattern: str) -> None:
    plan = Plan(spec=spec_of(pattern, tasks_of_load=TASKS))
    found = [outcome(plan, seed) for seed in range(FIRST, FIRST + SCHEDULES)]
    bad = [each for each in found if each.verdict != "pass"]
    assert not bad, bad[0]
    assert all(each.accepted for each in found)
    assert sum(each.faults for each in found) > SCHEDULES
    passed = {check for each in found for check in each.passed}
    assert {"E1", "L1", "U1", "U2"} <= passed


@pytest.mark.parametrize("pattern", names())
def test_the_same_seeds_come_to_the_same_in_another_process(pattern: str, squall: Path) -> None:
    digests = set()
    for hash_seed in ("1", "random"):
        done = subprocess.run(
            [squall, "simulate", pattern, "--schedules", "2", "--seed", "71", "--quiet", "--json"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        (simulated,) = json.loads(done.stdout)["simulated"]
        assert simulated["schedules"] == 2
        digests.add(simulated["digest"])
    assert len(digests) == 1


DUMB = 'pattern = "hierarchical"\nvenue = "dumb"\nrate_per_s = 40\n'


def test_the_first_that_fails_is_made_small_and_can_be_repeated(squall: Path, tmp_path: Path) -> None:
    """A venue that fills whatever comes shows that what is counted can rise."""
    (tmp_path / "swarm.toml").write_text(DUMB)
    asked = ["simulate", "./swarm.toml", "--schedules", "3", "--quiet", "--json", "--out", "out"]
    done = subprocess.run([squall, *asked], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1, done.stderr
    (simulated,) = json.loads(done.stdout)["simulated"]
    assert simulated["verdict"] == "fail"
    small = simulated["smallest"]
    assert {"H1", "H2"} <= {check["id"] for check in small["failed"]}
    (directory,) = (tmp_path / "out").iterdir()
    assert (directory / "schedule.toml").read_text().count("[[interval]]") < 4
    again = subprocess.run(
        [squall, *simulated["repeat"].split()[1:], "--quiet", "--json", "--out", "again"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert again.returncode == 1, again.stderr
    (repeated,) = json.loads(again.stdout)["simulated"]
    assert repeated["failing"][0]["digest"] == small["digest"]
    told = subprocess.run([squall, "check", directory], cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 1
    assert "simulat" in told.stdout
    shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["nosuch"], "there is no pattern"),
        (["--schedules", "0"], "schedules"),
        (["star", "hierarchical", "--schedule", "x.toml"], "--schedule says what is done, and to one swarm"),
        (["--schedule", "x.toml"], "cannot be read"),
    ],
)
def test_what_cannot_be_simulated_is_one_sentence(
    asked: list[str], says: str, squall: Path, tmp_path: Path
) -> None:
    done = subprocess.run([squall, "simulate", *asked], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert says in done.stderr
    assert not list(tmp_path.iterdir())
