"""``squall chaos``: what it says of itself when it breaks, of what cannot be done, and what it leaves behind.

What it says of a good swarm is in test_series.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.quick import AT_EASE
from tests.scenarios.series_once import SQUALL, squall

from squall.chaos.inject.toxiproxy.server import free_port

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow]


class Chaos:
    """One ``squall chaos`` as a child."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.stderr = folder / "stderr"
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [SQUALL, "chaos", "hierarchical", *AT_EASE, "--out", str(folder / "out"), "--json", *options],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def run(self, name: str) -> Path:
        return self.folder / "out" / name

    def wait_for(self, look: Callable[[], Any], what: str, timeout_s: float = 90.0) -> Any:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                if seen := look():
                    return seen
            assert self.process.poll() is None, f"ended before {what}: {self.stderr.read_text()}"
            time.sleep(0.05)  # a look, not a wait for a time
        raise AssertionError(f"no {what} within {timeout_s} s")

    def end(self, timeout_s: float = 240.0) -> tuple[int, dict[str, Any]]:
        out, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, json.loads(out)


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Callable[..., Chaos]]:
    started: list[Chaos] = []

    def start(*options: str) -> Chaos:
        folder = tmp_path / f"{len(started)}"
        folder.mkdir()
        started.append(Chaos(folder, *options))
        return started[-1]

    yield start
    for run in started:
        if run.process.poll() is None:
            run.process.kill()
        run.process.wait()
        if run.process.stdout is not None:
            run.process.stdout.close()


def children(pid: int) -> set[int]:
    """A process's descendants, and theirs."""
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) in {pid, *found} and fields[0] != "Z":
                found.add(int(stat.parent.name))
    return found


def of_program(pids: set[int], name: str) -> int:
    """The one among these that runs a program."""
    matching = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if name in Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[0]:
                matching.append(pid)
    assert len(matching) == 1, matching
    return matching[0]


def asked(port: int, path: str) -> Any:
    """What Toxiproxy's API answers at a port; None while nobody does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return json.load(answer)
    except urllib.error.URLError:
        return None


def in_force(run: Path) -> bool:
    return any(json.loads(line)["verified"] for line in (run / "faults.jsonl").read_text().splitlines())


def test_a_series_whose_terminal_closes_drains_tells_and_is_marked(chaos: Any) -> None:
    run = chaos("--seeds", "2", "--fault", "blackhole@any-agent")
    run.wait_for(lambda: in_force(run.run("seed-1")), "a fault")
    run.process.send_signal(signal.SIGHUP)
    code, document = run.end(120)
    assert code == 130
    (first,) = document["runs"]
    assert first["interrupted"]
    assert first["limits"][0].startswith("interrupted after ")
    assert {check["verdict"] for check in first["checks"]} <= {"unknown", "pass"}
    complete = next(check for check in document["checks"] if check["id"] == "V2")
    assert complete["detail"].endswith("not seed-1 and 1 more; the series was interrupted.")
    again = json.loads(squall("check", run.folder / "out", "--json", code=3))
    assert again["checks"] == document["checks"]
    assert [each["interrupted"] for each in again["runs"]] == [True]


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.everything)]
)
def test_when_toxiproxy_dies_or_hangs_the_harness_is_broken_and_nothing_is_said_of_the_swarm(
    chaos: Any, number: signal.Signals
) -> None:
    run = chaos("--seed", "103", "--fault", "blackhole@any-agent")
    run.wait_for(lambda: in_force(run.run("seed-103")), "a fault")
    family = children(run.process.pid)
    os.kill(of_program(family, "toxiproxy-server"), number)
    code, document = run.end(120)
    assert code == 4
    assert document["error"]["message"].startswith("harness broken: ")
    assert not (run.run("seed-103") / "result.json").exists()
    assert [pid for pid in family if Path(f"/proc/{pid}").exists() and not is_zombie(pid)] == []


def is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return True


def test_a_killed_harness_leaves_no_process_and_no_proxy(chaos: Any) -> None:
    run = chaos("--seed", "104", "--fault", "pause@all-agents", "--fault", "blackhole-nofin@gateway")
    run.wait_for(lambda: in_force(run.run("seed-104")), "a fault")
    family = children(run.process.pid)
    assert len(family) > 10
    run.process.kill()
    run.process.wait()
    deadline = time.monotonic() + 5
    while left := [pid for pid in family if not is_zombie(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)  # a look, not a wait for a time


USELESS: list[tuple[list[str], str]] = [
    (["--fault", "blackhol"], "did you mean blackhole"),
    (["--fault", "split"], "one broker"),
    (["--fault", "latency@hub"], "no target 'hub'"),
]
USELESS_MORE: list[tuple[list[str], str]] = [
    (["--fault", "refuse@agent-1|agent-2"], "one broker they have none to cut"),
    (["--fault", "latency@broker"], "the broker has none"),
    (["--schedule", "missing.toml"], "cannot be read"),
    (["--schedule", "bad.toml"], "duration"),
    (["--seeds", "0"], "seeds"),
    (["--mutants", "--fault", "latency"], "--mutants brings its own"),
    (["--mutants", "--ordinary", "0"], "ordinary"),
    (["--ordinary", "5"], "--ordinary counts the seeds"),
    (["--schedule", "bad.toml", "--fault", "pause"], "to one swarm"),
]


@pytest.mark.parametrize(
    ("options", "words"),
    [*USELESS, *(pytest.param(*each, marks=pytest.mark.everything) for each in USELESS_MORE)],
)
def test_what_cannot_be_done_is_one_sentence_and_starts_nothing(
    tmp_path: Path, options: list[str], words: str
) -> None:
    bad = "seed = 1\n[[interval]]\nfault = 'pause'\ntarget = 'leader'\nduration = 3\n"
    (tmp_path / "bad.toml").write_text(bad)
    out, said = refused(tmp_path, *options)
    assert words in said
    if words not in ("seeds", "ordinary"):
        assert words in " ".join(json.loads(out)["error"].values())
        assert len(said.splitlines()) == 1


def test_a_taken_port_is_one_sentence_and_starts_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        _, said = refused(tmp_path, "--toxiproxy-port", str(port))
    assert f"port {port} cannot be had" in said
    assert len(said.splitlines()) == 1


def refused(folder: Path, *options: str) -> tuple[bytes, str]:
    """What a command that starts nothing prints on its two streams."""
    run = Chaos(folder, *options)
    out, _ = run.process.communicate(timeout=60)
    assert run.process.returncode == 2
    assert not (folder / "out").exists()
    return out, run.stderr.read_text()


def test_a_schedule_is_replayed_from_its_file(chaos: Any, tmp_path: Path) -> None:
    path = tmp_path / "schedule.toml"
    path.write_text(
        "seed = 5\n"
        "[[interval]]\nfault = 'pause'\ntarget = 'leader'\nat_s = 0.5\nfor_s = 2.5\n"
        "[[interval]]\nfault = 'crash'\ntarget = 'agent-2'\npoint = 'agent.committed'\nnth = 2\nat_s = 4.0\n"
        "[[interval]]\nfault = 'latency'\ntarget = 'gateway'\nat_s = 4.0\nfor_s = 1.0\n"
        "magnitude = { latency_ms = 250 }\n"
    )
    port = free_port()
    run = chaos("--schedule", str(path), "--seeds", "1", "--toxiproxy-port", str(port))
    run.wait_for(lambda: asked(port, "/proxies"), "a proxy at the port that was named")
    code, document = run.end()
    assert code == 0, document["checks"]
    assert [run["run"] for run in document["runs"]] == ["schedule"]
    for result in document["runs"]:
        faults = [(fault["kind"], fault["target"], fault["verified"]) for fault in result["faults"]]
        assert sorted(faults) == [
            ("crash", "agent-2", True),
            ("latency", "gateway", True),
            ("pause", "leader", True),
        ]
    struck = [(cell["point"], cell["strike"], cell["hits"]) for cell in document["coverage"] if cell["hits"]]
    assert struck == [("agent.committed", "kill", 1)]
    series = run.run("")
    assert json.loads(squall("check", series, "--json")) == document, "its directory alone says the same"
    assert json.loads(squall("check", series / "schedule", "--json")) == document["runs"][0]
