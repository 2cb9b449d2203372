"""Agents of others as guests on the swarm's own broker: invited while it runs, killed, nothing is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import SQUALL
from tests.scenarios.quick import QUICK
from tests.scenarios.test_agents_over_nats import Program

from squall.services.run.operating import SOCKET

pytestmark = [pytest.mark.nats]

TASKS = 60
FIELDS = {
    **QUICK,
    "rate_per_s": 40.0,
    "slots": 4,
    "attempts": 3,
    "handler_timeout_s": 3.0,
    "handler_guest": "pricer",
}


@pytest.fixture
def program(request: pytest.FixtureRequest) -> Iterator[Program]:
    program = Program(request.param)
    yield program
    program.end(signal.SIGKILL)


def creds(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SQUALL, "creds", *options], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("program", "handler"),
    [
        ("documented_responder.py", "nats:prices.decide"),
        pytest.param("hosted_agent.py", "agent:pricer/me/main", marks=pytest.mark.everything),
    ],
    indirect=["program"],
    ids=["responder", "agent"],
)
def test_a_guest_serves_the_handler_and_nothing_is_lost_when_it_is_killed(
    squall_run: Any, program: Program, handler: str, tmp_path: Path
) -> None:
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("\n".join(f'{{"id": "t-{n}", "key": "k-{n % 20}", "body": {{}}}}' for n in range(TASKS)))
    run = squall_run({**FIELDS, "tasks": str(tasks), "handler": handler})
    run.wait_for((run.path / SOCKET).exists, "a socket")
    run.wait_for(lambda: len(run.lines("absent")) > 5, "tasks for which it was not there")
    made = creds(tmp_path, "guest", "pricer", "--run", str(run.path), "--hours", "1", "--json")
    document = json.loads(made.stdout)
    file = tmp_path / "pricer.creds"
    assert file.stat().st_mode & 0o777 == 0o600
    assert document["file"] == "pricer.creds"
    assert 3500 < document["expires_s"] - time.time() <= 3601
    secret = next(line for line in file.read_text().splitlines() if line.startswith("SU"))
    assert secret not in made.stdout + made.stderr
    program.start(document["server"], str(file))
    run.wait_for(lambda: len(run.lines("commit")) > TASKS // 4, "tasks that are done")
    program.end(signal.SIGKILL)
    program.start(document["server"], str(file))
    found = run.end(120)
    counted = {name: found[name] for name in ("accepted", "effects", "lost", "duplicated", "dead_letters")}
    assert counted == {"accepted": TASKS, "effects": TASKS, "lost": 0, "duplicated": 0, "dead_letters": 0}
    written = [*run.path.rglob("*.log"), run.path / "history.jsonl", run.path / "spec.toml", run.stderr]
    assert [path.name for path in written if secret in path.read_text(errors="replace")] == []


@pytest.mark.everything
def test_who_is_no_guest_gets_none_and_nothing_is_written_over(squall_run: Any, tmp_path: Path) -> None:
    run = squall_run({**FIELDS, "tasks": 40, "handler": "nats:prices.decide"})
    run.wait_for((run.path / SOCKET).exists, "a socket")
    (tmp_path / "pricer.creds").write_text("mine")
    for options, says in (
        (
            ("guest", "nobody", "--run", str(run.path)),
            "the swarm has no guest called 'nobody'; there is pricer",
        ),
        (("guest", "pricer", "--run", str(run.path)), "pricer.creds cannot be written: File exists"),
    ):
        refused = creds(tmp_path, *options)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert says in refused.stderr
    assert (tmp_path / "pricer.creds").read_text() == "mine"
