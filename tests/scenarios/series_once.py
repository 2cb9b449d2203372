"""One series a pattern, run once and judged by many tests: a seed of all faults, and the further runs.

It is as `squall chaos` makes it, only brisker: less time to be steady, faults that follow each other sooner,
fewer tasks, and no long outage. Whoever wants to change a run takes a copy; see `Series.copy`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from squall.chaos.cli.series import Series as Running
from squall.chaos.cli.setup import spec_of
from squall.chaos.evidence.model import History
from squall.chaos.evidence.series import Planned
from squall.chaos.judge.checks import promises_of
from squall.chaos.plan.schedule import Interval
from squall.chaos.plan.series import Plan, plans
from squall.chaos.tell.documents import history_of
from squall.services.cli.progress import show_progress

SQUALL = Path(sys.executable).parent / "squall"

SEED = 113
"""Its faults have all agents paused for longer than the broker waits for an acknowledgement, links cut, the
broker started anew, and a leader paused beyond its lease."""

KILLED_OVER_ITS_WORK = Interval(fault="crash", target="any-agent", at_s=3.0, point="agent.executed")
"""One fault more, which no draw need have: an agent dies when its handler has returned."""

RATE_PER_S = 100.0
"""At most: a pattern may ask for less in its experiments, so that two cores have time left."""

STEADY_S = 3.0
"""So that each of four agents has its fifty tasks in the steady state, without which H3 says nothing."""

FAULTS_S = 5.0
QUIET_S = 6.0
"""How long a run without faults is under load."""


@dataclass(frozen=True)
class Series:
    """A series that has been run.

    Attributes:
        path: Its directory.
        code: The exit code that `squall chaos` would have ended with.
        document: What `squall check --json` says of it.
    """

    pattern: str
    path: Path
    code: int
    document: dict[str, Any]

    @property
    def seed(self) -> Path:
        """The directory of the run whose faults were drawn from the seed."""
        return self.path / f"seed-{SEED}"

    @property
    def runs(self) -> dict[str, dict[str, Any]]:
        """The result of each run, by its name."""
        return {run["run"]: run for run in self.document["runs"]}

    def history(self, run: Path | None = None) -> History:
        """What happened in a run; in the seed's, if none is named."""
        return history_of(run or self.seed)

    def copy(self, folder: Path) -> Path:
        """A copy of the seed's run, of the same name, to be tampered with."""
        copied = folder / self.seed.name
        shutil.copytree(self.seed, copied, ignore=shutil.ignore_patterns("broker"))
        return copied


def squall(*arguments: str | Path, code: int | None = 0) -> str:
    """What a command prints.

    Args:
        code: How it must end; None if any way will do.
    """
    done = subprocess.run([SQUALL, *arguments], capture_output=True, check=False, text=True, timeout=120)
    assert code in (done.returncode, None), done.stderr
    return done.stdout


def run_series(pattern: str, folder: Path) -> Series:
    """Run it, which takes most of a minute."""
    promises = promises_of(pattern)
    assert promises is not None, f"nothing is known of {pattern}"
    asked = spec_of(pattern)
    spec = msgspec.structs.replace(asked, rate_per_s=min(asked.rate_per_s, RATE_PER_S))
    first, *further = _brisk(
        plans(spec, [SEED], (), promises.runs, to_an_effect=promises.to_an_effect, faults_s=FAULTS_S)
    )
    planned = [_with(first, KILLED_OVER_ITS_WORK), *further]
    names = tuple(plan.name for plan in planned)
    running = Running(folder, Planned(runs=names, all_faults=True), port=0, as_json=True, steady_s=STEADY_S)
    with show_progress(quiet=True) as shown:
        for plan in planned:
            running.run(plan, shown)
    document = json.loads(squall("check", folder, "--json", code=None))
    return Series(pattern, folder, running.report(), document)


def _with(plan: Plan, more: Interval) -> Plan:
    intervals = sorted([*plan.schedule.intervals, more], key=lambda interval: interval.at_s)
    return replace(plan, schedule=msgspec.structs.replace(plan.schedule, intervals=tuple(intervals)))


def _brisk(planned: Iterable[Plan]) -> Iterator[Plan]:
    for plan in planned:
        if plan.name == "outage":
            continue
        quiet_s = min(plan.schedule.quiet_s, QUIET_S)
        yield replace(plan, schedule=msgspec.structs.replace(plan.schedule, quiet_s=quiet_s))
