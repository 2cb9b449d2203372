"""Tries the mutant that is in the work tree: its unit tests and the simulator, then longer, if it lives.

what git says is changed ─┬─► tests/unit of it ────────┬─ alive ─► more schedules ─► tests/integration of it
                          └─► schedules of its patterns ┘
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

SCHEDULES = 10
LONGER = 40
"""Schedules of each pattern that runs the code, from seed 1: of every mutant, and of one that lives."""

SCHEDULE_S = 60
"""What does not end in so long hangs: a schedule takes a quarter of a second."""

TESTS_S = 240

ONLY = {
    "roles/agent": ("hierarchical",),
    "roles/coordinator": ("hierarchical",),
    "roles/job_writer": ("hierarchical",),
    "roles/restore": ("hierarchical",),
    "roles/sweeper": ("hierarchical",),
    "rules/dispatch": ("hierarchical",),
    "roles/announced": ("star",),
    "roles/gated_gateway": ("star",),
    "roles/hub": ("star",),
    "roles/spoke": ("star",),
    "rules/hub": ("star",),
    "rules/exposure": ("star",),
    "rules/degrade": ("star",),
}
"""Which patterns run it, by how its path begins; all, if it is not here."""


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
    return sorted(str(path) for path in Path(folder).glob("test_*.py") if imports.search(path.read_text()))


def by_tests(module: Path, folder: str) -> str:
    """Which test kills it, or nothing."""
    files = tests_of(module, folder)
    if not files:
        return ""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *files]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TESTS_S)
    except subprocess.TimeoutExpired:
        return "does not end"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return "" if done.returncode == 0 else failed[1] if failed else f"pytest ends with {done.returncode}"


def by_simulation(module: Path, first: int, last: int) -> str:
    """Which schedule and check kill it, or nothing; in a process of its own, as one may hang."""
    asked = [str(first), str(last), *patterns_of(module)]
    command = [sys.executable, "-m", "squall_mutation.tried", *asked]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    said = done.stdout.split("\n")[0] if done.stdout else done.stderr.strip().split("\n")[-1]
    return said or f"ends with {done.returncode}"


def patterns_of(module: Path) -> Iterable[str]:
    """The patterns that run it."""
    path = "/".join(module.with_suffix("").parts[-2:])
    return next(
        (those for begins, those in ONLY.items() if path.startswith(begins)), ("hierarchical", "star")
    )


def simulate(first: int, last: int, patterns: Iterable[str]) -> None:
    """Exit with what failed first, if anything does."""
    from squall.chaos.cli.setup import spec_of
    from squall.chaos.simulation.draw import TASKS
    from squall.chaos.simulation.outcome import Plan, outcome

    plans = [Plan(spec=spec_of(pattern, tasks_of_load=TASKS)) for pattern in patterns]
    at = ""
    signal.signal(signal.SIGALRM, lambda number, frame: _end(f"{at} does not end"))
    for seed in range(first, last + 1):
        for plan in plans:
            at = f"{plan.spec.pattern} {seed}"
            signal.alarm(SCHEDULE_S)
            found = outcome(plan, seed)
            if found.verdict != "pass":
                _end(f"{at} {found.verdict} {' '.join(check.id for check in found.failed) or found.why}")


def _end(said: str) -> None:
    print(said, flush=True)
    os._exit(1)


STAGES: Mapping[str, Callable[[Path], str]] = {
    "unit": lambda module: by_tests(module, "tests/unit"),
    "simulation": lambda module: by_simulation(module, 1, SCHEDULES),
    "longer": lambda module: by_simulation(module, SCHEDULES + 1, LONGER),
    "integration": lambda module: by_tests(module, "tests/integration"),
}
"""How it is tried; what kills it, or nothing."""

ALWAYS = ("unit", "simulation")
"""What every mutant is put to, dead or alive, so that the two can be compared."""


def main() -> None:
    """The command: one line for each stage that was tried, and 1 if one of them kills."""
    module = changed()
    is_dead = False
    for stage, killed_by in STAGES.items():
        if is_dead and stage not in ALWAYS:
            continue
        said = killed_by(module)
        print(f"{stage}: {said or '-'}", flush=True)
        is_dead = is_dead or bool(said)
    sys.exit(is_dead)


if __name__ == "__main__":
    simulate(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
