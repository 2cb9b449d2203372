"""A user's own tasks through a swarm: each ends once, under its user's names, whoever is killed meanwhile."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import SQUALL, filled
from tests.scenarios.quick import QUICK

pytestmark = [pytest.mark.nats, pytest.mark.slow]

TASKS = 240
HANDLER = "handlers_of_own_tasks:decide"
OPTIONS = (
    *("--tasks-from", "-", "--results", "-", "--handler", HANDLER),
    *("--rate", "60", "--out", "run", "--quiet"),
)


def write(folder: Path) -> Path:
    """Tasks under seven keys; the third can never succeed, one is there twice, and one line is none."""
    shutil.copy(Path(__file__).parent / "handlers_of_own_tasks.py", folder)
    file = folder / "tasks.jsonl"
    lines = [
        json.dumps({"id": f"Order/{n}", "key": f"ACME {n % 7}", "body": {"n": -1 if n == 2 else n}})
        for n in range(TASKS)
    ]
    file.write_text("\n".join([*lines, lines[5], "nonsense"]))
    return file


def check_results(lines: list[dict[str, Any]]) -> None:
    """That each task has one line, which says what its handler was given and came to."""
    assert Counter(line["id"] for line in lines) == Counter(f"Order/{n}" for n in range(TASKS))
    for line in lines:
        n = int(line["id"].removeprefix("Order/"))
        assert line["key"] == f"ACME {n % 7}"
        if n == 2:
            assert line["status"] == "dead"
            assert line["reason"].startswith("the handler gave it up: n is negative, at ")
            continue
        assert line["status"] == "ok", line
        assert line["value"] == {"key": f"ACME {n % 7}", "number": n // 7 + 1, "n": n}
        assert len(line["effects"]) == (n % 3 == 0)
        assert line["due_s"] <= line["ended_s"]


def test_each_ends_once_though_agents_and_producer_are_killed(squall_run: Any, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    source = write(tmp_path / "0")
    run = squall_run(
        {**QUICK, "tasks": str(source), "handler": HANDLER, "rate_per_s": 40.0, "attempts": 4},
        "--results",
        "results.jsonl",
    )
    for node in ("agent-1", "producer", "agent-2"):
        offered = len(run.lines("submit"))
        run.wait_for(lambda seen=offered: len(run.lines("submit")) >= seen + TASKS // 4, "further tasks")
        run.signal(node, signal.SIGKILL)
    result = run.end()
    assert (result["accepted"], result["lost"], result["duplicated"]) == (TASKS, 0, 0)
    lines = [json.loads(line) for line in (tmp_path / "0/results.jsonl").read_text().splitlines()]
    check_results(lines)
    assert len(filled(run.path)) == sum(len(line["effects"]) for line in lines) == result["effects"]
    aside = [json.loads(line) for line in (run.path / "set-aside.jsonl").read_text().splitlines()]
    assert [(line["line"], line["record"]) for line in aside] == [(TASKS + 2, "nonsense")]
    said = run.stderr.read_text()
    assert f"line {TASKS + 2} is not JSON" in said
    assert "1 of its records says what an earlier one says" in said

    # The same file once more; and once more when the last result was written in part, and a task is new.
    again = squall_again(tmp_path / "0", "--rate", "40")
    assert again.returncode == 0, again.stderr
    assert (
        f"{TASKS + 1} of tasks.jsonl ended in an earlier run, and are not run again; nothing" in again.stderr
    )
    results = tmp_path / "0/results.jsonl"
    torn = json.loads(results.read_bytes().splitlines()[-1])["id"]
    results.write_bytes(results.read_bytes()[:-20])
    with source.open("a") as more:
        more.write('\n{"id": "new", "key": "ACME 1", "body": {"n": 1}}\n')
    again = squall_again(tmp_path / "0", "--rate", "40", "--agents", "2")
    assert again.returncode == 0, again.stderr
    after = [json.loads(line) for line in results.read_text().splitlines()]
    assert after[:-2] == lines[:-1]
    assert {line["id"] for line in after[-2:]} == {torn, "new"}


def squall_again(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The tasks of a folder with the results that it has, in another run."""
    own = ("--tasks-from", "tasks.jsonl", "--results", "results.jsonl", "--handler", HANDLER)
    return subprocess.run(
        [SQUALL, "run", "hierarchical", *own, *options, "--quiet"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_star_takes_them_through_a_pipe_and_its_results_go_through_another(tmp_path: Path) -> None:
    source = write(tmp_path)
    ended = subprocess.run(
        [SQUALL, "run", "star", *OPTIONS],
        cwd=tmp_path,
        input=source.read_bytes(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    denied = {line["id"] for line in lines if line["status"] == "ok" and not line["effects"]}
    for line in lines:  # a hub allows no more than its bound on what is held
        n = int(line["id"].removeprefix("Order/"))
        if line["id"] in denied and n % 3 == 0:
            line["effects"] = [{}]
    check_results(lines)
    assert b"star  run run  seed 7" in ended.stderr
