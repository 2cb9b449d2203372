"""``squall run hierarchical`` from start to verdict, and how it ends when it is ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from squall.services.run.result import Result

pytestmark = pytest.mark.nats

SQUALL = Path(sys.executable).parent / "squall"
SMALL = {"pattern": "hierarchical", "tasks": 1200, "rate_per_s": 400}
GONE_S = 5.0


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["verdict"] for check in document["checks"]}


def gone(run: Any, is_alive: Any) -> list[int]:
    """The node processes still there when the time for their going is over."""
    deadline = time.monotonic() + GONE_S
    while time.monotonic() < deadline and any(is_alive(pid) for pid in run.pids()):
        time.sleep(0.05)  # a look, not a wait for a time
    return [pid for pid in run.pids() if is_alive(pid)]


def test_a_run_passes_with_a_fail_over_and_the_ledger_of_the_oracle(
    squall_run: Any, oracle_of: Any, is_alive: Any
) -> None:
    run = squall_run(SMALL)
    run.wait_for(lambda: "producer" in run.nodes(), "a producer")
    nodes = run.nodes()
    roles = sorted(node["role"] for node in nodes.values())
    assert roles == sorted(["broker", "venue", "producer", "gateway"] + ["coordinator"] * 2 + ["agent"] * 4)
    assert len({node["pid"] for node in nodes.values()}) == len(nodes)
    for name, node in nodes.items():
        if node["role"] != "broker":
            command = Path(f"/proc/{node['pid']}/cmdline").read_bytes().split(b"\0")
            assert [node["role"].encode(), name.encode()] == command[-3:-1]
    document = run.end()
    assert run.process.returncode == 0
    msgspec.convert(document, Result, strict=True)
    assert (document["offered"], document["accepted"], document["effects"]) == (1200, 1200, 1200)
    assert (document["lost"], document["duplicated"], document["conflicting"]) == (0, 0, 0)
    assert (document["dead_letters"], document["reliability"]) == (0, 1.0)
    assert document["refused_writes"] >= 1
    assert document["recovery_s"]["detect"] <= document["recovery_s"]["failover"]
    assert set(verdicts(document).values()) == {"pass"}
    assert run.ledger() == oracle_of(SMALL)
    assert json.loads((run.path / "result.json").read_text()) == document
    assert gone(run, is_alive) == []

    again = subprocess.run([SQUALL, "check", run.path, "--json"], capture_output=True, check=False)
    assert again.returncode == 0
    assert verdicts(json.loads(again.stdout)) == verdicts(document)

    history = run.path / "history.jsonl"
    kept = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(b"".join(kept[:100] + kept[101:]))
    less = subprocess.run([SQUALL, "check", run.path, "--json"], capture_output=True, check=False)
    assert less.returncode in (1, 3)
    assert "pass" not in verdicts(json.loads(less.stdout)).values()


def test_what_the_first_nodes_were_given_is_renewed_though_others_still_start(squall_run: Any) -> None:
    spec = {"pattern": "hierarchical", "tasks": 200, "rate_per_s": 40, "pause_leader": False}
    run = squall_run({**spec, "credentials_life_s": 5.0})
    document = run.end()
    assert (document["accepted"], document["lost"]) == (200, 0)
    assert "authentication error" not in (run.path / "logs" / "broker.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=str)
def test_a_directory_in_use_is_refused_an_interrupt_drains_and_reports_and_what_is_left_is_not_written_over(
    squall_run: Any, is_alive: Any, number: signal.Signals
) -> None:
    run = squall_run({**SMALL, "tasks": 100_000})
    run.wait_for(lambda: len(run.lines("commit")) > 50, "work")
    assert "another run is using" in refused(run)
    run.process.send_signal(number)
    document = run.end(60)
    assert run.process.returncode == 130
    assert 50 < document["offered"] < 100_000
    assert document["accepted"] == document["effects"]
    assert (document["lost"], document["duplicated"]) == (0, 0)
    assert verdicts(document)["H1"] == "pass"
    assert document["interrupted"]
    assert f"interrupted after {document['offered']:,} tasks of 100,000" in document["limits"][0]
    assert checked(run) == document
    assert gone(run, is_alive) == []
    assert "is not empty" in refused(run)
    assert json.loads((run.path / "result.json").read_text()) == document


def checked(run: Any) -> dict[str, Any]:
    """What `squall check` says of its directory."""
    again = subprocess.run([SQUALL, "check", run.path, "--json"], capture_output=True, check=False)
    document: dict[str, Any] = json.loads(again.stdout)
    return document


def refused(run: Any) -> str:
    """Why a second run may not have the directory of this one."""
    second = subprocess.run(
        [SQUALL, "run", "hierarchical", "--out", str(run.path), "--json"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert second.returncode == 2
    return str(json.loads(second.stdout)["error"]["message"])


def test_an_interrupt_while_it_is_started_offers_nothing(squall_run: Any, is_alive: Any) -> None:
    run = squall_run(SMALL)
    nodes = run.path / "nodes.jsonl"
    run.wait_for(lambda: nodes.exists() and nodes.stat().st_size > 0, "the first node")
    run.process.send_signal(signal.SIGINT)
    run.process.wait(timeout=30)
    assert run.process.returncode == 130
    assert "nothing was offered" in run.stderr.read_text()
    assert run.lines("submit") == []
    assert gone(run, is_alive) == []
    assert "interrupted after 0 tasks of" in checked(run)["limits"][0]


def test_a_second_interrupt_kills(squall_run: Any, is_alive: Any) -> None:
    run = squall_run({**SMALL, "tasks": 100_000, "ack_wait_s": 30.0})
    run.wait_for(lambda: len(run.lines("commit")) > 50, "work")
    for number in range(1, 5):  # nothing can drain while no agent moves
        run.signal(f"agent-{number}", signal.SIGSTOP)
    run.process.send_signal(signal.SIGINT)
    run.wait_for(lambda: "draining" in run.stderr.read_text(), "draining")
    run.process.send_signal(signal.SIGINT)
    run.process.wait(timeout=20)
    assert run.process.returncode == 130
    assert gone(run, is_alive) == []
    document = checked(run)
    assert document["interrupted"]
    assert "and not drained" in document["limits"][0]
    assert "not read back to its end, because it was interrupted" in document["checks"][0]["detail"]


def test_a_killed_command_leaves_nothing_and_the_next_two_work_beside_each_other(
    squall_run: Any, is_alive: Any, oracle_of: Any
) -> None:
    run = squall_run({**SMALL, "tasks": 100_000})
    run.wait_for(lambda: len(run.lines("commit")) > 50, "work")
    run.signal("agent-1", signal.SIGSTOP)
    run.signal("broker", signal.SIGSTOP)
    run.process.kill()
    run.process.wait()
    assert gone(run, is_alive) == []

    specs = [{**SMALL, "tasks": 600, "seed": seed, "pause_leader": False} for seed in (1, 2)]
    runs = [squall_run(spec) for spec in specs]
    for following, spec in zip(runs, specs, strict=True):
        document = following.end()
        assert document["effects"] == 600
        assert following.ledger() == oracle_of(spec)
