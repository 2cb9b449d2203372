"""Bad input gets one sentence with the remedy, the right exit code, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.nats

SQUALL = Path(sys.executable).parent / "squall"


def squall(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SQUALL, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def assert_one_sentence(done: subprocess.CompletedProcess[str], code: int, words: str) -> None:
    """The exit code, one sentence that holds these words, and no traceback."""
    assert done.returncode == code, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("squall: start")]
    assert "Traceback" not in done.stderr
    assert words in said[-1], done.stderr
    assert len([line for line in said if words in line]) == 1


def refused(folder: Path, code: int, words: str, *arguments: str, **environment: str) -> None:
    """Both ways of asking: a sentence for people, and a document with ``--json``."""
    assert_one_sentence(squall(folder, *arguments, **environment), code, words)
    done = squall(folder, *arguments, "--json", **environment)
    assert done.returncode == code
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    assert words in f"{error['message']}; {error['remedy']}"
    assert set(error) == {"kind", "message", "remedy"}


UNUSABLE: list[tuple[list[str], str]] = [
    (["run", "hierarchial"], "did you mean 'hierarchical'"),
    (["run", "canary"], "is not built yet"),
    (["run", "nowhere.toml"], "nowhere.toml cannot be read"),
    (["run", "hierarchical", "--tasks", "0"], "tasks"),
]
UNUSABLE_MORE: list[tuple[list[str], str]] = [
    (["run", "hierarchical", "--agents", "0"], "agents"),
    (["run", "hierarchical", "--on", "sandboxes"], "cannot run on 'sandboxes'"),
    (["run", "hierarchical", "--handler", "nothing"], "package.module:function"),
    (["run", "hierarchical", "--nats", "localhost"], "is no NATS URL"),
    (["run", "hierarchical", "--nats", "nats://me:secret@127.0.0.1:4222"], "do not belong in a URL"),
    (["plan", "canary"], "is not built yet"),
    (
        ["run", "hierarchical", "--seed", "99999999999999999999"],
        "seed = 99999999999999999999 is too large",
    ),
    (["chaos", "hierarchical", "--fault", "crash@"], "crash@ names no target"),
    (["chaos", "hierarchical", "--tasks", "400", "--out", "a/b"], "tasks = 400 is too few: seed-1 needs"),
    (["chaos", "hierarchical", "--seed", "99999999999999999999"], "has too many digits"),
]
"""Tried where everything is asked for, as each starts the command twice. What is tried in one process is in
`tests/unit/test_unusable_input.py`."""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [*UNUSABLE, *(pytest.param(*each, marks=pytest.mark.everything) for each in UNUSABLE_MORE)],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_unusable_input_is_refused_before_anything_starts(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    refused(tmp_path, 2, words, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_spec_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "swarm.toml").write_text("agnets = 4\n")
    refused(tmp_path, 2, "did you mean 'agents'", "run", "./swarm.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["swarm.toml"]


def test_a_missing_nats_server_is_said(tmp_path: Path) -> None:
    refused(tmp_path, 4, "names /nowhere/nats-server, which is no file", "run", "hierarchical",
            NATS_SERVER="/nowhere/nats-server")  # fmt: skip


def test_a_broker_that_nobody_runs_is_said(tmp_path: Path) -> None:
    refused(tmp_path, 4, "no broker answers at nats://127.0.0.1:1", "run", "hierarchical",
            "--nats", "nats://127.0.0.1:1")  # fmt: skip


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    refused(tmp_path, 2, "cannot be written", "run", "hierarchical", "--out", "/proc/nowhere/run")


def test_what_is_no_run_cannot_be_checked(tmp_path: Path) -> None:
    refused(tmp_path, 2, "holds no run", "check", str(tmp_path))


def test_credentials_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    refused(tmp_path, 2, "which cannot be read", "run", "hierarchical", "--nats", "nats://127.0.0.1:1",
            NATS_CREDS=str(tmp_path / "none.creds"))  # fmt: skip
    (tmp_path / "bad.creds").write_text("no credentials")
    refused(tmp_path, 2, "is no NATS credentials file", "run", "hierarchical", "--nats", "nats://127.0.0.1:1",
            NATS_CREDS=str(tmp_path / "bad.creds"))  # fmt: skip


def test_plan_shows_everything_and_starts_nothing(tmp_path: Path) -> None:
    done = squall(tmp_path, "plan", "hierarchical", "--agents", "2", "--json")
    planned = json.loads(done.stdout)
    assert done.returncode == 0
    agents = [node for node in planned["nodes"] if node["role"] == "agent"]
    assert [(agent["node"], agent["account"]) for agent in agents] == [
        ("agent-1", "agent-1"),
        ("agent-2", "agent-2"),
    ]
    assert "sw.squall.hb.agent.agent-1" in agents[0]["publish"]
    assert planned["links"]
    assert {stream["stream"] for stream in planned["streams"]} >= {"SQUALL_JOB", "SQUALL_WK", "SQUALL_RES"}
    shown = squall(tmp_path, "plan", "hierarchical")
    assert "agent-4" in shown.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("handler", "serves", "hears"),
    [
        ("nats:prices.decide", "prices.decide", "_INBOX.>"),
        ("agent:pricer/me/main", "agents.prompt.pricer.me.main", "$SRV.>"),
    ],
)
def test_plan_shows_a_guest_and_what_it_may_do(tmp_path: Path, handler: str, serves: str, hears: str) -> None:
    (tmp_path / "swarm.toml").write_text(f'[handler]\nuse = "{handler}"\nguest = "visitor"\n')
    (guest,) = json.loads(squall(tmp_path, "plan", "swarm.toml", "--json").stdout)["guests"]
    assert (guest["guest"], guest["account"]) == ("visitor", "visitor")
    assert serves in guest["serves"]
    assert {serves, hears} <= {*guest["subscribe"]}
    assert "_R_.>" in guest["publish"]
    shown = squall(tmp_path, "plan", "swarm.toml").stdout
    assert "guest visitor" in shown
    assert "each agent ─► visitor" in shown
    assert shown.count(serves) >= 2  # who asks there, and that it may listen there
    assert json.loads(squall(tmp_path, "plan", "hierarchical", "--json").stdout)["guests"] == []


def test_doctor_says_what_is_here(tmp_path: Path) -> None:
    done = squall(tmp_path, "doctor", "--json")
    assert done.returncode == 0
    found = {finding["what"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert found["nats-server"]["ok"]
    broken = squall(tmp_path, "doctor", NATS_SERVER="/nowhere")
    assert broken.returncode == 4
    assert "nats-server" in broken.stdout


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [(["plan", "hierarchical"], set()), (["trace", "--help"], {"check"}), (["--help"], {"chaos", "check"})],
)
def test_a_command_loads_no_other_part(tmp_path: Path, arguments: list[str], loaded: set[str]) -> None:
    code = (
        "import contextlib, sys\n"
        "from squall.services.cli.main import main\n"
        f"sys.argv[1:] = {arguments}\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "print(*(name for name in ('chaos', 'check') if f'squall.chaos.cli.{name}' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.splitlines()[-1].split()) == loaded
