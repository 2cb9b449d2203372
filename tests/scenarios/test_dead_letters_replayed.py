"""Dead letters of five causes: listed, shown and replayed, each once though the replay is killed half-way."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import SQUALL
from tests.scenarios.handlers_that_despair import CAUSES
from tests.scenarios.quick import QUICK

pytestmark = [pytest.mark.nats, pytest.mark.slow]

EACH = 8
"""Dead letters of each cause but one: those that kill their agent take a second each."""
DYING = 2
REFUSED = "returns no order"
"""What the venue refuses: an effect is dead then, and its task is not."""

HANDLERS = "handlers_that_despair"


def causes() -> list[str]:
    return [cause for cause in CAUSES for _ in range(DYING if cause == "dies" else EACH)]


def command(folder: Path, *arguments: str) -> list[str]:
    return [str(SQUALL), "dlq", *arguments, "--run", str(folder)]


def dlq(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *arguments),
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def lines_of(path: Path) -> list[dict[str, Any]]:
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    return [json.loads(line) for line in whole.splitlines()]


def test_each_is_replayed_once_though_the_replay_is_killed(squall_run: Any, tmp_path: Path) -> None:
    started_in = tmp_path / "0"
    started_in.mkdir()
    shutil.copy(Path(__file__).parent / f"{HANDLERS}.py", started_in)
    dead = causes()
    bodies = [*dead, *["none"] * EACH]
    source = started_in / "tasks.jsonl"
    source.write_text(
        "".join(
            json.dumps({"id": f"Order {n}", "key": f"K {n % 5}", "body": {"cause": cause}}) + "\n"
            for n, cause in enumerate(bodies)
        )
    )
    run = squall_run({**QUICK, "tasks": str(source), "handler": f"{HANDLERS}:despair", "rate_per_s": 40.0})
    run.end()
    given_up = {f"Order {n}" for n, cause in enumerate(dead) if cause != REFUSED}

    listed = json.loads(dlq(run.path, "list", "--json").stdout)["letters"]
    assert {letter["id"] for letter in listed if letter["kind"] == "task"} == given_up
    assert sum(letter["kind"] == "effect" for letter in listed) == EACH
    assert all(letter["reason"] for letter in listed)
    shown = dlq(run.path, "show", "Order 0").stdout
    assert "Order 0" in shown
    assert "no price for this one" in shown
    assert "attempt 1" in shown
    unknown = dlq(run.path, "show", "Order 99")
    assert (unknown.returncode, "is no dead letter of" in unknown.stderr) == (2, True)

    mended = ("replay", "--handler", f"{HANDLERS}:mended", "--quiet")
    replayed = run.path / "replayed.jsonl"
    with subprocess.Popen(command(run.path, *mended), cwd=started_in, stderr=subprocess.DEVNULL) as killed:
        until_s = time.monotonic() + 60
        while len(lines_of(replayed)) < 3:
            assert time.monotonic() < until_s, "nothing was replayed"
            assert killed.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)  # a look, not a wait for a time
        killed.kill()
    before = lines_of(replayed)
    assert 3 <= len(before) < len(given_up)

    again = dlq(run.path, *mended)
    assert again.returncode in (0, 3), again.stderr
    after = lines_of(replayed)
    assert after[: len(before)] == before
    assert Counter(line["id"] for line in after) == Counter(f"{name}.2" for name in given_up)
    assert {line["status"] for line in after} == {"ok"}
    nothing = dlq(run.path, *mended)
    assert (nothing.returncode, "nothing is left to run" in nothing.stderr) == (0, True)


@pytest.mark.everything
def test_those_of_a_swarm_that_is_up_are_listed_and_replayed(squall_run: Any, tmp_path: Path) -> None:
    started_in = tmp_path / "0"
    started_in.mkdir()
    shutil.copy(Path(__file__).parent / f"{HANDLERS}.py", started_in)
    source = started_in / "tasks.jsonl"
    bodies = ["gives up", *["none"] * 20] * 15
    source.write_text(
        "".join(
            json.dumps({"id": f"Order {n}", "key": f"K {n % 5}", "body": {"cause": cause}}) + "\n"
            for n, cause in enumerate(bodies)
        )
    )
    run = squall_run({**QUICK, "tasks": str(source), "handler": f"{HANDLERS}:despair", "rate_per_s": 10.0})

    def listed() -> set[str]:
        letters = json.loads(dlq(run.path, "list", "--json").stdout)["letters"]
        return {letter["id"] for letter in letters}

    run.wait_for(lambda: len(run.lines("commit")) > 30, "thirty tasks to end")
    early = listed()
    assert early
    assert run.process.poll() is None
    shown = dlq(run.path, "show", "Order 0")
    assert (shown.returncode, "attempt 1" in shown.stdout) == (0, True), shown.stderr
    mended = ("replay", "--handler", f"{HANDLERS}:mended", "--quiet")
    again = dlq(run.path, *mended, "Order 0")
    assert again.returncode in (0, 3), again.stderr
    run.end(120)
    assert listed() > early
    assert dlq(run.path, *mended).returncode in (0, 3)
    replayed = [line["id"] for line in lines_of(run.path / "replayed.jsonl")]
    assert sorted(replayed) == sorted(f"{name}.2" for name in listed())


@pytest.mark.everything
def test_a_run_that_was_killed_is_not_said_to_have_none(squall_run: Any, tmp_path: Path) -> None:
    run = squall_run({**QUICK, "rate_per_s": 20.0})
    run.wait_for(lambda: len(run.lines("commit")) > 5, "a few tasks to end")
    run.process.kill()
    run.process.wait()
    ended = dlq(run.path, "list")
    assert (ended.returncode, "killed before what became of its tasks" in ended.stderr) == (2, True)
