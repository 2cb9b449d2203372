"""Tries the mutant that is in the work tree: unit tests and the simulator, then real servers, if it lives.

what git says is changed ─► tests/unit of it ─► schedules of its patterns ─► alive? tests/integration of it
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

SCHEDULES = 2
LONGER = 25
"""Schedules of each pattern that runs the code, from seed 1: of what a test has killed, and of what lives."""

SCHEDULE_S = 10.0
"""What takes so much of a core does not end: a schedule takes a quarter of a second."""

TEST_S = 60
TESTS_S = 240
"""What one test takes at most, and all of them."""

STAGES = ("unit", "simulation", "integration")

OF_CHAOS = "from squall.chaos"
"""Tests of the judge import what a swarm's limits are, and say nothing of the swarm."""

ONLY: Mapping[str, tuple[str, ...]] = {
    "rules/conduct": (),
    "roles/agent": ("hierarchical",),
    "roles/coordinator": ("hierarchical",),
    "roles/job_writer": ("hierarchical",),
    "roles/restore": ("hierarchical",),
    "roles/sweeper": ("hierarchical",),
    "rules/admission": ("hierarchical",),
    "rules/dispatch": ("hierarchical",),
    "roles/announced": ("star",),
    "roles/gated_gateway": ("star",),
    "roles/hub": ("star",),
    "roles/spoke": ("star",),
    "rules/hub": ("star",),
    "rules/exposure": ("star",),
    "rules/degrade": ("star",),
    "rules/gossip": ("mesh",),
    "rules/proposing": ("mesh",),
    "rules/quorum": ("mesh",),
    "rules/suspicion": ("mesh",),
    "rules/vot": ("mesh",),
    "rules/breaker": ("ring",),
    "rules/placement": ("ring",),
    "rules/shared_breaker": ("ring",),
}
"""Which patterns run it, by how its path begins; all, if it is not here. The warden is not simulated."""


_exit = os._exit  # while a world is simulated, the other one is a node's


def changed() -> Path:
    """The module that is mutated."""
    command = ["git", "diff", "--name-only", "--", "bus", "services"]
    (path,) = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return Path(path)


def tests_of(module: Path, folder: str) -> list[str]:
    """The files of tests that import it."""
    *packages, name = module.with_suffix("").parts[1:]
    package = re.escape(".".join(packages))
    imports = re.compile(rf"^(from|import) {package}(\.{name}\b| import .*\b{name}\b)", re.MULTILINE)
    found = {path: path.read_text() for path in sorted(Path(folder).glob("test_*.py"))}
    return [str(path) for path, text in found.items() if imports.search(text) and OF_CHAOS not in text]


def by_tests(module: Path, folder: str) -> str:
    """Which test kills it, or nothing."""
    files = tests_of(module, folder)
    if not files:
        return ""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider"]
    command += [f"--timeout={TEST_S}", *files]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TESTS_S)
    except subprocess.TimeoutExpired:
        return "does not end"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return "" if done.returncode == 0 else failed[1] if failed else f"pytest ends with {done.returncode}"


def by_simulation(module: Path, last: int) -> str:
    """Which schedule and check kill it, or nothing; in a process of its own, as one may hang."""
    command = [sys.executable, "-m", "squall_mutation.tried", str(last), *patterns_of(module)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    errors = [line for line in done.stderr.splitlines() if "Error" in line[:60]]
    return (done.stdout.splitlines() + errors[-1:] + [f"ends with {done.returncode}"])[0]


def patterns_of(module: Path) -> Iterable[str]:
    """The patterns that run it."""
    path = "/".join(module.with_suffix("").parts[-2:])
    return next(
        (those for begins, those in ONLY.items() if path.startswith(begins)), ("hierarchical", "star")
    )


def simulate(last: int, patterns: Iterable[str]) -> None:
    """Exit with what failed first, if anything does."""
    from squall.chaos.cli.setup import spec_of
    from squall.chaos.simulation.draw import TASKS
    from squall.chaos.simulation.outcome import Plan, outcome

    plans = [Plan(spec=spec_of(pattern, tasks_of_load=TASKS)) for pattern in patterns]
    at = ""
    signal.signal(signal.SIGVTALRM, lambda number, frame: _end(f"{at} does not end"))
    for seed in range(1, last + 1):
        for plan in plans:
            at = f"{plan.spec.pattern} {seed}"
            signal.setitimer(signal.ITIMER_VIRTUAL, SCHEDULE_S)
            found = outcome(plan, seed)
            if found.verdict != "pass":
                _end(f"{at} {found.verdict} {' '.join(check.id for check in found.failed) or found.why}")


def _end(said: str) -> None:
    sys.stdout.write(f"{said}\n")
    sys.stdout.flush()
    _exit(1)


def main() -> None:
    """The command: one line a stage, and 1 if one of them kills."""
    module = changed()
    units = by_tests(module, "tests/unit")
    simulation = by_simulation(module, SCHEDULES if units else LONGER)
    servers = "" if units or simulation else by_tests(module, "tests/integration")
    for stage, killed_by in zip(STAGES, (units, simulation, servers), strict=True):
        sys.stdout.write(f"{stage}: {killed_by or '-'}\n")
    sys.exit(1 if units or simulation or servers else 0)


if __name__ == "__main__":
    simulate(int(sys.argv[1]), sys.argv[2:])
