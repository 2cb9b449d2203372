"""The command as a user starts it, a hand to shoot at its nodes, and a series a pattern for many to judge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.series_once import Series, run_series

from squall.chaos.judge.checks import BUILT_IN
from squall.chaos.judge.oracle import ledger
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.directory import RunDirectory, claim
from squall.services.run.driven import driven
from squall.services.run.loaded import Run as DrivenRun
from squall.services.run.result import Result, judge
from squall.services.run.spec import Spec
from squall.services.run.toml_writer import as_toml
from squall.services.trading.orders import Row

Attack = Callable[[DrivenRun], Awaitable[None]]

SQUALL = Path(sys.executable).parent / "squall"


class Run:
    """One ``squall run`` as a child, and its directory."""

    def __init__(self, folder: Path, spec: dict[str, Any], *options: str, stdin: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "run"
        toml = folder / "swarm.toml"
        toml.write_text(as_toml(spec))
        self.stderr = folder / "stderr"
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [SQUALL, "run", str(toml), "--out", str(self.path), "--json", *options],
                cwd=folder,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The newest start of each node."""
        newest: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self.path / "nodes.jsonl").read_text().splitlines():
                node = json.loads(line)
                newest[node["node"]] = node
        return newest

    def pids(self) -> list[int]:
        """Every process a node ever had."""
        lines = (self.path / "nodes.jsonl").read_text().splitlines()
        return [json.loads(line)["pid"] for line in lines]

    def lines(self, op: str) -> list[dict[str, Any]]:
        """The lines of an operation in the history so far."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for line in (self.path / "history.jsonl").read_bytes().splitlines():
                with contextlib.suppress(ValueError):
                    fact = json.loads(line)
                    if fact["op"] == op:
                        found.append(fact)
        return found

    def wait_for(self, look: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
        """Look until there is something, while the command runs."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            seen = look()
            if seen:
                return seen
            assert self.process.poll() is None, f"ended before {what}: {self.stderr.read_text()}"
            time.sleep(0.05)  # a look, not a wait for a time
        raise AssertionError(f"no {what} within {timeout_s} s")

    def signal(self, node: str, number: signal.Signals) -> None:
        """Send a node's process a signal, once there is one: it may be on its way back."""

        def living() -> int | None:
            at = self.nodes().get(node)
            return at["pid"] if at is not None and alive(at["pid"]) else None

        os.kill(self.wait_for(living, f"a living {node}"), number)

    def end(self, timeout_s: float = 240.0) -> dict[str, Any]:
        """Wait for the command and return its document."""
        out, _ = self.process.communicate(timeout=timeout_s)
        document: dict[str, Any] = json.loads(out)
        return document

    def ledger(self) -> list[Row]:
        return filled(self.path)


def filled(run: Path) -> list[Row]:
    """The ledger of a run."""
    database = sqlite3.connect(f"file:{run / 'venue.sqlite'}?mode=ro", uri=True)
    try:
        return list(database.execute("SELECT * FROM ledger"))
    finally:
        database.close()


def oracle(spec: dict[str, Any] | Spec) -> list[Row]:
    """The ledger that the input alone demands."""
    full = spec if isinstance(spec, Spec) else HierarchicalSpec(**spec)
    return ledger(full.seed, full.tasks)


@pytest.fixture
def run_against(tmp_path: Path) -> Callable[[Spec, Attack], tuple[Result, list[Row]]]:
    """``run_against(spec, attack)`` attacks a swarm while it works; its result and its ledger."""

    async def work(spec: Spec, directory: RunDirectory, attack: Attack) -> None:
        async with driven(spec, directory, progress=lambda text: None) as run:
            await attack(run)
            await run.swarm.producer

    def start(spec: Spec, attack: Attack) -> tuple[Result, list[Row]]:
        with claim(spec, tmp_path / "run") as directory:
            asyncio.run(work(spec, directory, attack))
        return judge(tmp_path / "run"), filled(tmp_path / "run")

    return start


RunMaker = Callable[..., Run]


@pytest.fixture
def squall_run(tmp_path: Path) -> Iterator[RunMaker]:
    """``squall_run({"tasks": 100})`` starts a command; what still runs in the end is killed."""
    started: list[Run] = []

    def start(spec: dict[str, Any], *options: str, stdin: int | None = None) -> Run:
        run = Run(tmp_path / f"{len(started)}", spec, *options, stdin=stdin)
        started.append(run)
        return run

    yield start
    for run in started:
        if run.process.poll() is None:
            run.process.kill()
        run.process.wait()
        if run.process.stdout is not None:
            run.process.stdout.close()
        shutil.rmtree(run.path / "broker", ignore_errors=True)


@pytest.fixture
def oracle_of() -> Callable[[dict[str, Any] | Spec], list[Row]]:
    return oracle


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    return alive


LONG = ("mesh", "ring")
"""Patterns whose series takes minutes."""


@pytest.fixture(scope="session")
def series(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Series:
    """A series that was run once; see `series_once`. A test that asks for it runs for every pattern of ours.

    ``@pytest.mark.series("star")`` says for which patterns it is. Of those in `LONG` it is run where
    everything is asked for; otherwise the most telling of its runs is, in a file of its own.
    """
    return run_series(request.param, tmp_path_factory.mktemp(f"series-{request.param}") / "series")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("nats"):
            item.add_marker(pytest.mark.swarm)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "series" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("series")
        patterns = marker.args if marker else [promises.pattern for promises in BUILT_IN]
        marks = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow]
        metafunc.parametrize(
            "series",
            [
                pytest.param(pattern, marks=[*marks, *([pytest.mark.everything] if pattern in LONG else [])])
                for pattern in patterns
            ],
            indirect=True,
            scope="session",
        )
